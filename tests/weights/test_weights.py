"""Weights of all kinds into models of all kinds."""

import json
import os
from hashlib import sha256

import numpy as np
import paddle
import pytest

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import load_config, parse_config
from maskrcnn_edu.weights import zoo
from maskrcnn_edu.weights.arrays import array_shapes, load_weights, read_arrays, set_state
from maskrcnn_edu.weights.folder import ClassNames, load_model, read_classes, save_model
from maskrcnn_edu.weights.pdparams import write_pdparams
from maskrcnn_edu.weights.pretrained import LoadReport, load_pretrained
from maskrcnn_edu.weights.zoo import MODEL_ZOO, cache_folder, coco_classes, find_weights, zoo_entry


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for downloads, and no way out."""
    monkeypatch.setenv("MASKRCNN_EDU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    return tmp_path / "cache"


def equal(one, two):
    a, b = one.state_dict(), two.state_dict()
    return list(a) == list(b) and all(np.array_equal(a[k].numpy(), b[k].numpy()) for k in a)


def scrambled(model):
    """The model with other weights."""
    for value in model.state_dict().values():
        value.set_value(paddle.rand(value.shape))
    return model


# ---- whole models ----------------------------------------------------------------


def test_a_pdparams_file_round_trip(tiny, build_tiny, tiny_text, tmp_path):
    write_pdparams(tmp_path / "w.pdparams", tiny.state_dict())
    name = "c4" if tiny.neck is None else "fpn"
    other = scrambled(build_tiny(tiny_text[name]))
    assert not equal(tiny, other)
    load_weights(other, tmp_path / "w.pdparams")
    assert equal(tiny, other)


def test_a_file_needs_a_configuration(tiny_fpn, tiny_text, tmp_path):
    write_pdparams(tmp_path / "w.pdparams", tiny_fpn.state_dict())
    with pytest.raises(ValueError, match=r"w.pdparams: which configuration .*--config"):
        load_model(tmp_path / "w.pdparams")
    model, _, classes = load_model(tmp_path / "w.pdparams", parse_config(tiny_text["fpn"]))
    assert equal(model, tiny_fpn) and not model.training
    assert classes.names == ["class 0", "class 1", "class 2"]


def test_a_folder_has_its_own_configuration(tiny_fpn, tiny_text, tmp_path):
    config = parse_config(tiny_text["fpn"])
    save_model(tmp_path, tiny_fpn, config, ClassNames(["a", "b", "c"], [1, 2, 3]))
    with pytest.raises(ValueError, match="configuration of its own; leave --config out"):
        load_model(tmp_path, config)


def test_every_misfit_is_listed_and_nothing_changes(tiny_fpn, tmp_path):
    before = {k: v.numpy() for k, v in tiny_fpn.state_dict().items()}
    arrays = dict(before)
    first, second = list(arrays)[:2]
    del arrays[first]
    arrays[second] = np.zeros([7], np.float32)
    arrays["fc.weight"] = np.zeros([2, 3], np.float32)
    write_pdparams(tmp_path / "w.pdparams", {k: paddle.to_tensor(v) for k, v in arrays.items()})
    with pytest.raises(ValueError) as caught:
        load_weights(tiny_fpn, tmp_path / "w.pdparams")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("w.pdparams does not fit the model:")
    assert [line.split()[:2] for line in lines[1:]] == [
        ["missing:", first], ["unexpected:", "fc.weight"], ["shape:", second],
    ]  # fmt: skip
    assert all(np.array_equal(before[k], v.numpy()) for k, v in tiny_fpn.state_dict().items())


def test_half_precision_becomes_float32():
    layer = paddle.nn.Linear(2, 1)
    set_state(layer, {"weight": np.float16([[0.1], [3]]), "other": np.zeros(7)})
    assert layer.weight.dtype == paddle.float32 and layer.bias.numpy().tolist() == [0]
    assert layer.weight.numpy().tolist() == [[0.0999755859375], [3]]  # float16's 0.1
    assert array_shapes(layer) == {"weight": [2, 1], "bias": [1]}


def test_a_folder_round_trip(tiny, tiny_text, tmp_path):
    config = parse_config(tiny_text["c4" if tiny.neck is None else "fpn"])
    classes = ClassNames(["a", "b", "c"], [1, 7, 4])
    save_model(tmp_path / "m", scrambled(tiny), config, classes)
    assert {p.name for p in (tmp_path / "m").iterdir()} == {
        "model.safetensors", "config.yml", "classes.json",
    }  # fmt: skip
    stored = json.loads((tmp_path / "m/classes.json").read_text())
    assert stored == {"names": ["a", "b", "c"], "category_ids": [1, 7, 4]}
    model, again, named = load_model(tmp_path / "m")
    assert equal(model, tiny) and again.values == config.values and named == classes
    (tmp_path / "m/classes.json").unlink()
    with pytest.raises(ValueError, match=r"m has no classes.json: give the folder that"):
        load_model(tmp_path / "m")


# ---- pretrained ------------------------------------------------------------------


def backbone_file(model, path, prefix):
    """A backbone's weights as published files name them, with a classifier on top."""
    state = {prefix + k: v for k, v in model.backbone.state_dict().items()}
    if hasattr(model.bbox_head.head, "res5"):
        res5 = model.bbox_head.head.res5.state_dict()
        state |= {f"{prefix}res5.{k}": v for k, v in res5.items()}
    write_pdparams(path, {**state, "fc.weight": paddle.zeros([8, 1000])})
    return state


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_pretrained_backbone(tiny, build_tiny, tiny_text, tmp_path, prefix):
    state = backbone_file(scrambled(tiny), tmp_path / "w.pdparams", prefix)
    model = build_tiny(tiny_text["c4" if tiny.neck is None else "fpn"])
    head = model.rpn_head.rpn_rois_score.weight.numpy()
    report = load_pretrained(model, tmp_path / "w.pdparams")
    assert len(report.used) == len(state) and report.unexpected == ["fc.weight"]
    assert equal(model.backbone, tiny.backbone)
    if tiny.neck is None:  # res5 lives in the box head
        assert equal(model.bbox_head.head, tiny.bbox_head.head)
    np.testing.assert_array_equal(model.rpn_head.rpn_rois_score.weight.numpy(), head)
    assert "fc.weight" in str(report) and "start at random" in str(report)
    assert f"{len(state)} of {len(model.state_dict())} weights" in str(report)


