"""maskrcnn_edu: the Mask R-CNN you can read, run and watch.

The names below are those of the document that the package follows, and what builds and loads
a whole model. Each is imported from the file that explains it when it is first asked for, so
that importing the package costs nothing and changes nothing.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

# reads OMP_NUM_THREADS, which Paddle sets to 1 when it is imported: then nobody knows who did
from maskrcnn_edu.system import cpu as _cpu  # noqa: F401

with contextlib.suppress(ImportError):  # `maskrcnn-edu doctor` says what is missing
    # before Paddle: 2.6.2 brings a zlib of its own, with which Pillow would crash
    import PIL.Image as _image  # noqa: F401

__version__ = "0.2.0.dev0"

_FILES = {
    "model.mask_rcnn": ["MaskRCNN"],
    "model.backbone": ["ResNet", "Res5Head"],
    "model.neck": ["FPN"],
    "model.rpn.head": ["RPNHead", "RPNFeat"],
    "model.rpn.anchors": ["AnchorGenerator"],
    "model.rpn.targets": ["RPNTargetAssign"],
    "model.rpn.proposals": ["ProposalGenerator"],
    "model.roi_align": ["RoIAlign"],
    "model.bbox.head": ["BBoxHead", "TwoFCHead"],
    "model.bbox.targets": ["BBoxAssigner", "generate_proposal_target"],
    "model.bbox.postprocess": ["BBoxPostProcess", "RCNNBox", "MultiClassNMS"],
    "model.mask.head": ["MaskHead", "MaskFeat"],
    "model.mask.targets": [
        "MaskAssigner",
        "generate_mask_target",
        "rasterize_polygons_within_box",
    ],
    "model.mask.postprocess": ["MaskPostProcess"],
    "model.boxes": ["bbox2delta", "delta2bbox", "bbox_overlaps"],
    "config.schema": ["load_config"],
    "config.build": ["build_model"],
    "weights.folder": ["load_model"],
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = ["__version__", *_FILE_OF]


def __getattr__(name: str) -> Any:
    """Import the file that defines ``name`` (PEP 562)."""
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FILE_OF})
