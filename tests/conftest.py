"""Small things that several tests need: a tiny model of each kind, objects, a batch."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import paddle
import pytest

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.structures import Batch, GroundTruth
from maskrcnn_edu.system.cpu import CPUINFO, use_avx2_code

# before the first product, as the commands do: tests compare what both compute, to the last bit
use_avx2_code(CPUINFO)

TINY_FPN = """
num_classes: 3
MaskRCNN: {backbone: ResNet, neck: FPN}
ResNet: {depth: 10, ch_in: 8, ch_out_list: [8, 8, 16, 16], freeze_at: -1}
FPN: {out_channel: 8}
RPNHead:
  anchor_generator:
    anchor_sizes: [[8], [16], [32], [48], [64]]
    strides: [4, 8, 16, 32, 64]
  rpn_target_assign: {batch_size_per_im: 32, use_random: false}
  train_proposal: {pre_nms_top_n: 40, post_nms_top_n: 20, nms_thresh: 0.7}
  test_proposal: {pre_nms_top_n: 40, post_nms_top_n: 12, nms_thresh: 0.7}
BBoxHead:
  head: TwoFCHead
  bbox_assigner: BBoxAssigner
  roi_extractor: {resolution: 4, canonical_size: 56, aligned: true}
TwoFCHead: {out_channel: 16}
BBoxAssigner: {batch_size_per_im: 16, use_random: false}
BBoxPostProcess: {nms: {keep_top_k: 6, score_threshold: 0.05}}
MaskHead:
  mask_assigner: MaskAssigner
  roi_extractor: {resolution: 7, canonical_size: 56, aligned: true}
MaskFeat: {num_convs: 1, out_channel: 8}
MaskAssigner: {mask_resolution: 14}
"""

TINY_C4 = """
num_classes: 3
MaskRCNN: {backbone: ResNet}
ResNet:
  {depth: 10, ch_in: 8, ch_out_list: [8, 8, 16], freeze_at: -1, num_stages: 3, return_idx: [2]}
RPNHead:
  anchor_generator: {anchor_sizes: [16, 32], strides: [16]}
  rpn_target_assign: {batch_size_per_im: 32, use_random: false}
  train_proposal: {pre_nms_top_n: 60, post_nms_top_n: 20, nms_thresh: 0.7}
  test_proposal: {pre_nms_top_n: 60, post_nms_top_n: 12, nms_thresh: 0.7}
BBoxHead:
  head: Res5Head
  with_pool: true
  bbox_assigner: BBoxAssigner
  roi_extractor: {resolution: 8, aligned: true}
Res5Head: {depth: 10, ch_out: 8}
BBoxAssigner: {batch_size_per_im: 16, use_random: false}
BBoxPostProcess: {nms: {keep_top_k: 6, score_threshold: 0.05}}
MaskHead:
  share_bbox_feat: true
  mask_assigner: MaskAssigner
  roi_extractor: {resolution: 8, aligned: true}
MaskFeat: {num_convs: 0, out_channel: 8}
MaskAssigner: {mask_resolution: 8}
"""


@pytest.fixture(scope="session")
def tiny_text():
    """The YAML of both tiny models, for tests that change a value."""
    return {"fpn": TINY_FPN, "c4": TINY_C4}


@pytest.fixture(scope="session")
def build_tiny():
    """Text -> model with the same weights every time."""

    def build(text):
        paddle.seed(3)
        return build_model(parse_config(text))

    return build


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A folder of 13 training and 5 validation images; not to be changed.

    Odd numbers, so that batches and processes do not divide them evenly.
    """
    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(folder, train=13, val=5)
    return folder


@pytest.fixture
def tiny_fpn(build_tiny):
    return build_tiny(TINY_FPN)


@pytest.fixture
def tiny_c4(build_tiny):
    return build_tiny(TINY_C4)


@pytest.fixture(params=["c4", "fpn"])
def tiny(request, build_tiny, tiny_text):
    """Each test that asks for this runs on both models."""
    return build_tiny(tiny_text[request.param])


def _outline(box):
    """A box as a polygon."""
    x1, y1, x2, y2 = box
    return [np.array([x1, y1, x2, y1, x2, y2, x1, y2], np.float64)]


@pytest.fixture(scope="session")
def make_gt():
    """Boxes, labels, crowds -> ground truth whose shapes fill their boxes."""

    def make(boxes, labels=None, is_crowd=None):
        count = len(boxes)
        labels = [0] * count if labels is None else labels
        is_crowd = [False] * count if is_crowd is None else is_crowd
        return GroundTruth(
            paddle.to_tensor(np.asarray(boxes, np.float32).reshape(-1, 4)),
            paddle.to_tensor(np.asarray(labels, np.int64)),
            [_outline(b) for b in boxes],
            paddle.to_tensor(np.asarray(is_crowd, bool)),
        )

    return make


@pytest.fixture(scope="session")
def make_batch(make_gt):
    """One batch of 64-pixel noise; image i has 1 + i objects unless they are given."""

    def make(images=2, gt=None, im_shape=None, scale_factor=None, with_gt=True):
        noise = np.random.default_rng(0).normal(size=(images, 3, 64, 64)).astype(np.float32)
        boxes = [[4, 6, 40, 30], [20, 16, 52, 60], [2, 2, 18, 18]]
        made = gt or [make_gt(boxes[: 1 + i], list(range(1 + i))) for i in range(images)]
        return Batch(
            paddle.to_tensor(noise),
            paddle.to_tensor(np.asarray(im_shape or [[64, 64]] * images, np.float32)),
            paddle.to_tensor(np.asarray(scale_factor or [[1, 1]] * images, np.float32)),
            list(range(images)),
            made if with_gt else None,
        )

    return make


@pytest.fixture(scope="session")
def pick():
    """Some images of a batch, as a batch of their own."""

    def choose(batch, rows):
        index = paddle.to_tensor(rows, dtype="int64")
        return Batch(
            batch.image[index],
            batch.im_shape[index],
            batch.scale_factor[index],
            [batch.image_id[i] for i in rows],
            None if batch.gt is None else [batch.gt[i] for i in rows],
        )

    return choose
