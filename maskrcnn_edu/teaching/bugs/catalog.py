"""The bug zoo: real mistakes of detector code, to be let loose on purpose.

Every mistake below was made in some published detector, and most of them train without an
error message. Each is a few words of the package's own source and the wrong words in their
place, so what differs is the mistake and nothing else. `release` lets one out; the same
list tests the tests: `tools/mutation.py` lets out one bug after the other and asks who
noticed.
"""

from __future__ import annotations

from maskrcnn_edu.teaching.bugs.bug import Bug, Patch

_ALL = (
    Bug(
        name="flip_forgets_polygons",
        title="Flip forgets the polygons",
        story="Augmentation was written when there were only boxes. Boxes and image agree, so box "
        "AP is fine; half of all mask targets belong to the mirror image.",
        patches=(
            Patch(
                "data.transforms:RandomFlip.__call__",
                "        gt = scale_and_shift(sample.gt, scale, shift)\n",
                (
                    "        gt = scale_and_shift(sample.gt, scale, shift)\n"
                    "        if gt is not None:\n"
                    "            gt = replace(gt, segms=sample.gt.segms)\n"
                ),
            ),
        ),
        tests=("tests/data/test_transforms.py",),
        notebooks=("01_data",),
    ),
    Bug(
        name="anchors_xy_swapped",
        title="x and y of anchors swapped",
        story="A grid made by meshgrid or by two loops, unpacked in the wrong order. On square "
        "images every anchor still exists, but not at the place whose score it gets.",
        patches=(
            Patch(
                "model.rpn.anchors:AnchorGenerator._grid_anchors",
                "np.stack([x, y, x, y], axis=-1)",
                "np.stack([y, x, y, x], axis=-1)",
            ),
        ),
        tests=("tests/model/rpn/test_anchors.py",),
        notebooks=("02_anchors", "03_rpn", "00_tour"),
    ),
    Bug(
        name="anchors_half_stride",
        title="Anchors shifted by half a stride",
        story="One framework puts anchors in the cell's corner, another in its middle. Weights of "
        "the one, loaded into the other, find everything half a stride away.",
        patches=(
            Patch(
                "model.rpn.anchors:AnchorGenerator._grid_anchors",
                "(np.arange(height, dtype=np.float32) + self.offset)",
                "(np.arange(height, dtype=np.float32) + self.offset + 0.5)",
            ),
            Patch(
                "model.rpn.anchors:AnchorGenerator._grid_anchors",
                "(np.arange(width, dtype=np.float32) + self.offset)",
                "(np.arange(width, dtype=np.float32) + self.offset + 0.5)",
            ),
        ),
        tests=("tests/model/rpn/test_anchors.py",),
        notebooks=("02_anchors", "03_rpn", "00_tour"),
    ),
    Bug(
        name="iou_plus_one",
        title="IoU with + 1 widths",
        story="Copied from code in which x2 was the last pixel inside. Small boxes overlap too "
        "much, and boxes that only touch overlap.",
        patches=(
            Patch(
                "model.boxes:bbox_overlaps",
                "(paddle.minimum(ax2, bx2) - paddle.maximum(ax1, bx1))",
                "(paddle.minimum(ax2, bx2) - paddle.maximum(ax1, bx1) + 1)",
            ),
            Patch(
                "model.boxes:bbox_overlaps",
                "(paddle.minimum(ay2, by2) - paddle.maximum(ay1, by1))",
                "(paddle.minimum(ay2, by2) - paddle.maximum(ay1, by1) + 1)",
            ),
            Patch(
                "model.boxes:bbox_area",
                "(x2 - x1) * (y2 - y1)",
                "(x2 - x1 + 1) * (y2 - y1 + 1)",
            ),
        ),
        tests=("tests/model/test_boxes.py",),
        notebooks=("02_anchors", "04_bbox_assigner"),
    ),
    Bug(
        name="low_quality_forgotten",
        title="Low-quality matches forgotten",
        story="Only the threshold of 0.7 makes an anchor positive. Small and thin objects have no "
        "such anchor, so they are never learned, and nothing else looks wrong.",
        patches=(
            Patch(
                "model.matching:label_box",
                (
                    "    if allow_low_quality:\n"
                    "        foreground = paddle.logical_or(foreground, is_closest)\n"
                ),
                "",
            ),
        ),
        tests=("tests/model/rpn/test_targets.py", "tests/model/test_matching.py"),
        notebooks=("02_anchors",),
    ),
    Bug(
        name="crowds_are_objects",
        title="Crowds matched like objects",
        story="The flag iscrowd is read and not used. Boxes around a hundred people become "
        "examples of one person.",
        patches=(
            Patch(
                "model.matching:_mask_crowds",
                "return paddle.where(hidden, paddle.full_like(iou, -1.0), iou)",
                "return iou",
            ),
        ),
        tests=("tests/model/test_matching.py",),
        notebooks=("02_anchors", "04_bbox_assigner"),
    ),
    Bug(
        name="encode_without_weights",
        title="Delta weights forgotten when encoding",
        story="The loss is made of deltas that are 5 and 10 times too small, so boxes hardly "
        "train; decoding divides by the weights, so they hardly move.",
        patches=(
            Patch(
                "model.boxes:bbox2delta",
                "wx, wy, ww, wh = weights",
                "wx, wy, ww, wh = 1.0, 1.0, 1.0, 1.0",
            ),
        ),
        tests=("tests/model/test_boxes.py", "tests/model/bbox/test_head.py"),
        notebooks=("06_bbox_head",),
    ),
    Bug(
        name="decode_without_weights",
        title="Delta weights forgotten when decoding",
        story="Training looks perfect: the loss never decodes. The detections jump 5 and 10 times "
        "too far, and AP is 0.",
        patches=(
            Patch(
                "model.boxes:delta2bbox",
                "wx, wy, ww, wh = weights",
                "wx, wy, ww, wh = 1.0, 1.0, 1.0, 1.0",
            ),
        ),
        tests=("tests/model/test_boxes.py", "tests/model/bbox/test_postprocess.py"),
        notebooks=("06_bbox_head",),
    ),
    Bug(
        name="boxes_not_clipped",
        title="Boxes not clipped to the image",
        story="Proposals reach beyond the border, where features are padding; areas and overlaps "
        "count what nobody can see.",
        patches=(
            Patch(
                "model.boxes:clip_bbox",
                "return paddle.maximum(paddle.minimum(boxes, limit), paddle.zeros_like(limit))",
                "return boxes",
            ),
        ),
        tests=("tests/model/test_boxes.py", "tests/model/rpn/test_proposals.py"),
        notebooks=("03_rpn", "06_bbox_head"),
    ),
    Bug(
        name="rpn_loss_by_found",
        title="RPN loss divided by found positives",
        story="The same words, the number of anchors, for another number. An image with one "
        "positive anchor weighs as much as one with a hundred, and the loss jumps.",
        patches=(
            Patch(
                "model.rpn.head:RPNHead.get_loss",
                "self.rpn_target_assign.batch_size_per_im * len(targets)",
                "max(positive.shape[0], 1)",
            ),
        ),
        tests=("tests/model/rpn/test_head.py",),
        notebooks=("03_rpn",),
    ),
    Bug(
        name="gradient_through_proposals",
        title="Gradient flows through the proposals",
        story="no_grad and detach are missing. All losses have the right values; but the box "
        "head's targets depend on the proposals, so the RPN is pulled to make them easy.",
        patches=(
            Patch(
                "model.rpn.proposals:ProposalGenerator.steps",
                "    @paddle.no_grad()\n",
                "",
            ),
            Patch(
                "model.bbox.targets:generate_proposal_target",
                "@paddle.no_grad()\n",
                "",
            ),
            Patch(
                "model.bbox.head:BBoxHead._regression",
                ".detach()",
                "",
            ),
        ),
        tests=("tests/model/test_mask_rcnn.py",),
        notebooks=("03_rpn", "04_bbox_assigner", "09_train"),
    ),
    Bug(
        name="labels_off_by_one",
        title="Class offset by one",
        story="Category ids begin at 1, labels at 0; somebody adds the 1 again. The last class "
        "becomes background, all others are called by their neighbour's name.",
        patches=(
            Patch(
                "model.bbox.targets:_class_labels",
                "labels = gt.labels[gt_index]",
                "labels = gt.labels[gt_index] + 1",
            ),
        ),
        tests=("tests/model/bbox/test_targets.py",),
        notebooks=("04_bbox_assigner", "06_bbox_head"),
    ),
    Bug(
        name="half_pixel_forgotten",
        title="RoIAlign without the half pixel",
        story="The first RoIAlign did not shift by half a pixel, and everybody copied it. On a "
        "stride of 16 everything is read 8 pixels too far to the right and to the bottom.",
        patches=(
            Patch(
                "model.roi_align:RoIAlign._align",
                "aligned=self.aligned",
                "aligned=False",
            ),
        ),
        tests=("tests/model/test_roi_align.py",),
        notebooks=("05_roi_align",),
    ),
    Bug(
        name="scale_of_the_finest_level",
        title="spatial_scale of the wrong level",
        story="With one level there is one scale; with four, the first one is used for all. Large "
        "objects are looked for far outside of their feature map.",
        patches=(
            Patch(
                "model.roi_align:RoIAlign._align",
                "spatial_scale=scale",
                "spatial_scale=self.spatial_scale[0]",
            ),
        ),
        tests=("tests/model/test_roi_align.py",),
        notebooks=("05_roi_align",),
    ),
    Bug(
        name="background_moves_boxes",
        title="Background is regressed",
        story="The foreground's condition is labels >= 0, but background has the label C here. "
        "Boxes are pulled to objects that they hardly touch.",
        patches=(
            Patch(
                "model.bbox.head:BBoxHead.get_loss",
                "(on_host >= 0) & (on_host < self.num_classes)",
                "on_host >= 0",
            ),
            Patch(
                "model.bbox.head:BBoxHead._regression",
                "labels[foreground]",
                "labels[foreground].clip(max=self.num_classes - 1)",
            ),
        ),
        tests=("tests/model/bbox/test_head.py",),
        notebooks=("06_bbox_head",),
    ),
    Bug(
        name="nms_across_classes",
        title="NMS across classes",
        story="All boxes go into one suppression. The rider removes the horse; on data in which "
        "objects of different classes never overlap, nobody notices.",
        patches=(
            Patch(
                "model.bbox.postprocess:MultiClassNMS.__call__",
                "        if 0 <= self.keep_top_k < rows.shape[0]:\n",
                (
                    "        own = gather_pairs(boxes, rows, labels)\n"
                    "        score = gather_pairs(scores, rows, labels)\n"
                    "        keep = self._one_class(own, score.numpy())\n"
                    "        rows, labels = rows[keep], labels[keep]\n"
                    "        if 0 <= self.keep_top_k < rows.shape[0]:\n"
                ),
            ),
        ),
        tests=("tests/model/bbox/test_postprocess.py",),
        notebooks=("06_bbox_head",),
    ),
    Bug(
        name="scale_factor_swapped",
        title="scale_factor applied x by y",
        story="It is stored as (y, x), boxes as (x, y). Where an image keeps its ratio both are "
        "equal but for rounding, so the mistake waits for the first stretched image.",
        patches=(
            Patch(
                "model.bbox.postprocess:boxes_to_image_frame",
                "scale_factor.flip(0).tile([2])",
                "scale_factor.tile([2])",
            ),
        ),
        tests=("tests/model/bbox/test_postprocess.py", "tests/model/test_mask_rcnn.py"),
        notebooks=("06_bbox_head", "08_mask_head"),
    ),
    Bug(
        name="mask_feature_without_offset",
        title="Mask rows without the image's offset",
        story="PaddleDetection 2.6 with a shared feature and two images in a batch: the mask head "
        "sees the first image's RoIs for the second image's targets.",
        patches=(
            Patch(
                "model.mask_rcnn:MaskRCNN._mask_feature",
                "rows.append(t.index + start)",
                "rows.append(t.index)",
            ),
        ),
        tests=("tests/model/test_faults.py",),
        notebooks=("08_mask_head",),
    ),
    Bug(
        name="constant_mask_vanishes",
        title="Constant masks become empty",
        story="A resizer stretches values to the full range, and a mask of ones has no range. "
        "Squares, which fill their boxes, were trained as nothing for years.",
        patches=(
            Patch(
                "model.mask.targets:generate_mask_target",
                "    return MaskTargets(\n",
                ("    masks -= masks.min(axis=(1, 2), keepdims=True)\n    return MaskTargets(\n"),
            ),
        ),
        tests=("tests/model/mask/test_targets.py",),
        notebooks=("07_mask_targets",),
    ),
    Bug(
        name="masks_transposed",
        title="Masks transposed",
        story="A raster is [y, x], a polygon is (x, y). Round and square objects look right; the "
        "others are mirrored along the diagonal of their box.",
        patches=(
            Patch(
                "model.mask.targets:generate_mask_target",
                "boxes[row], resolution)\n",
                "boxes[row], resolution).T\n",
            ),
        ),
        tests=("tests/model/mask/test_targets.py",),
        notebooks=("07_mask_targets",),
    ),
    Bug(
        name="all_classes_draw",
        title="All classes' masks are trained",
        story="The loss compares every channel with the object's mask. The loss falls as it "
        "should, but the classes compete for channels that only one of them will be asked "
        "for.",
        patches=(
            Patch(
                "model.mask.head:MaskHead.get_loss",
                "own = select_class(mask_logits, labels)",
                "own, masks = mask_logits, masks.unsqueeze(1).expand(mask_logits.shape)",
            ),
        ),
        tests=("tests/model/mask/test_head.py",),
        notebooks=("08_mask_head",),
    ),
    Bug(
        name="sigmoid_forgotten",
        title="Sigmoid forgotten before the threshold",
        story="The loss takes logits, so the head returns logits, and the threshold of 0.5 is "
        "applied to them. Masks are a little too thin, and nothing raises.",
        patches=(
            Patch(
                "model.mask.head:MaskHead.get_prediction",
                "F.sigmoid(select_class(mask_logits, labels))",
                "select_class(mask_logits, labels)",
            ),
        ),
        tests=("tests/model/mask/test_head.py",),
        notebooks=("08_mask_head",),
    ),
)

BUGS: dict[str, Bug] = {bug.name: bug for bug in _ALL}
"""All bugs by name, in the order of the stages."""
