"""The statistics are pycocotools' own of the files that we write."""

import contextlib
import io
import json

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_edu.config.build import build
from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.inference.evaluate import (
    STATISTICS,
    coco_evaluate,
    evaluate,
    write_results,
)

SIDE = 128
READER = """
EvalReader:
  batch_size: 2
  sample_transforms: [{Decode: {}}, {NormalizeImage: {}}, {Permute: {}}]
  batch_transforms: [{PadBatch: {pad_to_stride: 32}}]
"""


def rle(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}


def thin(offset):
    """A diagonal line: a small mask in a large box."""
    return np.abs(np.subtract.outer(np.arange(SIDE), np.arange(SIDE)) - offset) < 3


@pytest.fixture
def scene(tmp_path):
    """One image, one thin object, and results: one fits, one is a thin line elsewhere."""
    line, other = thin(0), thin(60)
    annotation = {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0,
        "bbox": [0, 0, SIDE, SIDE], "area": float(line.sum()), "segmentation": rle(line),
    }  # fmt: skip
    truth = {
        "images": [{"id": 1, "height": SIDE, "width": SIDE, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "line"}],
        "annotations": [annotation],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    results = [
        {"image_id": 1, "category_id": 1, "score": s, "bbox": b, "segmentation": rle(m)}
        for s, b, m in ((0.9, [0, 60, 68, 68], other), (0.8, [0, 0, SIDE, SIDE], line))
    ]
    return path, results


def by_pycocotools(truth, file, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth))
        coco_eval = COCOeval(truth, truth.loadRes(str(file)), kind)
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    return dict(zip(STATISTICS, map(float, coco_eval.stats)))


def test_the_written_files_give_the_same_numbers(scene, tmp_path):
    truth, results = scene
    result = coco_evaluate(results, truth, [1])
    write_results(result, tmp_path / "out")
    assert result.bbox == by_pycocotools(truth, tmp_path / "out" / "bbox.json", "bbox")
    assert result.segm == by_pycocotools(truth, tmp_path / "out" / "segm.json", "segm")


def test_a_thin_mask_is_small_whatever_its_box(scene):
    truth, results = scene
    result = coco_evaluate(results, truth, [1])
    # both masks are below 32 x 32 pixels, so the wrong one counts among the small ones
    assert result.segm["APs"] == pytest.approx(0.5, abs=0.01)
    assert result.bbox["APs"] == pytest.approx(1.0)  # by the box, the wrong one is not small


# ---- crowds ----------------------------------------------------------------------


def square(x, y, side=32):
    mask = np.zeros([SIDE, SIDE], bool)
    mask[y : y + side, x : x + side] = True
    return mask


def annotated(number, mask, box, crowd=0):
    return {
        "id": number, "image_id": 1, "category_id": 1, "iscrowd": crowd,
        "bbox": box, "area": float(mask.sum()), "segmentation": rle(mask),
    }  # fmt: skip


@pytest.mark.parametrize(("crowd", "ap"), [(1, 1.0), (0, 0.5 * 51 / 101)])
def test_what_lies_in_a_crowd_is_no_mistake(crowd, ap):
    """The surest detection lies in the large region at the right, the other is the object.

    If the region is a crowd, the first is not counted, and the other is all there is to find.
    If it is an object, the first is a miss of it (IoU 1/8). Then the other comes second:
    recall 1/2 at precision 1/2, which counts at 51 of the 101 recalls 0, 0.01 .. 1.
    """
    region, thing, inside = np.zeros([SIDE, SIDE], bool), square(0, 0), square(64, 64)
    region[:, 64:] = True
    truth = {
        "images": [{"id": 1, "height": SIDE, "width": SIDE, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            annotated(1, thing, [0, 0, 32, 32]),
            annotated(2, region, [64, 0, 64, SIDE], crowd),
        ],
    }
    results = [
        {"image_id": 1, "category_id": 1, "score": s, "bbox": b, "segmentation": rle(m)}
        for s, b, m in ((0.9, [64, 64, 32, 32], inside), (0.8, [0, 0, 32, 32], thing))
    ]
    evaluation = coco_evaluate(results, truth, [1])
    assert evaluation.bbox["AP"] == pytest.approx(ap, abs=1e-6)
    assert evaluation.segm["AP"] == pytest.approx(ap, abs=1e-6)


def test_images_without_results_count_and_others_do_not():
    """One object in each of two images; one is detected. Alone it is all, else a half."""
    image = {"height": SIDE, "width": SIDE, "file_name": "a.png"}
    thing = annotated(1, square(0, 0), [0, 0, 32, 32])
    truth = {
        "images": [{"id": 1, **image}, {"id": 2, **image}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [thing, {**thing, "id": 2, "image_id": 2}],
    }
    detected = {"image_id": 1, "category_id": 1, "score": 0.9}
    results = [{**detected, "bbox": [0, 0, 32, 32], "segmentation": rle(square(0, 0))}]
    assert coco_evaluate(results, truth, [1]).segm["AP"] == pytest.approx(1)
    assert coco_evaluate(results, truth, [2, 1]).segm["AP"] == pytest.approx(51 / 101, abs=1e-6)
    assert coco_evaluate([], truth, [1, 2]).bbox["AP"] == 0


# ---- which images ----------------------------------------------------------------


@pytest.fixture
def validation(shapes):
    """Five images, and a reader of two at a time."""
    dataset = CocoDataset(shapes / "annotations/instances_val.json", shapes / "val")
    return dataset, build(parse_config(READER), Reader, ("EvalReader",))


@pytest.mark.parametrize(
    ("limit", "batches"), [(None, [2, 2, 1]), (5, [2, 2, 1]), (4, [2, 2]), (3, [2, 2]), (1, [2])]
)
def test_a_limit_ends_with_the_batch_that_reaches_it(tiny_fpn, validation, limit, batches):
    dataset, reader = validation
    done = []
    tiny_fpn.train()
    made = evaluate(tiny_fpn, dataset, reader, limit=limit, on_batch=done.append)
    assert done == batches and tiny_fpn.training
    seen = {r["image_id"] for r in made.results}
    assert seen and seen <= set(dataset.image_ids[: sum(batches)])
    assert made.left_out == []


def test_masks_and_boxes_are_those_of_the_model(tiny_fpn, validation):
    """A result's numbers are the model's own, pasted in the whole image."""
    dataset, reader = validation
    results = evaluate(tiny_fpn, dataset, reader, limit=1).results
    tiny_fpn.eval()
    (batch, *_) = reader.loader(dataset).epoch(0)
    detections = tiny_fpn(batch).detections[0]
    own = [r for r in results if r["image_id"] == dataset.image_ids[0]]
    assert [r["score"] for r in own] == pytest.approx(detections.scores.tolist(), abs=1e-5)
    assert [r["category_id"] for r in own] == [
        dataset.category_ids[label] for label in detections.labels.tolist()
    ]
    for result, box, mask in zip(own, detections.boxes.numpy(), detections.masks.numpy()):
        x, y, width, height = result["bbox"]
        np.testing.assert_allclose([x, y, x + width, y + height], box, atol=1e-3)
        assert (coco_mask.decode(result["segmentation"]) != mask).mean() < 1e-3
