"""The statistics are pycocotools' own of the files that we write."""

import contextlib
import io
import json

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_edu.inference.evaluate import STATISTICS, coco_evaluate, write_results

SIDE = 128


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