def test_other_classes_leave_the_class_layers_alone(tiny, build_tiny, tiny_text, tmp_path):
    write_pdparams(tmp_path / "w.pdparams", scrambled(tiny).state_dict())
    text = tiny_text["c4" if tiny.neck is None else "fpn"]
    model = build_tiny(text.replace("num_classes: 3", "num_classes: 5"))
    before = {k: v.numpy() for k, v in model.state_dict().items()}
    report = load_pretrained(model, tmp_path / "w.pdparams")
    layers = {line.split()[0].rsplit(".", 1)[0] for line in report.shape_mismatch}
    assert layers == {"bbox_head.bbox_score", "bbox_head.bbox_delta", "mask_head.mask_fcn_logits"}
    assert not report.missing and not report.unexpected
    for key, value in model.state_dict().items():
        kept = np.array_equal(value.numpy(), before[key])
        assert kept == (key.rsplit(".", 1)[0] in layers)


def test_a_report_counts_and_names_six_of_each_kind():
    names = [f"w{i}" for i in range(8)]
    report = LoadReport("x.pdparams", ["a", "b"], names, ["c [1] instead of [2]"], [], ["dog"])
    assert str(report).splitlines() == [
        "2 of 11 weights from x.pdparams",
        "  8 not in the file, start at random: w0, w1, w2, w3, w4, w5 ...",
        "  1 of another shape, start at random: c [1] instead of [2]",
        "  1 of its classes keep what was learned about them: dog",
    ]


def test_nothing_fits(tiny_fpn, tmp_path):
    write_pdparams(tmp_path / "w.pdparams", {"fc.weight": paddle.zeros([2])})
    with pytest.raises(ValueError, match="none of its weights fits"):
        load_pretrained(tiny_fpn, tmp_path / "w.pdparams")


# ---- published files -------------------------------------------------------------


def test_published_names_lead_to_addresses_and_configurations(cache):
    for name, known in MODEL_ZOO.items():
        assert known.url.endswith(f"/{name}.pdparams") and known.url.startswith("https://")
        if known.config:
            build_model(load_config(known.config, known.changes))


@pytest.mark.parametrize("name", ["mask_rcnn_r50_1x_coco", "ResNet50_cos_pretrained.pdparams"])
def test_a_published_file_is_looked_for_in_the_cache_first(cache, name):
    place = cache / f"{name.removesuffix('.pdparams')}.pdparams"
    with pytest.raises(ValueError) as caught:  # offline
        find_weights(name)
    assert f"put it at {place}" in str(caught.value) and MODEL_ZOO[place.stem].url in str(
        caught.value
    )
    cache.mkdir(exist_ok=True)
    place.write_bytes(b"here")
    assert find_weights(name) == place
    assert find_weights(MODEL_ZOO[place.stem].url) == place


