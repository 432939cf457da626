"""Options of ``train`` for going on from other weights, and for other batches."""

from __future__ import annotations

import argparse

from maskrcnn_edu.config.build import build
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.model.optimizer import LearningRate


def add_finetuning(command: argparse.ArgumentParser) -> None:
    """``--freeze`` and ``--batch-size``"""
    command.add_argument(
        "--freeze",
        nargs="+",
        default=[],
        metavar="PART",
        help="do not train these parts: backbone, neck, rpn_head, bbox_head, mask_head, or longer "
        "beginnings of weights' names, as in backbone.res2",
    )
    command.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="images per batch, all processes together (default: the configuration's "
        "TrainReader.batch_size); the learning rate grows and shrinks with it, unless "
        "--set LearningRate.base_lr says which to take",
    )


def with_batch_size(
    options: argparse.Namespace, config: Config, overrides: list[str]
) -> tuple[Config, str]:
    """The configuration for the batches that the options ask for.

    The configuration's learning rate is for its own batch size. A step sees ``--batch-size``
    images times ``--accumulate``; the rate is multiplied by as much as there are more.

    Args:
        options: of ``train``.
        config: as the options have it otherwise.
        overrides: what it was made with.

    Returns:
        The configuration, and a line about the learning rate ("" if it stays).

    Raises:
        ValueError: a batch size below 1.
    """
    base = build(config, Reader, ("TrainReader",)).batch_size
    size = base if options.batch_size is None else options.batch_size
    if size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {size}")
    per_step, learning_rate = size * max(options.accumulate, 1), build(config, LearningRate)
    chosen = config.places.get(("LearningRate", "base_lr"), "").startswith("--set")
    rate = learning_rate.base_lr if chosen else learning_rate.scaled_for_batch_size(per_step, base)
    changes = [f"TrainReader.batch_size={size}", f"LearningRate.base_lr={rate:.15e}"]
    message = f"{per_step} images per step instead of {base}: base_lr {rate:g}"
    if chosen:
        message += ", as you set it"
    else:
        message += f" instead of {learning_rate.base_lr:g} (Goyal et al., 2017)"
    if per_step == base:
        message = ""
    return load_config(options.config, [*overrides, *changes]), message
