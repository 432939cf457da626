"""``maskrcnn-edu data check``, and training and evaluation on a dataset full of mistakes."""

import json

import pytest

from maskrcnn_edu.cli.main import main

TINY = ["--set", "ResNet.depth=10", "--set", "ResNet.ch_out_list=[8,8,16,16]"]


@pytest.fixture
def broken(shapes, tmp_path):
    """A copy of the training half: two images are gone, many annotations are broken."""
    content = json.loads((shapes / "annotations" / "instances_train.json").read_text())
    annotations = content["annotations"]
    annotations[0]["category_id"] = 99
    annotations[1]["bbox"] = [5, 5, 0, 0]
    annotations[2]["segmentation"] = [[1, 2]]
    del annotations[3]["id"]
    content["images"][0]["file_name"] = "gone.png"
    (tmp_path / "train").mkdir()
    for path in (shapes / "train").iterdir():
        (tmp_path / "train" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "train" / "000004.png").write_bytes(b"no image")
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    return file


def check(file, *options):
    return main(["data", "check", str(file), "--images", str(file.parent / "train"), *options])


def test_a_sound_dataset(shapes, capsys):
    arguments = ["data", "check", str(shapes / "annotations" / "instances_train.json")]
    assert main([*arguments, "--images", str(shapes / "train")]) == 0
    printed = capsys.readouterr().out
    assert "no issues. Training uses 13 of 13 images" in printed and "rectangle" in printed


def test_all_problems_are_in_one_table(broken, capsys):
    assert check(broken) == 1
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].split() == ["image", "annotation", "issue", "fix"]
    for words in ("gone.png", "99 is not among", "no area", "000004.png", "cannot be read"):
        assert words in " ".join(printed.split()), words
    assert "7 issues. Training uses 11 of 13 images" in lines[-1]


def test_long_tables_are_cut_and_the_counts_stay(broken, capsys):
    assert check(broken, "--limit", "2") == 1
    printed = capsys.readouterr().out
    assert "... and 5 more" in printed and "7 issues" in printed
    assert check(broken, "--limit", "-1") == 2
    assert "--limit" in capsys.readouterr().err


def test_problems_for_programs(broken, tmp_path, capsys):
    assert check(broken, "--json", str(tmp_path / "found.json")) == 1
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["problems"]) == 7 and found["used"]["images"] == [11, 13]
    assert set(found["problems"][0]) == {"image", "annotation", "what", "cure"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", 'no list "categories"'),
        ('{"images": [], "categories": [], "annotations": []}', "none of its categories"),
    ],
)
def test_what_is_no_dataset(tmp_path, capsys, content, words):
    (tmp_path / "x.json").write_text(content)
    assert check(tmp_path / "x.json") == 2
    error = capsys.readouterr().err
    assert error.startswith("maskrcnn-edu: ") and words in error and error.count("\n") == 1


def test_a_wrong_image_folder(shapes, tmp_path, capsys):
    file = shapes / "annotations" / "instances_train.json"
    assert main(["data", "check", str(file), "--images", str(tmp_path)]) == 2
    assert "none of the images can be read; check --images" in capsys.readouterr().err
    assert main(["data", "check", "no.json", "--images", str(tmp_path)]) == 2
    assert "no.json" in capsys.readouterr().err


def test_training_and_evaluation_go_on_and_say_what_is_left_out(broken, tmp_path, capsys):
    data = ["--train-json", str(broken), "--train-images", str(broken.parent / "train")]
    data += ["--val-json", str(broken), "--val-images", str(broken.parent / "train")]
    out = tmp_path / "run"
    options = ["--config", "shapes_fpn", "--steps", "4", "--processes", "1", "--out", str(out)]
    assert main(["train", *options, *TINY, *data]) == 0
    printed = capsys.readouterr()
    assert "instances.json: 5 problems" in printed.out and "left out" not in printed.out
    for name in ("gone.png", "000004.png"):
        assert printed.err.count(f"{name}: ") == 1  # in the first of all epochs and evaluations
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [x["images"] for x in lines if x["kind"] == "val"] == [11] * 3  # 13, without these
    data = ["--json", str(broken), "--images", str(broken.parent / "train")]
    assert main(["eval", "--weights", str(out), "--out", str(out / "eval"), *data]) == 0
    printed = capsys.readouterr()
    assert "mask AP" in printed.out and "2 images cannot be read" in printed.out
    listed = printed.out.partition("Average Precision")[0]  # before the tables, as training does
    assert f"{broken}: 5 problems" in listed
    for reason in ("is not among categories", "no area", "no usable polygon", 'no "id"'):
        assert reason in listed
    assert "left out: " in printed.err