def test_other_addresses_have_files_of_their_own(cache, monkeypatch):
    """The last part of an address is not all of it."""
    asked = []

    def served(url, path, max_bytes):
        asked.append(url)
        path.parent.mkdir(exist_ok=True)
        path.write_text(url)
        return path

    monkeypatch.setattr(zoo, "fetch", served)
    published = MODEL_ZOO["mask_rcnn_r50_1x_coco"].url
    urls = [
        published,
        "https://evil.example/mask_rcnn_r50_1x_coco.pdparams",
        "https://evil.example/b/mask_rcnn_r50_1x_coco.pdparams",
        "https://evil.example/w.safetensors?version=1",
        "https://evil.example/w.safetensors?version=2",
        "https://evil.example/%2e%2e%2f%2e%2e%2fw.pdparams",
        "https://evil.example/..%5c..%5cw.pdparams",
        "https://evil.example/..",
        "https://evil.example",
    ]
    paths = [find_weights(url) for url in urls]
    assert asked == urls and [path.read_text() for path in paths] == urls
    assert {path.parent for path in paths} == {cache} and len(set(paths)) == len(urls)
    assert find_weights("mask_rcnn_r50_1x_coco") == paths[0]
    assert paths[0].name == "mask_rcnn_r50_1x_coco.pdparams"  # where earlier versions put it
    # the first digits of the address's SHA-256
    assert (
        paths[1].name
        == f"mask_rcnn_r50_1x_coco-{sha256(urls[1].encode()).hexdigest()[:16]}.pdparams"
    )
    assert zoo_entry(paths[1]) is None and paths[3].suffix == ".safetensors"


def test_a_cache_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MASKRCNN_EDU_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


def test_an_unknown_name(cache):
    with pytest.raises(ValueError, match="did you mean mask_rcnn_r50_1x_coco"):
        find_weights("mask_rcnn_r50_1x_cocoo")
    assert not cache.exists()


def test_the_documents_pretrain_weights_have_an_address():
    url = load_config("mask_rcnn_r50_1x_coco").values["pretrain_weights"]
    assert url == MODEL_ZOO["ResNet50_cos_pretrained"].url


# ---- classes ---------------------------------------------------------------------


def test_cocos_classes():
    names, ids = coco_classes()
    assert len(names) == len(set(names)) == len(ids) == 80
    known = dict(zip(ids, names))
    # spread over the list: a shift anywhere would show
    assert known[1] == "person" and known[13] == "stop sign" and known[31] == "handbag"
    assert known[46] == "wine glass" and known[67] == "dining table" and known[90] == "toothbrush"


def test_classes_from_either_file(tmp_path):
    ours, coco = tmp_path / "classes.json", tmp_path / "instances.json"
    ours.write_text(json.dumps({"names": ["a", "b"], "category_ids": [1, 7]}))
    coco.write_text(json.dumps({"categories": [{"id": 7, "name": "b"}, {"id": 1, "name": "a"}]}))
    assert read_classes(ours) == read_classes(coco) == ClassNames(["a", "b"], [1, 7])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "neither a classes.json nor an annotation file with categories"),
        ("{}", "neither a classes.json"),
        ("5", "neither a classes.json"),
        ("no json", "not JSON"),
        ("[" * 50_000, "nested too deeply"),
        ('{"names": ["a", "b"], "category_ids": [1]}', "lists of the same length"),
        ('{"names": "ab", "category_ids": [1, 2]}', "neither a classes.json"),
        ('{"names": {"a": 1}, "category_ids": [1]}', "neither a classes.json"),
        ('{"names": ["a", 5], "category_ids": [1, 2]}', r"class 1 \(id 2, name 5\) is no name"),
        ('{"names": ["a", " "], "category_ids": [1, 2]}', r"class 1 \(id 2, name ' '\)"),
        ('{"names": ["a", "b"], "category_ids": [1, "2"]}', "class 1 .* is no name with an id"),
        ('{"names": ["a", "b"], "category_ids": [1, 1]}', r"class 1 \(id 1, name b\)"),
        ('{"names": ["a"], "category_ids": [NaN]}', r"class 0 \(id nan"),
        ('{"names": ["a"], "category_ids": [9223372036854775808]}', "class 0"),
        ('{"categories": {"id": 1}}', "neither a classes.json"),
        ('{"categories": [5]}', r"class 0 \(id 5, name None\)"),
        ('{"categories": [{"id": 1}]}', r"class 0 \(id 1, name None\)"),
        ('{"categories": [{"id": [[[]]], "name": "a"}]}', "class 0"),
    ],
)
def test_classes_of_another_shape(tmp_path, content, words):
    path = tmp_path / "classes.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"^{path}: .*{words}") as error:
        read_classes(path)
    assert len(str(error.value)) < len(str(path)) + 300


def test_ids_that_a_spreadsheet_wrote(tmp_path):
    path = tmp_path / "classes.json"
    text = '\ufeff{"names": ["猫", "b"], "category_ids": [7.0, 1]}'
    path.write_bytes(text.encode("utf-16-le"))
    assert read_classes(path) == ClassNames(["猫", "b"], [7, 1])


@pytest.mark.skipif("MASKRCNN_EDU_WEIGHTS" not in os.environ, reason="needs official weights")
@pytest.mark.parametrize("name", [n for n, known in MODEL_ZOO.items() if known.config])
def test_official_weights_fit(name):
    """Run where published files are in the folder that the variable names."""
    known = MODEL_ZOO[name]
    path = find_weights(f"{os.environ['MASKRCNN_EDU_WEIGHTS']}/{name}.pdparams")
    load_weights(build_model(load_config(known.config, known.changes)), path)
    assert read_arrays(path)
