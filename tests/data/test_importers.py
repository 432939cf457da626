"""Labels of other tools, written by hand, become a dataset that has no issues."""

import base64
import io
import json
import math
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFilter

from maskrcnn_edu.cli.main import main
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.importers.index_masks import read_masks
from maskrcnn_edu.data.importers.labelme import read_labelme
from maskrcnn_edu.data.importers.via import read_via
from maskrcnn_edu.data.importers.write_coco import LabeledImage, ellipse, split
from maskrcnn_edu.system.files import atomic_folder


def write_image(path, size=(20, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = zlib.crc32(str(path).encode()).to_bytes(4, "big")  # no two images are one picture
    Image.new("RGB", size, tuple(colour[:3])).save(path)
    return path


def imported(kind, folder, out, *options):
    """Import; the exit code, and both datasets, which must have no issues."""
    code = main(["data", "import", kind, str(folder), "--out", str(out), *options])
    sets = []
    for part in ("train", "val"):
        file = out / "annotations" / f"instances_{part}.json"
        if json.loads(file.read_text())["images"]:
            assert main(["data", "check", str(file), "--images", str(out / part)]) == 0
            sets.append(CocoDataset(file, out / part))
    return code, sets


def boxes(dataset, i=0):
    return dataset[i].gt.boxes.round(1).tolist()


# ---- LabelMe ---------------------------------------------------------------------


def shape(label="cat", kind="polygon", points=((1, 1), (5, 1), (5, 4)), **more):
    return {"label": label, "shape_type": kind, "points": list(map(list, points))} | more


def labelme(folder, name, *shapes, **changes):
    content = {"version": "5.5.0", "shapes": list(shapes), "imagePath": f"{name}.png"}
    content |= {"imageData": None, "imageHeight": 16, "imageWidth": 20} | changes
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_labelme_shapes(tmp_path):
    folder = tmp_path / "in"
    write_image(folder / "a.png")
    labelme(
        folder,
        "a",
        shape(),
        shape("dog", "rectangle", [(10, 8), (2, 4)]),
        shape("dog", "circle", [(10, 8), (10, 12)]),
        shape("cat", points=[(0, 0), (2, 0), (2, 2)], group_id=3),
        shape("cat", points=[(9, 9), (12, 9), (12, 12)], group_id=3),
    )
    code, (data,) = imported("labelme", folder, tmp_path / "out", "--val-share", "0")
    assert code == 0 and data.class_names == ["cat", "dog"]
    assert boxes(data) == [[1, 1, 5, 4], [2, 4, 10, 8], [6, 4, 14, 12], [0, 0, 12, 12]]
    assert data[0].gt.labels.tolist() == [0, 1, 1, 0]
    assert len(data[0].gt.segms[3]) == 2  # one object in two parts
    assert data[0].image is None and data.file_name(0) == "a.png"


def test_labelme_uses_the_embedded_image_if_there_is_no_other(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    stored = io.BytesIO()
    Image.new("RGB", (20, 16)).save(stored, "PNG")
    labelme(folder, "a", shape(), imageData=base64.b64encode(stored.getvalue()).decode())
    _, (data,) = imported("labelme", folder, tmp_path / "out", "--val-share", "0")
    assert data.image_issue(0) is None


def test_labelme_finds_an_image_whose_path_was_of_another_machine(tmp_path):
    write_image(tmp_path / "a.png")
    labelme(tmp_path, "a", shape(), imagePath="..\\photos\\a.png")
    (made,), issues = read_labelme(tmp_path)
    assert made.path == tmp_path / "a.png" and issues == []


def test_broken_labelme_files_are_reported_and_the_rest_is_used(tmp_path, capsys):
    folder = tmp_path / "in"
    for name in "abcdef":
        write_image(folder / f"{name}.png")
    labelme(folder, "a", shape(), shape(""), shape(kind="line"), shape(points=[(1, 1)]))
    labelme(folder, "b", shape(points=[(1, 1), (5, math.nan), (5, 4)]))
    labelme(folder, "c", imageHeight=99)
    labelme(folder, "d", shape(), imagePath="gone.png")
    labelme(folder, "e", shape(), imagePath="a.png")
    (folder / "f.json").write_text("{")
    (folder / "g.json").write_text("[]")
    code, sets = imported("labelme", folder, tmp_path / "out", "--val-share", "0")
    assert code == 1
    assert sum(len(data[i].gt) for data in sets for i in range(len(data))) == 1
    printed = capsys.readouterr().out
    for words in ("shape 2", "its label is ''", "a line of 3", "polygon part", "is no number",
                  "99", "gone.png", "annotated by a.json", "not JSON", "LabelMe's format",
                  "things left out"):  # fmt: skip
        assert words in " ".join(printed.split()), words


# ---- VIA -------------------------------------------------------------------------


def region(shape_attributes, **attributes):
    return {"shape_attributes": shape_attributes, "region_attributes": attributes}


VIA_SHAPES = [
    region({"name": "polygon", "all_points_x": [1, 5, 5], "all_points_y": [1, 1, 4]}, kind="cat"),
    region({"name": "rect", "x": 2, "y": 4, "width": 8, "height": 4}, kind="dog"),
    region({"name": "circle", "cx": 10, "cy": 8, "r": 4}, kind="dog"),
    region({"name": "ellipse", "cx": 10, "cy": 8, "rx": 6, "ry": 2, "theta": math.pi / 2},
           kind={"cat": True, "dog": False}),
]  # fmt: skip
VIA_BOXES = [[1, 1, 5, 4], [2, 4, 10, 8], [6, 4, 14, 12], [8, 2, 12, 14]]


def via(folder, *regions, project=True, name="a.png"):
    entries = {f"{name}123": {"filename": name, "size": 123, "regions": list(regions)}}
    content = {"_via_settings": {}, "_via_img_metadata": entries} if project else entries
    (folder / "via.json").write_text(json.dumps(content))


@pytest.mark.parametrize("kind", ["via", "labelme"])
@pytest.mark.parametrize(
    "name", ["a\u202fb", "\u732b\u3000\u72d7", "e\u0301", "\U0001f468\u200d\U0001f33e"]
)
def test_names_are_whatever_a_disk_and_a_person_write(tmp_path, kind, name):
    write_image(tmp_path / "in" / f"{name}.png")
    if kind == "via":
        outline = {"name": "rect", "x": 2, "y": 4, "width": 8, "height": 4}
        via(tmp_path / "in", region(outline, kind=name), name=f"{name}.png")
    else:
        labelme(tmp_path / "in", name, shape(name))
    code, (data,) = imported(kind, tmp_path / "in", tmp_path / "out", "--val-share", "0")
    assert code == 0 and data.class_names == [name] and data.file_name(0) == f"{name}.png"


@pytest.mark.parametrize("project", [True, False])
def test_via_shapes(tmp_path, project):
    folder = tmp_path / "in"
    write_image(folder / "a.png")
    via(folder, *VIA_SHAPES, project=project)
    code, (data,) = imported("via", folder, tmp_path / "out", "--val-share", "0")
    assert code == 0 and data.class_names == ["cat", "dog"]
    assert boxes(data) == VIA_BOXES and data[0].gt.labels.tolist() == [0, 1, 1, 0]


def test_via_without_classes_needs_a_name(tmp_path):
    write_image(tmp_path / "a.png")
    via(tmp_path, region(VIA_SHAPES[1]["shape_attributes"]))
    (made,), (issue,) = read_via(tmp_path)
    assert made.annotations == [] and "--class-name" in issue.fix
    (made,), issues = read_via(tmp_path, "balloon")
    assert made.annotations[0][0] == "balloon" and issues == []


def test_via_broken_entries_are_reported(tmp_path):
    write_image(tmp_path / "a.png")
    via(
        tmp_path,
        region({"name": "point"}, kind="x"),
        region({"name": "rect", "x": "2"}, kind="x"),
        {},
        None,
        region({"name": "circle", "cx": 1, "cy": 1, "r": -1}, kind="x"),
        VIA_SHAPES[0],
    )
    (tmp_path / "other.json").write_text("{}")
    (made,), issues = read_via(tmp_path)
    assert len(made.annotations) == 1 and len(issues) == 6
    assert issues[0].image == "other.json"
    assert [p.annotation for p in issues[1:]] == [f"region {i}" for i in range(1, 6)]


# ---- index masks -----------------------------------------------------------------


def mask_file(path, values, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(values))
    if palette:
        image.putpalette(np.random.default_rng(0).integers(0, 255, 768).astype(np.uint8).tobytes())
    image.save(path)


def two_objects(dtype=np.uint8):
    values = np.zeros((16, 20), dtype)
    values[2:6, 3:8], values[8:12, 10:15], values[12, 10:15] = 1, 2, 255
    return values


def test_masks_of_one_class(tmp_path):
    folder = tmp_path / "in"
    for name in "ab":
        write_image(folder / "images" / f"{name}.png")
    mask_file(folder / "masks" / "a.png", two_objects())
    mask_file(folder / "masks" / "b_mask.png", two_objects(np.uint16))
    options = ("--class-name", "cell", "--val-share", "0")
    code, (data,) = imported("masks", folder, tmp_path / "out", *options)
    assert code == 0 and data.class_names == ["cell"]
    assert boxes(data) == [[3, 2, 8, 6], [10, 8, 15, 12]]
    assert len(data[1].gt) == 3  # 255 is an object's number where numbers have 16 bits


def test_masks_in_folders_of_classes(tmp_path):
    folder = tmp_path / "in"
    write_image(folder / "images" / "a.jpg")
    mask_file(folder / "masks" / "cat" / "a.png", two_objects())
    mask_file(folder / "masks" / "dog" / "a.png", np.eye(16, 20, dtype=np.uint8), palette=True)
    _, (data,) = imported("masks", folder, tmp_path / "out", "--val-share", "0")
    assert data.class_names == ["cat", "dog"] and data[0].gt.labels.tolist() == [0, 0, 1]


def test_pascal_voc(tmp_path):
    folder = tmp_path / "in"
    for name in ("2007_1.jpg", "2007_2.jpg"):
        write_image(folder / "JPEGImages" / name)
    classes = np.where(two_objects() == 1, 15, np.where(two_objects() == 2, 8, 0)).astype(np.uint8)
    mask_file(folder / "SegmentationObject" / "2007_1.png", two_objects(), palette=True)
    mask_file(folder / "SegmentationClass" / "2007_1.png", classes, palette=True)
    code, (data,) = imported("masks", folder, tmp_path / "out", "--val-share", "0")
    assert code == 0 and data.num_classes == 20 and len(data) == 1
    assert [data.class_names[i] for i in data[0].gt.labels] == ["person", "cat"]
    assert boxes(data) == [[3, 2, 8, 6], [10, 8, 15, 12]]


def test_broken_masks_are_reported(tmp_path, capsys):
    folder = tmp_path / "in"
    for name in "abcdef":
        write_image(folder / "images" / f"{name}.png")
    mask_file(folder / "masks" / "a.png", two_objects())
    mask_file(folder / "masks" / "b.png", two_objects() // 2 * 2)  # 0, 2 and 254
    mask_file(folder / "masks" / "c.png", np.where(two_objects() > 0, 255, 0).astype(np.uint8))
    mask_file(folder / "masks" / "d.png", np.zeros((16, 20, 3), np.uint8))
    mask_file(folder / "masks" / "e.png", np.ones((5, 5), np.uint8))
    mask_file(folder / "masks" / "z.png", two_objects())
    (folder / "masks" / "f.png").write_bytes(b"nothing")
    options = ("--class-name", "cell", "--val-share", "0")
    code, (data,) = imported("masks", folder, tmp_path / "out", *options)
    assert code == 1 and [len(data[i].gt) for i in range(len(data))] == [2, 2]
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("255 belongs", "colours (RGB)", "says 5 and 5", "no image of this",
                  "cannot be read as an image"):  # fmt: skip
        assert words in printed, words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["labelme", "nowhere"], "nowhere: there is no such folder"),
        (["labelme", "."], "no .json file here"),
        (["via", "."], "no .json file here"),
        (["masks", "."], "put the images there"),
    ],
)
def test_a_folder_with_nothing_in_it(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "import", *arguments, "--out", "made"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskrcnn-edu: ") and words in error and error.count("\n") == 1
    assert not (tmp_path / "made").exists()


# ---- writing ---------------------------------------------------------------------


def test_images_can_be_linked_and_names_do_not_collide(tmp_path):
    folder = tmp_path / "in"
    for name in ("x/a.png", "y/a.png"):
        write_image(folder / name)
        labelme(folder / name[0], "a", shape())
    write_image(folder / "a.png")
    labelme(folder, "far", shape(), imagePath="../in/a.png")
    code, (data,) = imported("labelme", folder, tmp_path / "out", "--val-share", "0", "--link")
    assert code == 0 and sorted(map(data.file_name, range(3))) == ["a.png", "x/a.png", "y/a.png"]
    assert data.image_path(0).is_symlink()


def test_an_import_that_fails_leaves_nothing(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "in"
    write_image(folder / "a.png")
    labelme(folder, "a", shape())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    assert main(["data", "import", "labelme", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "no space left" in capsys.readouterr().err.lower()
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ValueError, match="is there already"), atomic_folder(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "x"


def test_the_split_is_by_seed_and_loses_nothing(tmp_path):
    everything = [LabeledImage(tmp_path / str(i), str(i), []) for i in range(10)]
    made = split(everything, 0.2, seed=0)
    assert len(made["val"]) == 2 and len(made["train"]) == 8
    assert {e.name for part in made.values() for e in part} == {str(i) for i in range(10)}
    assert made == split(everything, 0.2, seed=0) != split(everything, 0.2, seed=1)
    assert len(split(everything[:2], 0.01, 0)["val"]) == 1
    assert split(everything, 0, 0)["val"] == []
    with pytest.raises(ValueError, match="--val-share"):
        split(everything, 1.0, 0)


def test_an_ellipse_is_never_far_from_its_polygon():
    for radius in (1, 7, 300):
        points = np.array(ellipse(0, 0, radius, radius)).reshape(-1, 2)
        middles = (points + np.roll(points, 1, axis=0)) / 2
        assert radius - np.hypot(*middles.T).min() < 0.3


# ---- what programs and people leave ----------------------------------------------


def test_hidden_copies_are_no_data(tmp_path):
    folder = tmp_path / "in"
    write_image(folder / "a.png")
    labelme(folder, "a", shape())
    for hidden in (".ipynb_checkpoints", "__MACOSX"):
        (folder / hidden).mkdir()
        labelme(folder / hidden, "a", shape("dog"), imagePath="../a.png")
    (folder / "._a.json").write_bytes(b"\0\5\x16\7")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    code, (data,) = imported("labelme", folder, tmp_path / "out", "--val-share", "0")
    assert code == 0 and data.objects_per_class() == {"cat": 1}


def png_mask(pixels):
    file = io.BytesIO()
    Image.fromarray(np.array(pixels, bool)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_labelme_masks_and_turned_boxes(tmp_path):
    folder = tmp_path / "in"
    write_image(folder / "a.png")
    mask = png_mask([[0, 1, 1], [1, 1, 0]])
    diamond = [[10, 2], [14, 6], [10, 10], [6, 6]]
    labelme(
        folder,
        "a",
        shape("mask", "mask", [[2, 3], [4, 4]], mask=mask),
        shape("box", "rotation", diamond),
        shape("both", "mask", [[2, 3], [4, 4]], mask=mask, group_id=1),
        shape("both", points=[[10, 10], [14, 10], [14, 12], [10, 12]], group_id=1),
        shape("beyond", "mask", [[18, 3], [20, 4]], mask=mask),
        shape("broken", "mask", [[2, 3], [4, 4]], mask="AAAA"),
    )
    code, (data,) = imported("labelme", folder, tmp_path / "out", "--val-share", "0")
    gt = data[0].gt
    # by name: both, box, mask
    assert code == 1 and data.class_names == ["both", "box", "mask"]
    found = {data.class_names[label]: k for k, label in enumerate(gt.labels)}
    one = gt.segms[found["mask"]]
    assert one.box.tolist() == [2, 3, 5, 5] and one.pixels.tolist() == [[0, 1, 1], [1, 1, 0]]
    assert gt.segms[found["both"]].pixels.sum() == 4 + 8
    assert gt.boxes[found["box"]].tolist() == [6, 2, 14, 10]


def test_images_out_of_the_folder_are_refused_and_the_rest_is_imported(tmp_path, capsys):
    folder = tmp_path / "in"
    write_image(folder / "a.png")
    write_image(tmp_path / "secret.png")
    labelme(folder, "a", shape())
    labelme(folder, "b", shape(), imagePath="../secret.png")
    labelme(folder, "c", shape(), imagePath="x" * 300 + ".png")
    code, (data,) = imported("labelme", folder, tmp_path / "out", "--val-share", "0")
    assert code == 1 and len(data) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "2 things left out" in said and "copy it into the folder" in said


def test_of_several_via_files_one_is_asked_for(tmp_path, capsys):
    folder = tmp_path / "in"
    write_image(folder / "a.png")
    outline = {"name": "rect", "x": 1, "y": 2, "width": 5, "height": 4}
    for name, label in (("old.json", "dog"), ("new.json", "cat")):
        region = {"shape_attributes": outline, "region_attributes": {"class": label}}
        content = {"a.png1": {"filename": "a.png", "size": 1, "regions": [region]}}
        (folder / name).write_text(json.dumps(content))
    out = str(tmp_path / "out")
    assert main(["data", "import", "via", str(folder), "--out", out]) == 2
    error = capsys.readouterr().err
    assert "2 VIA files (new.json, old.json)" in error and f"via {folder}/new.json" in error
    code, (data,) = imported("via", folder / "old.json", tmp_path / "out", "--val-share", "0")
    assert code == 0 and data.objects_per_class() == {"dog": 1}


def index_mask(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)


def test_what_lies_beside_an_image_is_not_the_image(tmp_path):
    folder, values = tmp_path / "in", np.zeros((16, 20), np.uint8)
    values[2:8, 2:8] = 1
    for name in ("a", "b"):
        write_image(folder / "images" / f"{name}.png")
        index_mask(folder / "masks" / f"{name}.png", values)
    for other in ("a.txt", "a.xml", "b.json", ".a.png"):
        (folder / "images" / other).write_text("{}")
    code, (data,) = imported("masks", folder, tmp_path / "out", "--val-share", "0",
                             "--class-name", "cell")  # fmt: skip
    assert code == 0 and len(data) == 2
    write_image(folder / "images" / "a.jpg")
    (labeled, issues) = read_masks(folder, "cell")
    assert [each.name for each in labeled] == ["a.jpg", "b.png"]
    assert [i.image for i in issues] == ["a.png"] and "a.jpg has the same name" in issues[0].message


def discs(*numbers):
    """[240, 320] uint8, discs that do not touch."""
    values, (y, x) = np.zeros([240, 320], np.uint8), np.mgrid[:240, :320]
    for number, (row, column) in zip(numbers, [(60, 70), (120, 200), (190, 100), (60, 280)]):
        values[(y - row) ** 2 + (x - column) ** 2 < 35**2] = number
    return values


def masks_of(folder, image, ending="png", **options):
    """What is read of a mask, and what is said about it."""
    write_image(folder / "images" / "a.png", image.size)
    (folder / "masks").mkdir()
    image.save(folder / "masks" / f"a.{ending}", **options)
    labeled, issues = read_masks(folder, "cell")
    return sum(len(each.annotations) for each in labeled), [issue.message for issue in issues]


@pytest.mark.parametrize(
    ("ending", "options", "kind"),
    [
        ("jpg", {"quality": 100}, "JPEG"),
        ("webp", {"quality": 90}, "WEBP"),
        ("webp", {"lossless": True}, "WEBP"),  # may be sound, but nobody can know
        ("tiff", {"compression": "jpeg"}, "JPEG"),
    ],
)
def test_masks_saved_with_loss_are_refused(tmp_path, ending, options, kind):
    found = masks_of(tmp_path, Image.fromarray(discs(1, 2, 3)), ending, **options)
    assert found[0] == 0 and found[1][0] == f"{kind} keeps no exact numbers"


def again(image, form, **options):
    """The image after it was saved and read."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return Image.open(file).convert("L")


@pytest.mark.parametrize(
    "damage",
    [
        lambda mask: again(mask, "JPEG", quality=75),
        lambda mask: again(mask, "JPEG", quality=100),
        lambda mask: again(mask.convert("RGB"), "WEBP", quality=100),
        lambda mask: mask.filter(ImageFilter.GaussianBlur(1)),
        lambda mask: mask.resize((480, 360), Image.Resampling.BILINEAR),
        lambda mask: mask.resize((200, 150), Image.Resampling.BICUBIC),
    ],
)
@pytest.mark.parametrize("numbers", [(50, 100, 200), (255,), (128,), (1, 2, 3, 4)])
def test_masks_that_were_saved_with_loss_or_smoothed_are_refused(tmp_path, damage, numbers):
    found, said = masks_of(tmp_path, damage(Image.fromarray(discs(*numbers))))
    assert found == 0 and "slopes or specks" in said[0]


def test_sound_masks_are_no_damaged_ones(tmp_path):
    lines, dots = np.zeros([200, 300], np.uint8), np.zeros([200, 300], np.uint16)
    for number in range(1, 9):  # one pixel wide, aslant and crossing
        lines[np.arange(200), (np.arange(200) * number // 3 + 20 * number) % 300] = number
    dots[::10, ::10] = np.arange(1, 601).reshape(20, 30)  # one pixel each
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:200, :300, :1][:2]
    centres = rng.uniform(0, 1, [100, 2]) * [200, 300]
    cells = ((y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2).argmin(axis=2)  # side by side
    for i, (values, count) in enumerate([(lines, 8), (dots, 600), (cells.astype(np.uint8), 99)]):
        assert masks_of(tmp_path / str(i), Image.fromarray(values)) == (count, [])
    small = Image.fromarray(discs(1, 2, 3, 4)).resize((40, 30), Image.Resampling.NEAREST)
    assert masks_of(tmp_path / "small", small) == (4, [])


def test_validation_images_of_a_folder_of_their_own_and_classes_with_counts(tmp_path, capsys):
    for part, names in (("in", ("cat", "Cat")), ("val", ("cat", "ca t"))):
        write_image(tmp_path / part / "a.png")
        labelme(tmp_path / part, "a", *map(shape, names))
    code, sets = imported("labelme", tmp_path / "in", tmp_path / "out",
                          "--val", str(tmp_path / "val"))  # fmt: skip
    assert code == 0 and [len(each) for each in sets] == [1, 1]
    said = capsys.readouterr().out
    assert 'classes: "Cat" 1, "ca t" 1, "cat" 2' in said
    assert '"Cat", "ca t", "cat" are different classes' in said
