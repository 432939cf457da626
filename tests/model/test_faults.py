"""One test for every fault of PaddleDetection that this package does not share.

Left to later modules, because what they concern does not exist here yet: label-cotuning
(COT) that cannot be reached, the ONNX and export branches, and evaluation. `IouLoss` and
`DIouLoss`, which raise there, are not offered here (see `maskrcnn_edu.config.schema.SECTIONS`).
"""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.losses import GIoULoss
from maskrcnn_edu.model.mask.targets import rasterize_polygons_within_box
from maskrcnn_edu.model.matching import label_box
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.head import RPNHead
from maskrcnn_edu.structures import AnchorTargets, BBoxOutput, GroundTruth, RoISamples, RPNOutput


def tensor(rows, dtype=np.float32):
    return paddle.to_tensor(np.array(rows, dtype))


# ---- two images in one batch -----------------------------------------------------


def test_mask_rows_of_the_second_image_begin_where_the_first_ends(tiny_c4, make_batch, pick):
    # there: mask_index counts from 0 in every image, so the first image's RoIs are used twice
    tiny_c4.train()
    batch = make_batch(2)
    both, alone = tiny_c4(batch), tiny_c4(pick(batch, [1]))
    first = len(both.mask_targets[0])
    np.testing.assert_allclose(
        both.mask_logits[first:].numpy(), alone.mask_logits.numpy(), atol=1e-5
    )


def test_every_mask_is_pasted_at_its_own_images_size(tiny, make_batch):
    # there: the size is taken by row of the detections, so all masks of the second image
    # get the first image's size as soon as the first has two detections
    tiny.eval()
    scales = [[2, 2], [1, 0.5]]
    made = tiny(make_batch(2, scale_factor=scales, with_gt=False)).detections
    assert min(map(len, made)) >= 2
    assert [d.masks.shape[1:] for d in made] == [[32, 32], [64, 128]]
    assert float(made[1].boxes.max()) > 64  # ... and the boxes fit the same frame


def test_one_image_of_two_without_detections(build_tiny, tiny_text, make_batch):
    # there: raises in the paste. One half of the images is seen in 3 x 3 pixels, where
    # no proposal is as large as min_size
    for text in tiny_text.values():
        model = build_tiny(text.replace("nms_thresh: 0.7}", "nms_thresh: 0.7, min_size: 6}"))
        model.eval()
        for shapes, empty in (([[3, 3], [64, 64]], 0), ([[64, 64], [3, 3]], 1)):
            made = model(make_batch(2, im_shape=shapes, with_gt=False)).detections
            assert len(made[empty]) == 0 and len(made[1 - empty]) > 0
            assert made[empty].masks.shape == [0, 3, 3]


# ---- little or nothing to train on -----------------------------------------------


def test_one_roi_and_no_foreground(build_tiny, tiny_text, make_batch, make_gt):
    # there: the fake RoI has index 1, which a single RoI does not have
    for text in tiny_text.values():
        model = build_tiny(text.replace("{batch_size_per_im: 16", "{batch_size_per_im: 1"))
        model.train()
        stages = model(make_batch(1, gt=[make_gt([])]))
        assert [len(s) for s in stages.samples] == [1]
        assert stages.losses["loss_mask"].item() == 0
        stages.loss.backward()


def test_an_image_without_foreground_does_not_dilute_the_mask_loss(tiny, make_batch, make_gt, pick):
    # there: the fake RoI has weight 0, but counts in the mean
    tiny.train()
    batch = make_batch(2, gt=[make_gt([[4, 6, 40, 30]], [1]), make_gt([])])
    both, alone = tiny(batch), tiny(pick(batch, [0]))
    expected = alone.losses["loss_mask"].item()
    assert both.losses["loss_mask"].item() == pytest.approx(expected, 1e-5)


def test_losses_are_scalars_for_images_without_objects(tiny, make_batch, make_gt):
    # there: their shape becomes [1]
    tiny.train()
    for gt in ([make_gt([])], [make_gt([]), make_gt([])]):
        stages = tiny(make_batch(len(gt), gt=gt))
        assert len(stages.losses) == 5
        assert all(loss.shape == [] for loss in stages.losses.values())
        assert stages.loss.shape == []


# ---- labels and crowds -----------------------------------------------------------


def roi_samples(labels):
    boxes = tensor([[0, 0, 4, 4]] * len(labels))
    index = paddle.zeros([len(labels)], dtype="int64")
    return RoISamples(boxes, tensor(labels, np.int64), boxes, index, index)


