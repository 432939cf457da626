"""``maskrcnn-edu doctor``"""

from __future__ import annotations

import argparse

from maskrcnn_edu.system import doctor


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of ``doctor`` (none)."""
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """``doctor``"""
    return doctor.main()
