"""A trained model as a program that runs without this package: Paddle Inference and ONNX.

A recorded program has no Python in it: no lists whose length depends on the data, no
loops over the detections. Most of the model is recorded as it is. Four stages are
written a second time here, in operators that the converter to ONNX has:

* non-maximum suppression, which the converter knows only as ``multiclass_nms3`` (not as
  ``nms``), for proposals and for detections;
* sending each RoI to its feature level (there is no ``distribute_fpn_proposals``);
* anchors, which here follow from the size of the image that comes in;
* pasting, of all masks at once instead of one after the other.

The program takes one image of any size: ``image`` [1, 3, H, W] float32, ``im_shape``
[1, 2] and ``scale_factor`` [1, 2] float32, as in `maskrcnn_edu.structures.Batch`. It
answers ``boxes`` [D, 4], ``labels`` [D] int64, ``scores`` [D] and ``masks`` [D, h, w]
uint8, in the frame of the file, ordered as the model orders them.
"""

from __future__ import annotations

import math
from pathlib import Path

import paddle
import paddle.nn.functional as F
from paddle import Tensor, _C_ops, nn
from paddle.static import InputSpec
from paddle.vision.ops import roi_align

from maskrcnn_edu.model.bbox.postprocess import MultiClassNMS, boxes_to_image_frame
from maskrcnn_edu.model.boxes import clip_bbox, delta2bbox, nonempty_bbox
from maskrcnn_edu.model.mask.postprocess import pixel_coords
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.ops.bilinear import bilinear_weights
from maskrcnn_edu.model.ops.empty import gather_pairs
from maskrcnn_edu.model.roi_align import LEVEL_NAME_OFFSET, RoIAlign
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.proposals import SMALLEST_SIDE, ProposalGenerator
from maskrcnn_edu.structures import BBoxOutput

INPUTS = ("image", "im_shape", "scale_factor")
OUTPUTS = ("boxes", "labels", "scores", "masks")
ONNX_VERSION = 16  # of the operators: the first with RoIAlign's half-pixel shift
NO_SCORE = -1e9
ALL = 2**30


