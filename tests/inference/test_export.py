"""The exported programs find what the model finds."""

import json

import numpy as np
import paddle
import pytest

from maskrcnn_edu.cli.main import main
from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.structures import Batch
from maskrcnn_edu.weights.folder import ClassNames, save_model

if paddle.__version__.startswith("2."):
    pytest.skip("export needs Paddle 3", allow_module_level=True)

from maskrcnn_edu.inference.export import INPUTS, OUTPUTS, export_onnx, export_paddle

SIZES = [(64, 96, 60, 90, 0.5), (96, 64, 96, 50, 1.6)]


def picture(height, width, h, w, scale):
    """One image [1, 3, height, width] of which [h, w] is no padding."""
    noise = np.random.default_rng(height).normal(size=[1, 3, height, width]).astype(np.float32)
    noise[:, :, h:] = noise[:, :, :, w:] = 0
    return noise, np.array([[h, w]], np.float32), np.array([[scale, scale]], np.float32)


def eager(model, inputs):
    batch = Batch(*(paddle.to_tensor(x) for x in inputs), [0])
    with paddle.no_grad():
        d = model(batch).detections[0]
    return [x.numpy() for x in (d.boxes, d.labels, d.scores, d.masks)]


def paddle_inference(path):
    from paddle.inference import Config, create_predictor

    config = Config(f"{path}.json", f"{path}.pdiparams")
    config.disable_glog_info()
    predictor = create_predictor(config)

    def run(inputs):
        for name, value in zip(INPUTS, inputs):
            predictor.get_input_handle(name).copy_from_cpu(value)
        predictor.run()
        names = predictor.get_output_names()
        return [predictor.get_output_handle(n).copy_to_cpu() for n in names]

    return run


def onnx_runtime(path):
    pytest.importorskip("paddle2onnx")
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options)
    assert [i.name for i in session.get_inputs()] == list(INPUTS)
    assert [o.name for o in session.get_outputs()] == list(OUTPUTS)
    return lambda inputs: session.run(None, dict(zip(INPUTS, inputs)))


def programs(model, folder):
    yield "paddle", paddle_inference(export_paddle(model, folder / "paddle"))
    pytest.importorskip("paddle2onnx")
    yield "onnx", onnx_runtime(export_onnx(model, folder / "onnx"))


def assert_same(got, want, name):
    boxes, labels, scores, masks = got
    np.testing.assert_array_equal(labels, want[1], name)
    np.testing.assert_allclose(boxes, want[0], rtol=1e-4, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(scores, want[2], rtol=1e-4, atol=1e-4, err_msg=name)
    assert masks.dtype == np.uint8 and masks.shape == want[3].shape
    assert (masks != want[3]).mean() < 1e-4, name  # a probability at the threshold may fall


CHANGES = {
    "as it is": {},
    "class-agnostic": {
        "roi_extractor: {resolution: ": "cls_agnostic: true, roi_extractor: {resolution: "
    },
    "limits": {"keep_top_k: 6": "keep_top_k: 4, nms_top_k: 3"},
    "all": {"keep_top_k: 6": "keep_top_k: -1"},
    "topk after collect": {"post_nms_top_n: 12": "post_nms_top_n: 12, topk_after_collect: true"},
    "smaller boxes": {"post_nms_top_n: 12": "post_nms_top_n: 12, min_size: 20"},
}


@pytest.mark.parametrize("kind", ["c4", "fpn"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_same_detections(build_tiny, tiny_text, tmp_path, kind, change):
    text = tiny_text[kind]
    for old, new in CHANGES[change].items():
        if change == "class-agnostic":
            old, new = "BBoxHead:\n", "BBoxHead:\n  cls_agnostic: true\n"
        assert old in text
        text = text.replace(old, new)
    model = build_tiny(text)
    model.eval()
    wanted = [eager(model, picture(*size)) for size in SIZES]
    assert all(len(w[0]) >= 3 for w in wanted)
    for name, run in programs(model, tmp_path):
        for size, want in zip(SIZES, wanted):
            assert_same(run(picture(*size)), want, f"{name} {size}")


def test_no_detection(tiny, tmp_path):
    tiny.eval()
    bias = tiny.bbox_head.bbox_score.bias
    bias.set_value(paddle.concat([bias[:-1], paddle.full([1], 20.0)]))  # all is background
    for _, run in programs(tiny, tmp_path):
        boxes, labels, scores, masks = run(picture(*SIZES[0]))
        assert boxes.shape == (0, 4) and labels.shape == scores.shape == (0,)
        assert masks.shape == (0, 120, 180)


def test_no_proposal(build_tiny, tiny_text, tmp_path):
    text = tiny_text["fpn"].replace("post_nms_top_n: 12", "post_nms_top_n: 12, min_size: 1000")
    model = build_tiny(text)
    model.eval()
    for _, run in programs(model, tmp_path):
        assert run(picture(*SIZES[0]))[0].shape == (0, 4)


def test_adaptive_suppression_is_not_for_onnx(build_tiny, tiny_text, tmp_path):
    pytest.importorskip("paddle2onnx")
    model = build_tiny(tiny_text["c4"].replace("keep_top_k: 6", "keep_top_k: 6, nms_eta: 0.9"))
    with pytest.raises(ValueError, match="nms_eta"):
        export_onnx(model, tmp_path)


def test_the_command(tiny_fpn, tiny_text, tmp_path, capsys):
    pytest.importorskip("paddle2onnx")
    config = parse_config(tiny_text["fpn"] + "export_onnx: true\n")
    save_model(tmp_path / "run", tiny_fpn, config, ClassNames(["a", "b", "c"], [1, 2, 3]))
    command = ["export", "--weights", str(tmp_path / "run"), "--out"]
    assert main([*command, str(tmp_path / "default")]) == 0
    assert {p.name for p in (tmp_path / "default").iterdir()} == {
        "model.json", "model.pdiparams", "model.onnx", "config.yml", "classes.json",
    }  # fmt: skip
    assert json.loads((tmp_path / "default" / "classes.json").read_text())["names"][2] == "c"
    assert "model.onnx" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "weights"), "--format", "pdparams"]) == 0
    assert paddle.load(str(tmp_path / "weights" / "model.pdparams")).keys() >= {
        "bbox_head.bbox_score.weight"
    }
