"""The two that we are compared with, and what each has to be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle

from benchmarks.work import Case, case_config
from maskrcnn_edu.config.build import build
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.model.optimizer import OptimizerBuilder

FOLDER = Path(__file__).parent

PEER_SIZES = (
    "ResNet.depth=18", "ResNet.ch_in=64", "ResNet.ch_out_list=[64,128,256,512]",
    "ResNet.norm_type=bn", "BBoxHead.cls_agnostic=false",
)  # fmt: skip
"""The smallest backbone that PaddleDetection can build, and one box per class."""
PEER_SIZES_FPN = ("FPN.norm_type=null", "MaskFeat.norm_type=null")
"""PaddleDetection's group norm wants 32 groups; these layers have 48 channels."""
PEER_SIZES_C4 = (
    "ResNet.num_stages=3", "ResNet.return_idx=[2]", "RPNHead.anchor_generator.strides=[16]",
    "Res5Head.depth=18", "Res5Head.ch_out=512", "Res5Head.norm_type=bn",
    "Res5Head.freeze_norm=true",
)  # fmt: skip
"""PaddleDetection's Res5Head stands on res4, and has 512 channels."""

OURS_ALONE = {"ResNet": ("ch_out_list",), "BBoxHead": ("cls_agnostic",),
              "Res5Head": ("ch_out", "norm_type", "freeze_norm", "in_channel")}  # fmt: skip
"""Keys that PaddleDetection's classes do not have; `PEER_SIZES` gives them its values."""
NOT_THE_MODEL = ("TrainReader", "EvalReader", "LearningRate", "OptimizerBuilder", "epoch", "amp",
                 "pretrain_weights")  # fmt: skip


def model_values(config: Config) -> dict[str, Any]:
    """The configuration's plain values, without what only training and reading need."""
    return {name: value for name, value in config.values.items() if name not in NOT_THE_MODEL}


def optimizer_values(config: Config) -> dict[str, Any]:
    """The configuration's optimizer in plain values."""
    made = build(config, OptimizerBuilder)
    options = {k: v for k, v in made.optimizer.items() if k != "type"}
    decay = made.regularizer["factor"] if made.regularizer else 0.0
    return {"kind": made.optimizer["type"], "options": options, "decay": decay,
            "limit": made.clip_grad_by_norm}  # fmt: skip


@dataclass(frozen=True)
class PaddleDetection:
    """PaddleDetection 2.6.0.

    Attributes:
        python: interpreter of an environment with paddledet 2.6.0 and Paddle.
        code: folder with other source of PaddleDetection, to be used instead; or None.
    """

    python: str
    code: str | None = None
    name = "PaddleDetection"
    option = "--peer"
    fix = "; that environment needs Paddle and paddledet 2.6.0, see docs/speed.md"
    worker = FOLDER / "peer_worker.py"

    def command(self) -> list[str]:
        """What starts its worker."""
        return [self.python, str(self.worker), *([self.code] if self.code else [])]

    def changes(self, name: str) -> tuple[str, ...]:
        """What must be changed in a configuration so that PaddleDetection can build it too."""
        config = load_config(name)
        resnet, box = config.values.get("ResNet", {}), config.values.get("BBoxHead", {})
        fits = "ch_out_list" not in resnet and resnet.get("ch_in", 64) == 64
        if fits and resnet.get("depth", 50) >= 18 and not box.get("cls_agnostic", False):
            return ()
        has_neck = config.values.get("MaskRCNN", {}).get("neck")
        return PEER_SIZES + (PEER_SIZES_FPN if has_neck else PEER_SIZES_C4)

    def work(self, case: Case, folder: str) -> dict[str, Any]:
        """What its process has to know: the configuration in its own words."""
        config, on_gpu = case_config(case), paddle.get_device() != "cpu"
        values = model_values(config)
        for section, keys in OURS_ALONE.items():
            if section in values:
                values[section] = {k: v for k, v in values[section].items() if k not in keys}
        values = {"architecture": "MaskRCNN", **values, "metric": "COCO", "use_gpu": on_gpu}
        return {"folder": folder, "config": values, "optimizer": optimizer_values(config),
                "device": "gpu" if on_gpu else "cpu"}  # fmt: skip


@dataclass(frozen=True)
class TorchVision:
    """torchvision's Mask R-CNN, on a CPU.

    Attributes:
        python: interpreter of an environment with torch, torchvision and pycocotools.
    """

    python: str
    name = "torchvision"
    option = "--peer-torchvision"
    fix = "; that environment needs torch, torchvision and pycocotools, see docs/speed.md"
    worker = FOLDER / "torchvision_worker.py"

    def command(self) -> list[str]:
        """What starts its worker."""
        return [self.python, str(self.worker)]

    def changes(self, name: str) -> tuple[str, ...]:
        """None: what torchvision lacks is put together from its parts."""
        return ()

    def work(self, case: Case, folder: str) -> dict[str, Any]:
        """What its process has to know."""
        config = case_config(case)
        values = {
            **{name: {} for name in ("MaskFeat", "TwoFCHead", "Res5Head")},
            **model_values(config),
        }
        return {"folder": folder, "config": values, "optimizer": optimizer_values(config)}


Peer = PaddleDetection | TorchVision
