"""What is said about objects, anchors, image size and length of a training."""

import argparse
import json

import numpy as np
import pytest
from PIL import Image

from maskrcnn_edu.cli.advice import advise, fitting
from maskrcnn_edu.cli.main import main
from maskrcnn_edu.cli.train import steps_to_judge
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.training.loop import Budget
from maskrcnn_edu.training.run import TrainingOptions


def square(x, y, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def write(folder, sides, size=128, classes=("cat",), images=1, pixels=None):
    """A dataset of square objects of these sides, all of the first class, in every image."""
    folder.mkdir(exist_ok=True)
    rows = [
        {"id": i, "file_name": f"{i}.png", "height": size, "width": size} for i in range(images)
    ]
    for i in range(images):
        noise = np.random.default_rng(i).integers(0, 255, (size, size, 3), np.uint8)
        Image.fromarray(noise if pixels is None else pixels).save(folder / f"{i}.png")
    content = {
        "images": rows,
        "categories": [{"id": n, "name": name} for n, name in enumerate(classes)],
        "annotations": [
            {"id": 100 * i + n, "image_id": i, "category_id": 0, "segmentation": [square(1, 1, s)]}
            for i in range(images)
            for n, s in enumerate(sides)
        ],
    }
    (folder / "x.json").write_text(json.dumps(content))
    return folder / "x.json"


def advice(folder, sides, *overrides, config="shapes_fpn", steps=None, **options):
    dataset = CocoDataset(write(folder, sides, **options), folder)
    return advise(dataset, load_config(config, [*overrides, "num_classes=1"]), steps)


def test_what_fits_an_anchor():
    anchors = AnchorGenerator((32,), (1.0,))
    # IoU with 32 x 32: 1; 512 / 1024 = 0.5; 512 / 1536 = 0.33; 1024 / 4096 = 0.25
    assert [
        fitting(np.array([sides]), anchors)
        for sides in ([32.0, 32.0], [32.0, 16.0], [64.0, 16.0], [64.0, 64.0])
    ] == [1, 1, 0, 0]
    assert fitting(np.array([[32.0, 32.0], [64.0, 64.0]]), anchors) == 0.5


def test_objects_that_fit_are_said_in_two_lines(tmp_path):
    # the image of 64 pixels becomes one of 128, so sides of 10, 20, 30 become 20, 40, 60
    assert advice(tmp_path, [10, 20, 30], size=64) == [
        "objects after resizing: most 24 to 56 pixels, median 40",
        "the anchors fit 100% of them",
    ]


def test_anchors_that_would_fit_better(tmp_path):
    key = "RPNHead.anchor_generator.anchor_sizes"
    large = f"{key}=[[64,92],[128,180],[256,360],[512,724],[1024,1448]]"
    # 16 pixels against 64: a quarter of every size; a 256th would overlap, were it not for that
    assert advice(tmp_path, [16, 16], large)[1] == (
        "the anchors fit 0% of them; others would fit 100%: "
        f"--set '{key}=[[16,23],[32,45],[64,90],[128,181],[256,362]]'"
    )


def test_long_objects_want_other_ratios(tmp_path):
    folder = tmp_path / "d"
    file = write(folder, [10])
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"] = [[0, 0, 100, 0, 100, 20, 0, 20]]
    file.write_text(json.dumps(content))
    dataset = CocoDataset(file, folder)
    config = load_config("shapes_fpn", ["num_classes=1"])
    # 100 x 20 against 45 * sqrt 2 x 45 / sqrt 2: 63.6 * 20 / (2000 + 2025 - 1273) = 0.46;
    # of ratio 1 : 3, 77.9 x 26: 77.9 * 20 / (2000 + 2025 - 1559) = 0.63
    assert advise(dataset, config, None)[1].endswith(
        "--set 'RPNHead.anchor_generator.aspect_ratios=[0.33,1.0,3.0]'"
    )


def test_small_objects_want_larger_images_as_far_as_there_are_pixels(tmp_path):
    # of 512 pixels 128 are left: 16 become 4, and 16 are wanted: four times 128
    lines = advice(tmp_path / "a", [16, 16], size=512)
    place = "sample_transforms.1.Resize.target_size=512"
    assert lines == [
        "objects after resizing: most 4 to 4 pixels, median 4; 100% are smaller than 8, too small "
        "to learn; larger images would fit better: "
        f"--set TrainReader.{place} --set EvalReader.{place}",
        "the anchors fit 100% of them",
    ]
    lines = advice(tmp_path / "b", [4, 4], size=128)
    assert lines[0].endswith("too small to learn: cut the images into smaller ones")


@pytest.mark.parametrize(
    ("steps", "warmup", "better"),
    [
        (36, 50, "36 steps (warm-up takes 50) are few for 1 images; these suit them: --steps 500"),
        (500, 50, None),
        (
            36,
            1000,
            "36 steps (warm-up takes 1000) are few for 1 images; these suit them: --steps 500 "
            "--set LearningRate.schedulers.0.steps=50",
        ),
        (
            2000,
            1000,
            "2000 steps (warm-up takes 1000) are few for 1 images; these suit them: --steps 2000 "
            "--set LearningRate.schedulers.0.steps=200",
        ),
        (None, 1000, None),
    ],
)
def test_steps_that_suit_the_number_of_images(tmp_path, steps, warmup, better):
    lines = advice(tmp_path, [30], f"LearningRate.schedulers.0.steps={warmup}", steps=steps)
    assert lines[:-2] == ([better] if better else [])


def test_a_class_without_objects(tmp_path):
    lines = advice(tmp_path, [30], classes=["cat", "dog", "emu", "fox", "gnu"])
    assert lines[0] == "no object of dog, emu, fox, ... (4 classes): that cannot be learned"


def check(file, *options):
    return main(["data", "check", str(file), "--images", str(file.parent), *options])


def test_data_check_ends_with_the_verdict(tmp_path, capsys):
    file = write(tmp_path, [30], images=5)
    assert check(file, "--config", "shapes_fpn") == 0
    lines = capsys.readouterr().out.splitlines()
    # 5 images are one batch of 4 in each of 12 epochs
    assert lines[0] == "with shapes_fpn:" and lines[1].startswith("  12 steps (warm-up takes 50)")
    assert len(lines) == 5 and "no issues" in lines[-1]
    assert check(file, "--config", "shapes_fpn", "--set", "epoch=600") == 0
    assert "steps" not in capsys.readouterr().out


def test_one_picture_under_two_names(tmp_path, capsys):
    file = write(tmp_path, [30], images=3)
    picture = Image.open(tmp_path / "0.png")
    picture.save(tmp_path / "2.png", compress_level=1)  # other bytes, the same pixels
    assert check(file) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "2.png it is the same picture as 0.png keep one" in printed
    assert "1 issue. Training uses 3 of 3 images" in printed


def test_annotations_are_drawn(tmp_path, capsys):
    file = write(tmp_path / "d", [60], images=2, pixels=np.zeros([128, 128, 3], np.uint8))
    (tmp_path / "d" / "1.png").write_bytes(b"no image")
    assert check(file, "--draw", str(tmp_path / "drawn")) == 1
    assert [p.name for p in (tmp_path / "drawn").iterdir()] == ["000001_0.png"]
    drawn = np.array(Image.open(tmp_path / "drawn" / "000001_0.png").convert("L"))
    side = len(drawn) / 128  # drawn larger
    assert drawn[round(30 * side), round(30 * side)] > 30  # filled within the outline
    assert drawn[round(100 * side), round(100 * side)] == 0
    assert check(file, "--draw", str(tmp_path / "d" / "drawn")) == 2
    assert "images are there; choose another folder" in capsys.readouterr().err


def test_large_images_are_drawn_small(tmp_path):
    file = write(tmp_path / "d", [60], size=2300, pixels=np.zeros([2300, 2300, 3], np.uint8))
    assert check(file, "--draw", str(tmp_path / "drawn")) == 0
    assert max(Image.open(tmp_path / "drawn" / "000001_0.png").size) <= 2400


def test_train_gives_the_advice(tmp_path, capsys):
    file = write(tmp_path / "d", [30], images=4, classes=["cat", "dog"])
    data = []
    for split in ("train", "val"):
        data += [f"--{split}-json", str(file), f"--{split}-images", str(file.parent)]
    tiny = ["--set", "ResNet.ch_in=8", "--set", "ResNet.ch_out_list=[8,8,16,16]"]
    options = [*tiny, "--set", "epoch=1", "--processes", "1", "--out", str(tmp_path / "run")]
    assert main(["train", "--config", "shapes_fpn", *options, *data]) == 0
    said = capsys.readouterr().out
    assert "1 steps (warm-up takes 50) are few for 4 images" in said
    assert "no object of dog" in said and "the anchors fit 100% of them" in said


@pytest.mark.parametrize(
    ("chosen", "known", "judged"),
    [({}, {}, 36), ({"steps": 36}, {}, None), ({"minutes": 1.0}, {}, None),
     ({}, {"pretrain": "coco"}, None), ({}, {"weights": "run"}, None)],
)  # fmt: skip
def test_a_chosen_length_and_a_fine_tuning_are_not_judged(chosen, known, judged):
    options = argparse.Namespace(**{"steps": None, "minutes": None} | chosen)
    assert steps_to_judge(options, TrainingOptions(Budget(steps=36), **known)) == judged
