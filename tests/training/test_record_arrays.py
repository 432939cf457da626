"""Records to arrays and back."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.structures import Batch, BitMask, GroundTruth, Proposals
from maskrcnn_edu.training.record_arrays import from_arrays, to_arrays

BOXES = [[1.0, 2.0, 3.0, 4.0]]


def proposals():
    return Proposals(
        boxes=paddle.to_tensor(BOXES),
        scores=paddle.to_tensor([0.5]),
        anchor_index=paddle.to_tensor([7], dtype="int64"),
    )


def test_every_tensor_has_the_name_and_type_of_its_field():
    arrays = to_arrays(proposals())
    assert list(arrays) == ["boxes", "scores", "anchor_index"]
    assert arrays["boxes"].tolist() == BOXES and arrays["anchor_index"].tolist() == [7]
    assert [str(a.dtype) for a in arrays.values()] == ["float32", "float32", "int64"]


def test_names_follow_a_pattern_and_fields_may_be_renamed():
    arrays = to_arrays(proposals(), "best_{}_3", {"anchor_index": "anchors"})
    assert list(arrays) == ["best_boxes_3", "best_scores_3", "best_anchors_3"]
    again = from_arrays(Proposals, arrays, "best_{}_3", {"anchor_index": "anchors"})
    assert again.boxes.tolist() == BOXES and again.scores.tolist() == [0.5]
    assert again.anchor_index.tolist() == [7] and again.anchor_index.dtype == paddle.int64


def test_arrays_of_numpy_are_taken_as_they_are():
    mask = BitMask(np.ones([2, 3], np.uint8), np.array(BOXES[0], np.float32))
    arrays = to_arrays(mask)
    assert arrays["pixels"] is mask.pixels and arrays["box"] is mask.box


def test_what_is_no_array_is_left_out_and_given_by_hand():
    segms = [[np.array([1.0, 2.0, 3.0, 2.0, 3.0, 4.0])]]
    gt = GroundTruth(
        boxes=paddle.to_tensor(BOXES),
        labels=paddle.to_tensor([2], dtype="int64"),
        segms=segms,
        is_crowd=paddle.to_tensor([True]),
    )
    arrays = to_arrays(gt)
    assert sorted(arrays) == ["boxes", "is_crowd", "labels"]
    again = from_arrays(GroundTruth, {**arrays, "other": np.zeros(3)}, segms=segms)
    assert again.segms is segms and again.is_crowd.tolist() == [True]
    assert again.labels.tolist() == [2] and again.labels.dtype == paddle.int64


def test_a_field_with_a_default_may_be_missing_no_other_one():
    arrays = {
        "image": np.zeros([1, 3, 4, 4], np.float32),
        "im_shape": np.full([1, 2], 4, np.float32),
        "scale_factor": np.ones([1, 2], np.float32),
    }
    batch = from_arrays(Batch, arrays, image_id=[5])
    assert batch.gt is None and batch.image.shape == [1, 3, 4, 4] and batch.image_id == [5]
    del arrays["im_shape"]
    with pytest.raises(KeyError, match="im_shape"):
        from_arrays(Batch, arrays, image_id=[5])
