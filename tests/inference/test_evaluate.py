"""The statistics are pycocotools' own of the files that we write."""

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from PIL import Image
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
from maskrcnn_edu.inference.predict import predict_images
from maskrcnn_edu.weights.folder import ClassNames

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
    out = tmp_path / "not" / "there"  # is made
    write_results(result, out)
    assert result.bbox == by_pycocotools(truth, out / "bbox.json", "bbox")
    assert result.segm == by_pycocotools(truth, out / "segm.json", "segm")


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


# ---- classes ---------------------------------------------------------------------


@pytest.fixture
def three_classes():
    """One cat that is found; two dogs, one of them found; no emu, but a detection of one."""
    image = {"id": 1, "height": SIDE, "width": SIDE, "file_name": "a.png"}
    places = {(1, 0, 0): 3, (2, 64, 0): 7, (3, 0, 64): 7}  # number, x, y -> category
    truth = {
        "images": [image],
        "categories": [{"id": n, "name": name} for n, name in ((9, "emu"), (3, "cat"), (7, "dog"))],
        "annotations": [
            {**annotated(n, square(x, y), [x, y, 32, 32]), "category_id": category}
            for (n, x, y), category in places.items()
        ],
    }  # fmt: skip
    results = [
        {"image_id": 1, "category_id": category, "score": 0.9, "bbox": [x, y, 32, 32],
         "segmentation": rle(square(x, y))}
        for category, x, y in ((3, 0, 0), (7, 64, 0), (9, 64, 64))
    ]  # fmt: skip
    return coco_evaluate(results, truth, [1])


def test_every_class_has_the_ap_that_the_whole_is_the_mean_of(three_classes):
    """Half of the dogs at precision 1: 51 of the 101 recalls."""
    half = pytest.approx(51 / 101)
    cat, dog, emu = three_classes.class_ap()
    names = ("segm_AP", "segm_AP50", "bbox_AP", "bbox_AP50")
    assert cat == {"name": "cat", **dict.fromkeys(names, pytest.approx(1))}
    assert dog == {"name": "dog", **dict.fromkeys(names, half)}
    assert emu == {"name": "emu", **dict.fromkeys(names, -1.0)}
    assert three_classes.segm["AP"] == pytest.approx((1 + 51 / 101) / 2)
    curve = three_classes.precision["segm"][0, :, 1]
    assert curve.tolist() == pytest.approx([1] * 51 + [0] * 50)


def test_classes_are_written_down_and_drawn(three_classes, tmp_path):
    write_results(three_classes, tmp_path)
    stored = json.loads((tmp_path / "ap.json").read_text())
    assert stored["classes"] == three_classes.class_ap() and stored["segm"] == three_classes.segm
    assert (tmp_path / "ap.txt").read_text().endswith(
        "class  mask AP   AP50 box AP   AP50\n"
        "cat      1.000  1.000  1.000  1.000\n"
        "dog      0.505  0.505  0.505  0.505\n"
        "emu          -      -      -      -\n"
    )  # fmt: skip
    with Image.open(tmp_path / "precision_recall.png") as picture:
        assert picture.size == (1210, 484)  # 11 x 4.4 inches


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


# ---- neighbours ------------------------------------------------------------------

SIZES = [
    (96, 64), (96, 64), (64, 96), (80, 72), (65, 91), (91, 65), (128, 40), (40, 128), (97, 97),
    (33, 70), (120, 111),
]  # fmt: skip
"""Width and height; the first two alike, all others different."""


@pytest.fixture
def photos_of_many_sizes(tmp_path):
    """Photos with a bright square each, their annotations, and a reader that resizes none."""
    rng, images, annotations = np.random.default_rng(0), [], []
    for i, (width, height) in enumerate(SIZES, start=1):
        pixels = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
        pixels[5:25, 8:30] = 230
        Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
        images.append({"id": i, "file_name": f"{i:02}.png", "width": width, "height": height})
        outline = [[8, 5, 30, 5, 30, 25, 8, 25]]
        annotations.append({"id": i, "image_id": i, "category_id": 1, "bbox": [8, 5, 22, 20],
                            "area": 440, "iscrowd": 0, "segmentation": outline})  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate("abc", start=1)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return CocoDataset(tmp_path / "truth.json", tmp_path)


@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_an_images_detections_do_not_depend_on_its_batch(
    build_tiny, tiny_text, photos_of_many_sizes, tmp_path, kind
):
    dataset, config = photos_of_many_sizes, parse_config(tiny_text[kind] + READER)
    model, reader = build_tiny(tiny_text[kind]), build(config, Reader, ("EvalReader",))
    model.eval()
    classes = ClassNames(dataset.class_names, dataset.category_ids)
    paths = [tmp_path / f"{i:02}.png" for i in range(1, len(SIZES) + 1)]
    predicted = predict_images(model, config, classes, paths, tmp_path / "found")
    keys = ("category_id", "score", "bbox", "segmentation")
    alone = [(r["image_id"] + 1, *(r[key] for key in keys)) for r in predicted]
    assert len({image_id for image_id, *_ in alone}) == len(SIZES)
    for batch_size in (1, 2, 4, 11):
        results = evaluate(model, dataset, replace(reader, batch_size=batch_size)).results
        together = [(r["image_id"], *(r[key] for key in keys)) for r in results]
        assert together == alone, batch_size


def test_only_images_of_one_size_come_together(photos_of_many_sizes):
    reader = build(parse_config(READER), Reader, ("EvalReader",))
    parts = list(
        replace(reader, batch_size=4).loader(photos_of_many_sizes, same_size=True).epoch(0)
    )
    assert [part.image_id for part in parts] == [[1, 2], *([i] for i in range(3, 12))]
    assert parts[0].image.shape == [2, 3, 64, 96] and parts[1].image.shape == [1, 3, 96, 64]
    assert parts[3].image.shape == [1, 3, 96, 96]  # 65 x 91, padded to multiples of 32 alone