class InferenceProgram(nn.Layer):
    """The model's prediction of one image, in operators that can be recorded.

    Args:
        model: a trained model; its weights are used, not copied.
    """

    def __init__(self, model: MaskRCNN):
        super().__init__()
        self.model = model
        self.eval()

    def forward(
        self, image: Tensor, im_shape: Tensor, scale_factor: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See the module's docstring."""
        im_shape, scale_factor = im_shape[0], scale_factor[0]
        boxes, labels, scores, probs = _detect(self.model, image, im_shape)
        boxes = boxes_to_image_frame(boxes, im_shape, scale_factor)
        size = paddle.floor(im_shape / scale_factor + 0.5).cast("int64")
        pasted = paste_whole(probs, boxes, size[0], size[1])
        masks = (pasted >= self.model.mask_post_process.binary_thresh).cast("uint8")
        rows = paddle.arange(paddle.shape(labels)[0] - 1)  # all but the last
        return tuple(paddle.gather(x, rows) for x in (boxes, labels, scores, masks))


def _detect(
    model: MaskRCNN, image: Tensor, im_shape: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`MaskRCNN.detect` of one image: boxes [D + 1, 4] (input frame), labels, scores and mask
    probabilities [D + 1, M, M]; the last row stands for nothing.
    """
    features = model.features(image)
    rois = _proposals(model, features, im_shape)
    bbox = model.bbox_head(_roi_feature(model.bbox_head, features, rois))
    boxes, labels, scores = _detections(model, bbox, rois, im_shape)
    return boxes, labels, scores, _mask_probs(model, features, boxes, labels)


def paste_whole(masks: Tensor, boxes: Tensor, height: Tensor | int, width: Tensor | int) -> Tensor:
    """Every mask in an image of its own: `maskrcnn_edu.model.mask.postprocess.paste_mask` for
    programs, which cannot cut out boxes one after the other. This is the only place for it.

    Args:
        masks: [D, M, M] probabilities.
        boxes: [D, 4], image frame.
        height, width: size of the image, in pixels.

    Returns:
        [D, height, width] float32 probabilities.
    """
    size = masks.shape[-1]
    at_y, at_x = pixel_coords(boxes, size, height, width)
    cells = paddle.arange(size, dtype="float32")
    rows, columns = bilinear_weights(at_y, cells), bilinear_weights(at_x, cells)
    return rows @ masks @ columns.transpose([0, 2, 1])


# ---------------------------------------------------------------- proposals


def _proposals(model: MaskRCNN, features: list[Tensor], im_shape: Tensor) -> Tensor:
    """The proposals [R, 4] of one image."""
    head = model.rpn_head
    generator: ProposalGenerator = head.test_proposal
    levels = []
    for level, feat in enumerate(head.rpn_feat(features)):
        scores = head.rpn_rois_score(feat).transpose([0, 2, 3, 1]).reshape([-1])  # [A of the level]
        deltas = head.rpn_rois_delta(feat).transpose([0, 2, 3, 1]).reshape([-1, 4])
        anchors = _anchors(head.anchor_generator, level, feat)
        levels.append(_level_proposals(generator, scores, deltas, anchors, im_shape))
    boxes = paddle.concat([boxes for boxes, _ in levels])
    scores = paddle.concat([scores for _, scores in levels])
    if len(levels) == 1:
        return boxes
    return paddle.gather(boxes, _best(scores, generator.post_nms_top_n))


def _anchors(generator: AnchorGenerator, level: int, feat: Tensor) -> Tensor:
    """The anchors [h * w * K, 4] of a feature map whose size is known when it comes in."""
    stride = generator.strides[level]
    cell = paddle.to_tensor(generator.cell_anchors[level], dtype="float32")  # [K, 4]
    height, width = paddle.shape(feat)[2], paddle.shape(feat)[3]
    ys = (paddle.arange(height).cast("float32") + generator.offset) * stride
    xs = (paddle.arange(width).cast("float32") + generator.offset) * stride
    zeros = ys.unsqueeze(1) * xs * 0.0  # [h, w]
    y, x = zeros + ys.unsqueeze(1), zeros + xs
    centers = paddle.stack([x, y, x, y], axis=-1)  # [h, w, 4]
    return (centers.unsqueeze(2) + cell).reshape([-1, 4])


def _level_proposals(
    generator: ProposalGenerator, scores: Tensor, deltas: Tensor, anchors: Tensor, im_shape: Tensor
) -> tuple[Tensor, Tensor]:
    """One level's proposals [r, 4] and scores [r], best first."""
    best = _best(scores, generator.pre_nms_top_n)
    boxes = delta2bbox(paddle.gather(deltas, best), paddle.gather(anchors, best)).squeeze(1)
    boxes, scores = clip_bbox(boxes, im_shape), paddle.gather(scores, best)
    x1, y1, x2, y2 = boxes.unbind(1)
    shorter = paddle.minimum(x2 - x1, y2 - y1)
    # too small ones stay in the list, with a score that cannot win
    small = shorter < max(generator.min_size, SMALLEST_SIDE)
    scores = paddle.where(small, paddle.full_like(scores, NO_SCORE), scores)
    boxes, scores = _and_none(boxes, 0.0), _and_none(scores, NO_SCORE)
    nms = MultiClassNMS(
        score_threshold=NO_SCORE,
        keep_top_k=generator.level_limit,
        nms_threshold=generator.nms_thresh,
        nms_eta=generator.eta,
    )
    kept = _suppress(nms, boxes, scores.unsqueeze(0))
    return paddle.gather(boxes, kept), paddle.gather(scores, kept)


def _and_none(rows: Tensor, value: float) -> Tensor:
    """Rows [R, ...] and one that stands for nothing: most operators refuse an empty list."""
    shape = [1, *rows.shape[1:]]
    return paddle.concat([rows, paddle.full(shape, value, rows.dtype)])


def _best(scores: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` highest scores, or of all if there are fewer."""
    available = paddle.shape(scores)[0:1].cast("int64")
    return paddle.topk(scores, paddle.minimum(available, paddle.full([1], count, "int64")))[1]


def _suppress(nms: MultiClassNMS, boxes: Tensor, scores: Tensor) -> Tensor:
    """Rows [k] int64 of the boxes [R, 4] that survive, best first.

    Args:
        nms: the thresholds.
        boxes: [R, 4], the last of them none (see `_and_none`).
        scores: [C, R]; a box takes part in those classes in which it has a score.
    """
    if nms.nms_top_k > 0:  # ONNX limits what comes out of suppression, not what goes in
        scores = _only_best(scores, nms.nms_top_k)
    _, index, _ = _C_ops.multiclass_nms3(
        boxes.unsqueeze(0),  # [1, R, 4]
        scores.unsqueeze(0),  # [1, C, R]
        None,
        nms.score_threshold,
        ALL,
        ALL,  # the converter takes the best of several classes by a wrong score: we do it below
        nms.nms_threshold,
        True,  # boxes are continuous: no "+1"
        nms.nms_eta,
        -1,  # no class is background
    )
    none = paddle.shape(boxes)[0:1].cast("int64") - 1
    kept = paddle.concat([index.reshape([-1]).cast("int64"), none])
    if nms.keep_top_k < 0:
        return kept
    best_class = paddle.gather(scores.max(axis=0), kept)
    return paddle.gather(kept, _best(best_class, nms.keep_top_k))


def _only_best(scores: Tensor, count: int) -> Tensor:
    """Scores [C, R] in which only the ``count`` best of every class are left."""
    available = paddle.shape(scores)[1:2].cast("int64")
    best = paddle.topk(scores, paddle.minimum(available, paddle.full([1], count, "int64")))[0]
    return paddle.where(scores >= best[:, -1:], scores, paddle.full([1, 1], NO_SCORE))


# ---------------------------------------------------------------- RoIs


def _roi_feature(head: nn.Layer, features: list[Tensor], boxes: Tensor) -> Tensor:
    """`BBoxHead.roi_feature` for the boxes [R, 4] of one image."""
    return head.head(_align(head.roi_extractor, features, boxes))


def _align(extractor: RoIAlign, features: list[Tensor], boxes: Tensor) -> Tensor:
    """`RoIAlign.forward` for one image: [R, c, r, r]."""
    if len(features) == 1:
        return _align_level(extractor, features[0], boxes, extractor.spatial_scale[0])
    count = paddle.shape(boxes)[0:1].cast("int64")
    boxes = _and_none(boxes, 0.0)
    level_of = _level_of(extractor, boxes[:-1])
    rows, parts = [], []
    for level in range(extractor.start_level, extractor.end_level + 1):
        own = paddle.nonzero(level_of == level).flatten()
        row = paddle.concat([own, count])  # the box that is none goes to every level
        scale = extractor.spatial_scale[level]
        parts.append(_align_level(extractor, features[level], paddle.gather(boxes, row), scale))
        rows.append(row)
    # sorting the rows of all levels leads back; those of the box that is none come last
    order = paddle.argsort(paddle.concat(rows))
    return paddle.gather(paddle.concat(parts), paddle.gather(order, paddle.arange(count)))


def _level_of(extractor: RoIAlign, boxes: Tensor) -> Tensor:
    """The feature level [R] that fits each box."""
    side = paddle.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    octaves = paddle.log(side / extractor.canonical_size + 1e-6) / math.log(2)
    level = paddle.floor(octaves) + extractor.canconical_level - LEVEL_NAME_OFFSET
    return level.clip(extractor.start_level, extractor.end_level)


def _align_level(extractor: RoIAlign, feat: Tensor, boxes: Tensor, scale: float) -> Tensor:
    count = paddle.shape(boxes)[0:1].cast("int32")
    return roi_align(
        feat,
        boxes,
        count,
        extractor.resolution,
        spatial_scale=scale,
        sampling_ratio=extractor.sampling_ratio or -1,
        aligned=extractor.aligned,
    )


# ---------------------------------------------------------------- detections


def _detections(
    model: MaskRCNN, bbox: BBoxOutput, rois: Tensor, im_shape: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes [D + 1, 4] (input frame), labels and scores; the last stands for nothing."""
    post = model.bbox_post_process
    classes, nms = post.num_classes, post.nms
    probs = F.softmax(bbox.scores)[:, :classes]  # [R, C]
    is_real = nonempty_bbox(rois).cast("float32")
    decoded = delta2bbox(bbox.deltas, rois, post.decode.prior_box_var)  # [R, C or 1, 4]
    candidates = paddle.nonzero(probs * is_real.unsqueeze(1) > nms.score_threshold)  # [k, 2]
    candidates = _and_none(candidates, 0)
    rows, labels = candidates[:, 0], candidates[:, 1]
    column = labels if bbox.deltas.shape[1] > 1 else paddle.zeros_like(labels)
    boxes = clip_bbox(gather_pairs(decoded, rows, column), im_shape)
    scores = gather_pairs(probs, rows, labels)
    is_none = paddle.arange(paddle.shape(rows)[0]) == paddle.shape(rows)[0] - 1
    boxes = paddle.where(is_none.unsqueeze(1), paddle.zeros([1, 1]), boxes)
    scores = paddle.where(is_none, paddle.full([1], NO_SCORE), scores)
    kept = _suppress(nms, boxes, _in_own_class(scores, labels, classes))
    order = paddle.argsort(paddle.gather(labels * paddle.shape(rois)[0].cast("int64") + rows, kept))
    kept = paddle.gather(kept, order)
    # clipping may leave nothing of a box
    filled = paddle.nonzero(nonempty_bbox(paddle.gather(boxes, kept))).flatten()
    none = paddle.shape(boxes)[0:1].cast("int64") - 1
    kept = paddle.concat([paddle.gather(kept, filled), none])
    return paddle.gather(boxes, kept), paddle.gather(labels, kept), paddle.gather(scores, kept)


def _in_own_class(scores: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Scores [k] and labels [k] -> [C, k]: the score in its class's row, else none."""
    own = labels.unsqueeze(0) == paddle.arange(classes).unsqueeze(1)  # [C, k]
    return paddle.where(own, scores.unsqueeze(0), paddle.full([1, 1], NO_SCORE))


def _mask_probs(model: MaskRCNN, features: list[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
    """Mask probabilities [D + 1, M, M]."""
    head = model.mask_head
    if head.share_bbox_feat:
        roi_feat = _roi_feature(model.bbox_head, features, boxes)
    else:
        roi_feat = _align(head.roi_extractor, features, boxes)
    return head.get_prediction(head(roi_feat), labels)


# ---------------------------------------------------------------- files


def export_paddle(model: MaskRCNN, folder: str | Path) -> Path:
    """Record the program for Paddle Inference.

    Returns:
        The path without its endings (``.json`` and ``.pdiparams`` are written).

    Raises:
        ValueError: this is Paddle 2.
    """
    if paddle.__version__.startswith("2."):
        raise ValueError(f"export needs Paddle 3; this is {paddle.__version__}")
    path = Path(folder) / "model"
    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = {"image": [1, 3, None, None], "im_shape": [1, 2], "scale_factor": [1, 2]}
    spec = [InputSpec(shapes[name], "float32", name) for name in INPUTS]
    program = paddle.jit.to_static(InferenceProgram(model), input_spec=spec, full_graph=True)
    paddle.jit.save(program, str(path))
    return path


def export_onnx(model: MaskRCNN, folder: str | Path) -> Path:
    """Write ``model.onnx`` (and the program that it was converted from).

    Raises:
        ValueError: the package ``paddle2onnx`` is not installed, or the model uses adaptive
            suppression, which ONNX does not have.
    """
    try:
        import paddle2onnx
    except ImportError as error:
        raise ValueError("ONNX needs a converter: pip install paddle2onnx onnxruntime") from error
    eta = min(model.rpn_head.test_proposal.eta, model.bbox_post_process.nms.nms_eta)
    if eta < 1:
        raise ValueError(f"ONNX has no adaptive suppression (eta, nms_eta): use 1, not {eta}")
    path = export_paddle(model, folder)
    onnx = path.with_suffix(".onnx")
    paddle2onnx.export(
        f"{path}.json",
        f"{path}.pdiparams",
        str(onnx),
        opset_version=ONNX_VERSION,
        optimize_tool="None",
        verbose=False,
    )
    _name_outputs(onnx)
    return onnx


def _name_outputs(path: Path) -> None:
    """Give the outputs their names; the converter numbers them."""
    import onnx

    program = onnx.load(path)
    new_name = dict(zip((output.name for output in program.graph.output), OUTPUTS))
    for output in program.graph.output:
        output.name = new_name[output.name]
    for node in program.graph.node:
        node.output[:] = [new_name.get(name, name) for name in node.output]
        node.input[:] = [new_name.get(name, name) for name in node.input]
    onnx.save(program, path)
