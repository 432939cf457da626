"""Options that several commands have."""

from __future__ import annotations

import argparse

from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.weights.zoo import MODEL_ZOO, zoo_entry


def add_set(command: argparse.ArgumentParser) -> None:
    """``--set`` and ``-o``"""
    command.add_argument(
        "--set", "-o", action="append", default=[], metavar="KEY=VALUE",
        help="change values of the configuration, e.g. LearningRate.base_lr=0.0005 epoch=6",
    )  # fmt: skip


def add_weights(command: argparse.ArgumentParser) -> None:
    """``--weights``, ``--config`` and ``--set``"""
    command.add_argument(
        "--weights",
        required=True,
        metavar="FOLDER|FILE|NAME",
        help="folder that `train` wrote, a .pdparams or .safetensors file, or a published one: "
        + ", ".join(name for name, known in MODEL_ZOO.items() if known.config),
    )
    command.add_argument(
        "--config", "-c", help="configuration of a file of weights (a published file's is known)"
    )
    add_set(command)


def own_config(options: argparse.Namespace) -> Config | None:
    """The configuration that the options name for a file of weights."""
    if options.config is None and not options.set:
        return None
    known = zoo_entry(options.weights)
    name = options.config or (known and known.config)
    if name is None:
        raise ValueError("--set changes a configuration: name it with --config")
    changes = known.changes if known and not options.config else ()
    return load_config(name, [*changes, *options.set])
