"""Everything that a COCO file can get wrong, one mistake at a time."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.problems import Issue, shorten, summarize, table

SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]


def content():
    return {
        "images": [
            {"id": 10, "file_name": "a.png", "width": 6, "height": 4},
            {"id": 7, "file_name": "b.png", "width": 6, "height": 4},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 3, "bbox": [1, 1, 2, 2]}
            | {"segmentation": [SQUARE], "iscrowd": 0, "area": 4},
            {"id": 2, "image_id": 7, "category_id": 9, "bbox": [1, 1, 2, 2]}
            | {"segmentation": {"size": [4, 6], "counts": [5, 2, 2, 2, 13]}, "iscrowd": 0},
        ],
    }


@pytest.fixture
def read(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (6, 4)).save(tmp_path / name)

    def change_and_read(change=lambda made: None):
        made = content()
        change(made)
        (tmp_path / "instances.json").write_text(json.dumps(made))
        return CocoDataset(tmp_path / "instances.json", tmp_path)

    return change_and_read


def put(section, row, **fields):
    return lambda made: made[section][row].update(fields)


def drop(section, row, field):
    return lambda made: made[section][row].pop(field)


def add(section, *entries):
    return lambda made: made[section].extend(entries)


ONE, TWO = content()["annotations"]

PROBLEMS = [
    # images
    (drop("images", 0, "id"), "a.png", None, 'no "id"', (1, 1)),
    (put("images", 0, id="10"), "a.png", None, '"id" is the text "10", no whole number', (1, 1)),
    (put("images", 0, id=True), "a.png", None, '"id" is true, no whole number', (1, 1)),
    (put("images", 0, id=[1]), "a.png", None, '"id" is [1], no whole number', (1, 1)),
    (put("images", 1, id=10), "b.png", None, "the image id 10 is used twice", (1, 1)),
    (drop("images", 0, "file_name"), "images[0]", None, 'no "file_name"', (1, 1)),
    (put("images", 0, file_name=5), "5", None, '"file_name" is 5, no printable text', (1, 1)),
    (put("images", 0, file_name="a\nb"), "'a\\nb'", None, "no printable text", (1, 1)),
    (put("images", 1, file_name="a.png"), "a.png", None, "listed twice, as 10 and as 7", (1, 1)),
    (put("images", 0, width=10**12), "a.png", None, "1000000000000 x 4 pixels are more", (1, 1)),
    (add("images", 3), "images[2]", None, "3 is no entry", (2, 2)),
    # sizes that the file does not say are read from the image
    (drop("images", 0, "height"), "a.png", None, '"height" null', (2, 2)),
    (put("images", 0, height=0), "a.png", None, "that of the file is used", (2, 2)),
    (put("images", 0, width="6"), "a.png", None, '"width" the text "6"', (2, 2)),
    (put("images", 0, width=None, file_name="c.png"), "c.png", None, "cannot be read", (1, 1)),
    # categories
    (add("categories", {"id": 3, "name": "x"}), None, None, "the id 3 is used twice", (2, 2)),
    (add("categories", {"id": True, "name": "x"}), None, None, '[2]: "id" is true', (2, 2)),
    (add("categories", {"id": "4", "name": "x"}), None, None, '"id" is the text "4"', (2, 2)),
    (add("categories", {"id": 4}), None, None, 'categories[2]: no "name"', (2, 2)),
    (add("categories", {"id": 4, "name": ""}), None, None, '"name" is', (2, 2)),
    # annotations
    (put("annotations", 0, image_id=4), None, 1, '"image_id" 4 is not among', (2, 1)),
    (put("annotations", 0, image_id="10"), None, 1, '"image_id" is the text "10"', (2, 1)),
    (drop("annotations", 0, "image_id"), None, 1, 'no "image_id"', (2, 1)),
    (put("annotations", 0, category_id=4), "a.png", 1, "4 is not among categories", (2, 1)),
    (put("annotations", 0, category_id="3"), "a.png", 1, 'is the text "3"', (2, 1)),
    (put("annotations", 0, category_id=True), "a.png", 1, "is true, no whole number", (2, 1)),
    (drop("annotations", 0, "category_id"), "a.png", 1, 'no "category_id"', (2, 1)),
    (drop("annotations", 0, "id"), "a.png", "annotations[0]", "used all the same", (2, 2)),
    (put("annotations", 1, id=1), "b.png", 1, "used twice; both are used", (2, 2)),
    (add("annotations", ONE), "a.png", 1, "listed twice", (2, 2)),
    (add("annotations", []), None, "annotations[2]", "[] is no entry", (2, 2)),
    (put("annotations", 0, iscrowd="no"), "a.png", 1, '"iscrowd" is the text "no"', (2, 1)),
    (put("annotations", 0, area="4"), "a.png", 1, '"area" is the text "4"', (2, 2)),
    (put("annotations", 0, area=float("nan")), "a.png", 1, '"area" is nan', (2, 2)),
    (put("annotations", 0, bbox=[1, 1, float("nan"), 2]), "a.png", 1, "its bbox is", (2, 1)),
    (put("annotations", 0, bbox=[1, 1, 10**400, 2]), "a.png", 1, "its bbox is", (2, 1)),
    (put("annotations", 0, bbox=[9, 9, 2, 2]), "a.png", 1, "no area inside the image", (2, 1)),
    (put("annotations", 0, bbox=[4, 1, 2, 2]), "a.png", 1, "no area inside its box", (2, 1)),
    (put("annotations", 0, segmentation="x"), "a.png", 1, "no usable polygon", (2, 1)),
    (put("annotations", 0, segmentation=[[1, 1, 2, 2]]), "a.png", 1, "3 points or more", (2, 1)),
    (put("annotations", 0, segmentation=[[1e9, 1, 2, 2, 1, 3]]), "a.png", 1, "far outside", (2, 1)),
    (put("annotations", 1, segmentation={"size": [4, 6], "counts": [10**15, 9]}),
     "b.png", 2, "cannot be decoded", (2, 1)),
    (put("annotations", 1, segmentation={"size": [4, 6], "counts": "o" * 10**6}),
     "b.png", 2, "cannot be decoded", (2, 1)),
    (put("annotations", 1, segmentation={"size": [4, 6], "counts": [24]}),
     "b.png", 2, "its RLE is empty", (2, 1)),
    # numbers as texts, and what is no yes or no
    (put("annotations", 0, iscrowd="0"), "a.png", 1, 'is the text "0"', (2, 1)),
    (put("annotations", 0, ignore="false"), "a.png", 1, 'is the text "false"; it is used', (2, 2)),
    (put("annotations", 0, ignore=2), "a.png", 1, '"ignore" is 2; it is used', (2, 2)),
    # outlines without a pixel: a line, there and back, a speck, beside the image
    (put("annotations", 0, segmentation=[[1, 1, 2, 2, 3, 3]]), "a.png", 1, "no pixel", (2, 1)),
    (put("annotations", 0, segmentation=[[1, 1, 5, 1, 5, 3, 5, 1]]),
     "a.png", 1, "no pixel", (2, 1)),
    (put("annotations", 0, segmentation=[[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]]),
     "a.png", 1, "no pixel", (2, 1)),
    (put("annotations", 0, segmentation=[[7, 1, 9, 1, 9, 3]]), "a.png", 1, "outside", (2, 1)),
    (put("annotations", 0, segmentation=[[-5, 1, -1, 1, -1, 3]]), "a.png", 1, "outside", (2, 1)),
    (put("annotations", 0, segmentation=[[0.2, 0.2, 0.6, 0.2, 0.6, 0.8]]),
     "a.png", 1, "shares of the image", (2, 1)),
    # boxes that mean something else, and one of another object
    (put("annotations", 0, bbox=[1, 1, 3, 3]), "a.png", 1, "holds two corners", (2, 2)),
    (put("annotations", 0, bbox=[2, 2, 2, 2]), "a.png", 1, "holds its centre", (2, 2)),
    (put("annotations", 0, bbox=[1 / 6, 0.25, 1 / 3, 0.5]),
     "a.png", 1, "width and height in shares of the image", (2, 2)),
    (put("annotations", 0, bbox=[2 / 6, 0.5, 1 / 3, 0.5]),
     "a.png", 1, "its centre [x, y, w, h] in shares", (2, 2)),
    (put("annotations", 0, bbox=[1 / 6, 0.25, 0.5, 0.75]),
     "a.png", 1, "two corners [x1, y1, x2, y2] in shares", (2, 2)),
    (put("annotations", 0, bbox=[2.8, 0, 3, 4]), "a.png", 1, "do not belong together", (2, 2)),
    (put("annotations", 0, area=400), "a.png", 1, "400, but its mask has 4 pixels", (2, 2)),
    (put("annotations", 0, segmentation={"size": [4, 6], "counts": "b'54;'"}),
     "a.png", 1, "how Python prints bytes", (2, 1)),
    # two categories of one name
    (add("categories", {"id": 4, "name": "dog"}), None, None, "dog is used twice; 4 is", (2, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("change", "image", "annotation", "what", "used"), PROBLEMS)
def test_a_mistake_is_named_and_the_rest_is_used(read, change, image, annotation, what, used):
    dataset = read(change)
    (issue, *_) = dataset.issues
    assert (issue.image, issue.annotation) == (image, annotation)
    assert what in issue.message and issue.fix
    assert (len(dataset), sum(len(dataset[i].gt) for i in range(len(dataset)))) == used


SAME = (
    put("images", 0, id=10.0, width=6.0),
    put("annotations", 0, image_id=10.0, category_id=3.0, iscrowd=None, ignore=False),
    put("annotations", 0, iscrowd=0.0, ignore=0),
    put("annotations", 0, segmentation=SQUARE),
    put("annotations", 0, segmentation=[[[1, 1], [3, 1], [3, 3], [1, 3]]]),
    put("annotations", 1, segmentation=[{"size": [4, 6], "counts": [5, 2, 2, 2, 13]}]),
    put("annotations", 0, area=30, segmentation=[[0, 0, 6, 0, 6, 4, 0, 4]], bbox=[0, 0, 6, 4]),
    put("annotations", 0, bbox=[0.9, 0.9, 2.2, 2.2]),  # IoU 4 / 4.84
)


@pytest.mark.parametrize("change", SAME)
def test_what_can_mean_one_thing_only_is_used_without_a_word(read, change):
    dataset = read(change)
    assert dataset.issues == []
    assert [len(dataset[i].gt) for i in range(2)] == [1, 1]
    assert dataset[1].gt.segms[0].pixels.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    "bbox", ([1, 1, 3, 3], [2, 2, 2, 2], [1 / 6, 0.25, 1 / 3, 0.5], [2.8, 0, 3, 4])
)
def test_a_box_that_is_not_its_outlines_gives_way(read, bbox):
    dataset = read(put("annotations", 0, bbox=bbox))
    np.testing.assert_array_equal(dataset[0].gt.boxes, [[1, 1, 3, 3]])


def test_an_area_that_is_not_the_masks_gives_way(read):
    (first, _) = read(put("annotations", 0, area=400)).to_coco()["annotations"]
    assert first["area"] == 4


def test_categories_of_one_name_are_one_class(read):
    def change(made):
        add("categories", {"id": 4, "name": "dog"})(made)
        put("annotations", 0, category_id=4)(made)

    dataset = read(change)
    assert dataset.class_names == ["cat", "dog"] and dataset.category_ids == [3, 9]
    assert dataset.objects_per_class() == {"cat": 0, "dog": 2}


def _all(**fields):
    return lambda made: [each.update(fields) for each in made["annotations"]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_all(iscrowd=1), "every object is a crowd"),
        (_all(ignore=1), 'every object is marked "ignore"'),
        (
            lambda made: made["annotations"].extend(ONE | {"id": k} for k in range(3, 183)),
            "1 of 2 images hold more than 100 objects, up to 181",
        ),
    ],
)
def test_what_only_the_whole_file_shows_comes_last(read, change, words):
    issue = read(change).issues[-1]
    assert (issue.image, issue.annotation) == (None, None) and words in issue.message


@pytest.mark.parametrize(
    "name", ["a\u202fb.png", "a\u3000b.png", "e\u0301.png", "\U0001f468\u200d\U0001f33e.png"]
)
def test_names_of_any_letters_are_names(read, name, tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / name)
    dataset = read(put("images", 0, file_name=name))
    assert dataset.issues == [] and dataset.image_issue(0) is None


def test_annotations_of_a_left_out_image_are_not_problems_of_their_own(read):
    dataset = read(put("images", 1, file_name="a.png"))
    assert len(dataset.issues) == 1
    assert dataset.entry_counts() == {"categories": 2, "images": 2, "annotations": 2}


def test_a_file_without_annotations_says_so(read):
    (issue,) = read(lambda made: made["annotations"].clear()).issues
    assert "no usable annotation" in issue.message


def test_a_missing_size_is_that_of_the_upright_image(read, tmp_path):
    lying = Image.new("RGB", (6, 4))
    exif = lying.getexif()
    exif[0x0112] = 6
    lying.save(tmp_path / "turned.png", exif=exif)
    dataset = read(put("images", 0, file_name="turned.png", width=None, height=None))
    assert dataset[0].im_shape.tolist() == [6, 4]
    assert dataset.image_issue(0) is None


# ---- images ----------------------------------------------------------------------


def test_images_that_cannot_be_used(read, tmp_path):
    whole = (tmp_path / "a.png").read_bytes()
    dataset = read()
    assert dataset.image_issue(0) is None
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as an image" in dataset.image_issue(0).message
    (tmp_path / "a.png").unlink()
    assert dataset.image_issue(0) == Issue(
        "a.png", None, "no such image", "put it into the image folder"
    )
    Image.new("RGB", (5, 4)).save(tmp_path / "a.png")
    issue = dataset.image_issue(0)
    assert "4 high and 5 wide" in issue.message and "correct height and width" in issue.fix


# ---- what evaluation is given ----------------------------------------------------


def test_the_truth_of_a_sound_file_is_the_file(read):
    truth = read().to_coco()
    made = content()
    assert truth["images"] == made["images"] and truth["categories"] == made["categories"]
    first, second = truth["annotations"]
    assert first == ONE
    assert second == TWO | {"area": 4.0}


def test_the_truth_of_a_broken_file_can_be_scored(read):
    def spoil(made):
        made["annotations"] += [{"image_id": 7}, None, ONE | {"id": 5, "bbox": [1, 1, 0, 0]}]
        del made["annotations"][0]["id"], made["annotations"][0]["iscrowd"]
        made["annotations"][0]["area"] = "big"

    first, second = read(spoil).to_coco()["annotations"]
    assert first == ONE | {"area": 4.0}
    assert second["id"] == 2


# ---- runs ------------------------------------------------------------------------


def test_the_extent_of_runs_is_that_of_the_drawn_mask():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 9, 2)
        mask = rng.random((height, width)) < rng.random()
        mask[rng.integers(height), rng.integers(width)] = True
        runs = rle.parse(rle.encode(mask), int(height), int(width))
        assert (rle.decode(runs, height, width) == mask).all()
        assert rle.to_bbox(runs, height).tolist() == rle.crop(mask).box.tolist()
        assert (coco_mask.decode(rle.encode(mask)) == mask).all()


# ---- tables ----------------------------------------------------------------------


def test_an_issue_is_one_line():
    assert str(Issue("a.png", 7, "it is empty", "draw it")) == (
        "a.png, annotation 7: it is empty; draw it"
    )
    assert str(Issue("a.png", None, "gone", "copy it")) == "a.png: gone; copy it"
    assert str(Issue(None, None, "no annotation", "draw some")) == "no annotation; draw some"


def test_a_table_is_cut_but_counts_everything():
    two = table([Issue("a.png", 3, "word " * 12, "mend it"), Issue(None, None, "odd", "look")])
    assert two.splitlines() == [
        "image  annotation  issue                                                   fix",
        "a.png  3           word word word word word word word word word word word  mend it",
        "                   word",
        "                   odd                                                     look",
    ]
    issues = [Issue("a.png", i, "word " * 30, "fix") for i in range(9)]
    lines = table(issues, limit=2).splitlines()
    assert lines[-2] == "... and 7 more; all 9 by kind:" and lines[0].split() == [
        "image", "annotation", "issue", "fix",
    ]  # fmt: skip
    assert lines[-1].startswith("9 x word word") and max(map(len, lines[:-1])) < 160


def test_a_line_for_each_kind_with_the_first_three_and_what_matters_last():
    issues = [Issue(None, None, "nothing can be learned", "annotate")]
    issues += [Issue(f"{k}.png", k, f'its "area" is {k}.5, not {k + 1}', "fix") for k in range(130)]
    issues += [Issue("a.png", None, "gone", "copy it"), Issue(None, 8, "gone", "copy it")]
    assert summarize(issues, "x.json").splitlines() == [
        "x.json: 133 problems; `maskrcnn-edu data check` lists them",
        '  130 x its "area" is 0.5, not 1; fix (0.png, annotation 0; 1.png, annotation 1; '
        "2.png, annotation 2, ...)",
        "  2 x gone; copy it (a.png; annotation 8)",
        "  nothing can be learned; annotate",
    ]
    assert table(issues, limit=0).splitlines()[-1] == "nothing can be learned; annotate"


def test_values_are_shown_short_and_on_one_line():
    assert shorten("naïve.png") == "naïve.png"
    for value in ("\ud800", "a\nb", "x" * 1000, [[[[1] * 99] * 99] * 99] * 99, 10**400):
        text = shorten(value)
        assert len(text) < 400 and text.isprintable()
