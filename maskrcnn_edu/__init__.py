"""maskrcnn_edu: the Mask R-CNN you can read, run and watch.

The names below are those of the document that the package follows; each is
imported from the file that explains it.
"""

import os as _os
import warnings as _warnings

# Pillow first: Paddle 2.6.2 brings a zlib of its own, with which Pillow would crash
import PIL.Image as _image

from maskrcnn_edu import processor as _processor

_processor.prepare_processor()
_threads = _os.environ.get(_processor.THREADS)  # Paddle sets it when it is imported
_warnings.filterwarnings("ignore", message=".*ccache.*")  # nothing is compiled here

from maskrcnn_edu.backbone import Res5Head, ResNet
from maskrcnn_edu.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.bbox.postprocess import BBoxPostProcess, MultiClassNMS, RCNNBox
from maskrcnn_edu.bbox.targets import BBoxAssigner, generate_proposal_target
from maskrcnn_edu.boxes import bbox2delta, bbox_overlaps, delta2bbox
from maskrcnn_edu.mask.head import MaskFeat, MaskHead
from maskrcnn_edu.mask.postprocess import MaskPostProcess
from maskrcnn_edu.mask.targets import (
    MaskAssigner,
    generate_mask_target,
    rasterize_polygons_within_box,
)
from maskrcnn_edu.mask_rcnn import MaskRCNN
from maskrcnn_edu.neck import FPN
from maskrcnn_edu.roi_align import RoIAlign
from maskrcnn_edu.rpn.anchors import AnchorGenerator
from maskrcnn_edu.rpn.head import RPNFeat, RPNHead
from maskrcnn_edu.rpn.proposals import ProposalGenerator
from maskrcnn_edu.rpn.targets import RPNTargetAssign

_processor.use_threads(_threads)

__version__ = "0.1.0"
