"""What the document's model offers besides its answer: extra data, and the profiler's events."""

import paddle
import paddle.nn.functional as F
import pytest
import yaml
from paddle import profiler

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import parse_config

STAGES = {
    True: (
        "backbone rpn_head rpn_target_assign proposals bbox_assigner bbox_head mask_assigner "
        "mask_head losses"
    ),
    False: ("backbone rpn_head proposals bbox_head bbox_post_process mask_head mask_post_process"),
}


def with_extra_data(text):
    values = yaml.safe_load(text)
    values["MaskRCNN"]["use_extra_data"] = True
    return build_model(parse_config(yaml.safe_dump(values)))


@pytest.mark.parametrize("kind", ["c4", "fpn"])
def test_extra_data_lead_back_to_the_scores(tiny_text, make_batch, kind):
    model = with_extra_data(tiny_text[kind])
    model.eval()
    stages = model(make_batch(2, with_gt=False))
    scores, index = stages.extra_data["scores"], stages.extra_data["nms_keep_idx"]
    assert paddle.allclose(scores, F.softmax(stages.bbox.scores))
    detections = paddle.concat([d.scores for d in stages.detections])
    assert len(detections) > 0 and index.shape == detections.shape
    row, label = index // 3, index % 3
    assert paddle.equal_all(scores[row, label], detections)
    assert label.tolist() == paddle.concat([d.labels for d in stages.detections]).tolist()


def test_without_the_option_there_is_none(tiny, make_batch):
    tiny.eval()
    assert tiny(make_batch(with_gt=False)).extra_data is None


def asks_a_driver_that_is_not_there():
    return paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() == 0


@pytest.mark.skipif(
    asks_a_driver_that_is_not_there(), reason="Paddle's profiler asks the CUDA driver"
)
@pytest.mark.parametrize("training", [True, False])
def test_the_profiler_sees_every_stage(tiny, make_batch, training, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Paddle leaves a log where it stands
    tiny.train() if training else tiny.eval()
    with profiler.Profiler(targets=[profiler.ProfilerTarget.CPU], timer_only=False) as seen:
        tiny(make_batch(with_gt=training))
    seen.export(str(tmp_path / "trace.json"), format="json")
    trace = (tmp_path / "trace.json").read_text()
    named = STAGES[training].split() + (["neck"] if tiny.neck is not None else [])
    for name in named:
        assert f"MaskRCNN::{name}" in trace, name