def box_head(**options):
    return BBoxHead(TwoFCHead(1, 1, 1), 1, num_classes=2, **options)


def test_a_roi_that_is_not_trained_on_among_valid_ones():
    # there: the cross-entropy raises on label -1
    def loss(labels):
        out = BBoxOutput(paddle.zeros([len(labels), 3]), paddle.ones([len(labels), 2, 4]))
        made = box_head().get_loss(out, [roi_samples(labels)])
        return [v.item() for v in made.values()]

    assert loss([0, -1, 2, -1]) == pytest.approx(loss([0, 2]))


@pytest.mark.parametrize("dtype", ["bool", "int32"])
def test_crowds_of_any_type(make_gt, dtype):
    # there: int32, which its own reader makes, raises on Paddle 3
    plain = make_gt([[0, 0, 8, 8], [20, 20, 28, 28]], is_crowd=[True, False])
    gt = GroundTruth(plain.boxes, plain.labels, plain.segms, plain.is_crowd.cast(dtype))
    labels = label_box(tensor([[0, 0, 8, 8], [20, 20, 28, 28]]), gt, 0.7, 0.3, True)[1]
    assert labels.tolist() == [0, 1]


# ---- masks -----------------------------------------------------------------------


def test_float64_polygons_are_not_overwritten():
    outline = np.array([10.0, 10, 20, 10, 20, 20])
    rasterize_polygons_within_box([outline], np.float32([5, 5, 25, 25]), 14)
    assert outline.tolist() == [10, 10, 20, 10, 20, 20]


def test_the_scale_of_masks_is_float32_whatever_the_numpy():
    # 14 / 12 is 1.16666662693 in float32: column 3 of 12 ends at 3.4999999 instead of 3.5 cells,
    # which is rounded to 3 columns instead of 4
    outline = np.array([0.0, 0, 3, 0, 3, 12, 0, 12])
    for box in (np.float32([0, 0, 12, 12]), np.float64([0, 0, 12, 12])):
        assert rasterize_polygons_within_box([outline], box, 14).sum() == 3 * 14


# ---- RoIAlign --------------------------------------------------------------------


def ramp():
    """The x of every pixel's centre, [1, 1, 8, 8]."""
    return tensor(np.broadcast_to(np.arange(8) + 0.5, (1, 1, 8, 8)))


@pytest.mark.parametrize("levels", [1, 4])
def test_aligned_is_obeyed(levels):
    # there: the newest source and 2.7.1 ignore `aligned: true`
    feats, box = [ramp()] * levels, [tensor([[2, 2, 4, 4]])]
    for aligned, x in ((True, 3), (False, 3.5)):
        made = RoIAlign(1, [1.0] * levels, aligned=aligned)(feats, box)
        assert made.item() == pytest.approx(x, 1e-6)


def test_sampling_ratio_is_obeyed_on_one_level():
    # there: it is passed on only with several levels
    squares = tensor(np.broadcast_to(np.arange(8.0) ** 2, (1, 1, 8, 8)))
    made = [
        RoIAlign(1, [1.0], ratio, aligned=True)([squares], [tensor([[2, 2, 6, 6]])]).item()
        for ratio in (0, 1)
    ]
    # pixels 2, 3, 4, 5: (4 + 9 + 16 + 25) / 4; their middle: (9 + 16) / 2
    assert made == pytest.approx([13.5, 12.5], 1e-6)


# ---- losses ----------------------------------------------------------------------


def test_giou_in_the_rpn_compares_boxes_not_deltas():
    # there: it takes the deltas for corners, and equal deltas of zero for empty boxes
    generator = AnchorGenerator([4], [1.0], [4])
    model = RPNHead(generator, in_channel=1, loss_rpn_bbox=GIoULoss())
    anchors = tensor([[0, 0, 4, 2]])
    out = RPNOutput(paddle.zeros([1, 1]), tensor([[[0.5, 0, 0, 0]]]), anchors, [1])
    wanted = AnchorTargets(tensor([1], np.int32), paddle.zeros([1, 4]), tensor([0], np.int64))
    made = model.get_loss(out, [wanted])["loss_rpn_reg"].item()
    # [2, 0, 6, 2] against [0, 0, 4, 2]: overlap 4, union 12, hull 12; 256 anchors asked for
    assert made == pytest.approx((1 - 4 / 12) / 256, 1e-5)
    exact = RPNOutput(paddle.zeros([1, 1]), paddle.zeros([1, 1, 4]), anchors, [1])
    assert model.get_loss(exact, [wanted])["loss_rpn_reg"].item() == pytest.approx(0, abs=1e-6)
