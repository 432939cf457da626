"""The command, from drawn data to drawn detections."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from maskrcnn_edu.cli.arguments import with_home
from maskrcnn_edu.cli.evaluate import summary
from maskrcnn_edu.cli.main import main
from maskrcnn_edu.inference.evaluate import Evaluation

TINY = ["--set", "ResNet.depth=10", "--set", "ResNet.ch_out_list=[8,8,16,16]"]


def data_options(folder):
    return [
        *("--train-json", f"{folder}/annotations/instances_train.json"),
        *("--train-images", f"{folder}/train"),
        *("--val-json", f"{folder}/annotations/instances_val.json"),
        *("--val-images", f"{folder}/val"),
    ]


def val_options(folder):
    return ["--json", f"{folder}/annotations/instances_val.json", "--images", f"{folder}/val"]


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    options = ["--config", "shapes_fpn", "--steps", "4", "--processes", "1", "--out", str(out)]
    assert main(["train", *options, *TINY, *data_options(shapes)]) == 0
    return out


def test_training_leaves_weights_metrics_and_curves(trained):
    names = {p.name for p in trained.iterdir()}
    assert names == {
        "model.safetensors", "config.yml", "classes.json", "metrics.jsonl", "curves.png",
        "precision_recall.png", "checkpoints", "best",
    }  # fmt: skip
    assert {p.name for p in (trained / "best").iterdir()} == {
        "model.safetensors", "config.yml", "classes.json",
    }  # fmt: skip
    with Image.open(trained / "curves.png") as curves:
        assert curves.size[0] > 500
    assert json.loads((trained / "classes.json").read_text())["category_ids"][0] == 1


def test_two_processes_train_together(shapes, tmp_path):
    options = ["--config", "shapes_fpn", "--steps", "3", "--processes", "2", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "maskrcnn_edu", "train", *options, *TINY]
    done = subprocess.run([*command, *data_options(shapes)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = (
        json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines() if "train" in x
    )
    assert line["images"] == 3 * 4  # the whole batches, not one process's share
    assert (tmp_path / "model.safetensors").is_file()


def test_a_training_in_a_file_is_lines_with_ap_at_every_look(shapes, tmp_path):
    options = ["--config", "shapes_fpn", "--steps", "6", "--processes", "1", *TINY]
    command = [sys.executable, "-m", "maskrcnn_edu", "train", *options, *data_options(shapes)]
    with (tmp_path / "log.txt").open("w") as log:
        done = subprocess.run([*command, "--out", str(tmp_path / "x")], stdout=log, stderr=log)
    text = (tmp_path / "log.txt").read_text()
    assert done.returncode == 0 and "\r" not in text and len(text.splitlines()) < 40, text
    looks = re.findall(r"^step (\d): mask AP (\S+)  .*  \(5 validation images\)$", text, re.M)
    assert [step for step, _ in looks] == ["2", "4", "6"]
    (step,) = re.findall(r"the weights of the best look \(step (\d), mask AP", text)
    ap = {step: float(value) for step, value in looks}
    assert ap[step] == max(ap.values())
    assert re.search(r"^class +mask AP +AP50 +box AP +AP50$", text, re.M)
    assert len(re.findall(r"^(?:rectangle|circle|triangle|star|ring|pair) ", text, re.M)) == 6
    assert re.search(r"^100% 6/6 \[.* images/s=.*step=6\]$", text, re.M)


def test_the_best_weights_are_a_model_of_their_own(trained, shapes, tmp_path):
    arguments = ["eval", "--weights", str(trained / "best"), "--out", str(tmp_path)]
    assert main([*arguments, *val_options(shapes)]) == 0
    assert (tmp_path / "precision_recall.png").is_file()
    assert len(json.loads((tmp_path / "ap.json").read_text())["classes"]) == 6


def test_eval_writes_results_with_the_files_own_ids(trained, shapes, tmp_path, capsys):
    arguments = ["eval", "--weights", str(trained), "--out", str(tmp_path)]
    assert main([*arguments, *val_options(shapes)]) == 0
    printed = capsys.readouterr().out
    assert "Average Precision" in printed and "\nmask AP " in printed
    assert "\nrectangle " in printed
    truth = json.loads((shapes / "annotations/instances_val.json").read_text())
    image_ids = {image["id"] for image in truth["images"]}
    category_ids = {category["id"] for category in truth["categories"]}
    boxes = json.loads((tmp_path / "bbox.json").read_text())
    masks = json.loads((tmp_path / "segm.json").read_text())
    assert len(boxes) == len(masks)
    assert {r["image_id"] for r in boxes} <= image_ids
    assert {r["category_id"] for r in boxes} <= category_ids
    assert "segmentation" not in str(boxes) and all("bbox" not in r for r in masks)


def test_eval_counts_images_without_detections(trained, shapes, tmp_path):
    """A model that finds nothing has AP 0, not an error."""
    config = (trained / "config.yml").read_text()
    silent = tmp_path / "silent"
    silent.mkdir()
    for file in (path for path in trained.iterdir() if path.is_file()):
        (silent / file.name).write_bytes(file.read_bytes())
    assert "score_threshold: 0.05" in config
    (silent / "config.yml").write_text(
        config.replace("score_threshold: 0.05", "score_threshold: 1.0")
    )
    out = tmp_path / "eval"
    assert main(["eval", "--weights", str(silent), *val_options(shapes), "--out", str(out)]) == 0
    assert json.loads((out / "bbox.json").read_text()) == []
    assert json.loads((out / "ap.json").read_text())["segm"]["AP"] == 0.0


def test_predict_draws_images_of_any_kind(trained, shapes, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    grey = np.arange(60 * 40, dtype=np.uint8).reshape(40, 60)
    Image.fromarray(grey).save(images / "grey.png")
    Image.fromarray(grey).convert("CMYK").save(images / "print.jpg")
    Image.fromarray(grey).convert("RGBA").save(images / "alpha.png")
    out = tmp_path / "out"
    arguments = ["predict", "--weights", str(trained), "--out", str(out), str(images)]
    assert main([*arguments, "--min-score", "0.0"]) == 0
    assert {p.name for p in out.glob("*.png")} == {
        "grey_found.png", "print_found.png", "alpha_found.png",
    }  # fmt: skip
    for result in json.loads((out / "results.json").read_text()):
        x, y, w, h = result["bbox"]
        assert 0 <= x and 0 <= y and x + w <= 60.01 and y + h <= 40.01
        assert result["segmentation"]["size"] == [40, 60]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "--weights", "nowhere", "--out", "x", "nothing.png"], "nothing.png"),
        (["eval", "--weights", "nowhere", "--json", "no.json", "--images", "x", "--out", "x"],
         "there are no weights at nowhere"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_without_traceback(arguments, words, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


TRAIN = ["train", "--processes", "1"]
MISSING = [
    [*TRAIN, "--config", "no.yml", *data_options("no"), "--out", "x"],
    [*TRAIN, "--config", "shapes_fpn", *data_options("no"), "--out", "x", "--steps", "1"],
    [*TRAIN, "--config", "shapes_fpn", *data_options("SHAPES"), "--out", "x", "--weights", "no"],
    [*TRAIN, "--config", "shapes_fpn", *data_options("SHAPES"), "--out", "x", "--pretrain", "no"],
    [*TRAIN, "--config", "shapes_fpn", *data_options("SHAPES"), "--out", "file/x", "--steps", "1"],
    ["eval", "--weights", "RUN", *val_options("no"), "--out", "x"],
    ["eval", "--weights", "no", "--config", "no.yml", *val_options("SHAPES"), "--out", "x"],
    ["eval", "--weights", "RUN", *val_options("SHAPES"), "--out", "file/x"],
    ["predict", "--weights", "RUN", "--out", "x", "no"],
    ["predict", "--weights", "no", "--out", "x", "SHAPES/val"],
    ["predict", "--weights", "RUN", "--out", "x", "SHAPES/val", "--classes", "no.json"],
    ["predict", "--weights", "RUN", "--out", "x", "SHAPES/val", "--truth", "no.json"],
    ["predict", "--weights", "RUN", "--out", "file/x", "SHAPES/val"],
    ["export", "--weights", "no", "--out", "x"],
    ["data", "check", "no.json", "--images", "no"],
    ["data", "check", "SHAPES/annotations/instances_val.json", "--images", "SHAPES/val",
     "--json", "no/x.json"],
    ["data", "import", "labelme", "no", "--out", "x"],
    ["data", "import", "via", "no.json", "--out", "x"],
    ["data", "shapes", "--out", "file/x", "--train", "1", "--val", "1"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", MISSING, ids=" ".join)
def test_what_is_missing_is_named_in_words(
    arguments, trained, shapes, tmp_path, monkeypatch, capsys
):
    """``file`` is a file and no folder; the rest is not there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    places = {"SHAPES": str(shapes), "RUN": str(trained)}
    command = [re.sub("SHAPES|RUN", lambda m: places[m[0]], word) for word in arguments]
    assert main(command) == 2
    error = capsys.readouterr().err
    (line,) = (line for line in error.splitlines() if line.startswith("maskrcnn-edu: "))
    assert re.search(r"\bno\b|\bfile\b", line) and "Errno" not in error and "Trace" not in error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "0"], "must be positive, got 0"),
        (["--steps", "1", "--seed", "-1"], "seed must be from 0"),
        (["--steps", "1", "--processes", "0"], "--processes must be at least 1, got 0"),
        (["--steps", "1", "--processes", "3"], "--processes 3: a batch of 4 images cannot be"),
        (["--steps", "1", "--keep", "0"], "at least 1 checkpoint must be kept"),
    ],
)
def test_options_out_of_range_are_found_before_anything_is_made(
    shapes, tmp_path, capsys, options, words
):
    arguments = ["train", "--config", "shapes_fpn", "--out", str(tmp_path / "x"), *options]
    assert main([*arguments, *data_options(shapes)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def renamed(shapes, path, rename):
    """The validation annotations under other ids: old id -> new id."""
    content = json.loads((shapes / "annotations/instances_val.json").read_text())
    for category in content["categories"]:
        category["id"] = rename(category["id"])
    for entry in content["annotations"]:
        entry["category_id"] = rename(entry["category_id"])
    path.write_text(json.dumps(content))
    return str(path)


def test_eval_goes_by_names_not_by_ids(trained, shapes, tmp_path):
    swapped = renamed(shapes, tmp_path / "val.json", lambda number: 12 - number)
    for out, file in (("a", val_options(shapes)[1]), ("b", swapped)):
        options = ["--json", file, "--images", f"{shapes}/val", "--out", str(tmp_path / out)]
        assert main(["eval", "--weights", str(trained), *options]) == 0
    first, second = (json.loads((tmp_path / out / "segm.json").read_text()) for out in "ab")
    assert [12 - r["category_id"] for r in first] == [r["category_id"] for r in second] != []
    one, other = (json.loads((tmp_path / out / "ap.json").read_text()) for out in "ab")
    for kind in ("bbox", "segm"):  # a mean over classes in another order: the last bit may differ
        assert one[kind] == pytest.approx(other[kind], abs=1e-12)


def test_predict_takes_the_ids_of_its_classes_by_name(trained, shapes, tmp_path, capsys):
    swapped = renamed(shapes, tmp_path / "val.json", lambda number: 12 - number)
    image = str(shapes / "val" / "000001.png")
    options = ["--weights", str(trained), "--out", str(tmp_path / "out"), "--min-score", "1"]
    assert main(["predict", image, *options, "--classes", swapped]) == 0
    ids = {"rectangle": 11, "circle": 10, "triangle": 8, "star": 5, "ring": 4, "pair": 1}
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results and all(r["category_id"] == ids[r["category"]] for r in results)
    (tmp_path / "other.json").write_text('{"categories": [{"id": 1, "name": "cat"}]}')
    assert main(["predict", image, *options, "--classes", str(tmp_path / "other.json")]) == 2
    assert "other.json has no class rectangle as" in capsys.readouterr().err


def test_an_unknown_configuration_key_is_named(shapes, tmp_path, capsys):
    arguments = ["train", "--config", "shapes_fpn", "--out", str(tmp_path), "--steps", "1"]
    wrong = ["--set", "BBoxAssigner.batch_size=3"]
    assert main([*arguments, *wrong, *data_options(shapes)]) == 2
    error = capsys.readouterr().err
    assert "BBoxAssigner.batch_size" in error and "batch_size_per_im" in error


def test_the_home_sign_is_understood_everywhere(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("USERPROFILE", "/home/ada")
    for word, meant in {
        "~/a.json": "/home/ada/a.json",
        "--out=~/run": "--out=/home/ada/run",
        "pretrain_weights=~/w.pdparams": "pretrain_weights=/home/ada/w.pdparams",
        "--set=pretrain_weights=~/w": "--set=pretrain_weights=/home/ada/w",
        "~": "/home/ada",
        "a~b": "a~b",
        "x/~": "x/~",
        "a b=~/c": "a b=~/c",  # no option
        "": "",
    }.items():
        assert with_home(word) == meant


def test_where_nothing_can_be_measured_there_is_no_ap():
    nothing = Evaluation({"AP": -1, "AP50": -1}, {"AP": -1, "AP50": -1}, "", [])
    assert summary(nothing).startswith("there is no AP: no single object is annotated")
    some = replace(nothing, bbox={"AP": 0.25, "AP50": 0.5}, segm={"AP": 0.0, "AP50": 0.125})
    assert summary(some) == "mask AP 0.000  mask AP50 0.125  box AP 0.250  box AP50 0.500"


def test_help_shows_how_to_begin(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "maskrcnn-edu train --config shapes_fpn" in capsys.readouterr().out
