"""Images are found by names that are written in another form, and the near one is named."""

import json
import unicodedata

import pytest
from PIL import Image

from maskrcnn_edu.data.coco import CocoDataset

COMPOSED = "caf\u00e9.png"


@pytest.fixture
def issue_of(tmp_path):
    """What is wrong with an image that is ``there`` but ``written`` otherwise."""

    def read(there, written, **entry):
        for name in there:
            (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 4)).save(tmp_path / "images" / name)
        image = {"id": 1, "file_name": written, "height": 4, "width": 6} | entry
        content = {"images": [image], "categories": [{"id": 1, "name": "a"}], "annotations": []}
        (tmp_path / "x.json").write_text(json.dumps(content))
        return CocoDataset(tmp_path / "x.json", tmp_path / "images").image_issue(0)

    return read


@pytest.mark.parametrize(
    ("there", "written"),
    [
        (unicodedata.normalize("NFD", COMPOSED), COMPOSED),
        (COMPOSED, unicodedata.normalize("NFD", COMPOSED)),
        ("dsc1.png", "DSC1.PNG"),
        ("sub/b.png", "sub\\b.png"),
        ("my photo.png", "my%20photo.png"),
        ("c.png", "images/c.png"),
        ("c.png", "./c.png"),
    ],
)
def test_another_form_of_the_name_is_found(issue_of, there, written):
    assert issue_of([there], written) is None
    assert issue_of([there], written, height=None) is None  # its size is found as well


@pytest.mark.parametrize(
    ("there", "written", "near"),
    [
        ("d.png", "/home/me/set/d.png", "d.png"),
        ("d.png", "train/d.png", "d.png"),  # may be another image of this name
        ("e.png", "e.jpg", "e.png"),
        ("photo_0017.png", "photo_017.png", "photo_0017.png"),
    ],
)
def test_what_may_be_another_image_is_only_named(issue_of, there, written, near):
    assert f"no such image, but there is {near}" in issue_of([there], written).message


def test_a_form_of_two_files_stands_for_neither(issue_of):
    assert "there is" in issue_of(["F.png", "f.PNG"], "f.png").message


def test_hidden_copies_are_not_meant(issue_of):
    issue = issue_of([".ipynb_checkpoints/a.png", "__MACOSX/a.png", "._a.png"], "a.png")
    assert issue.message == "no such image"
