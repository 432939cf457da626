"""``maskrcnn-edu doctor``"""

from __future__ import annotations

import argparse

from maskrcnn_edu import doctor


def add(commands: argparse._SubParsersAction) -> None:
    """The options of ``doctor`` (none)."""
    command = commands.add_parser("doctor", help="what this machine has, and what to put right")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """``doctor``"""
    return doctor.main()
