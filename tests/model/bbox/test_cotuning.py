"""Label co-tuning: the old classes' classifier keeps learning from the new labels."""

import numpy as np
import paddle
import pytest
import yaml

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.config.yaml_files import ConfigError
from maskrcnn_edu.model.bbox.cotuning import COTBBoxHead, COTLoss, class_relationship
from maskrcnn_edu.model.bbox.head import BBoxHead
from maskrcnn_edu.weights.pdparams import write_pdparams
from maskrcnn_edu.weights.pretrained import load_pretrained

COT = {"use_cot": True, "cot_classes": 5, "loss_cot": {"cot_scale": 2.0, "cot_lambda": 0.5}}


def with_cot(text, **top):
    values = yaml.safe_load(text)
    values["BBoxHead"] |= COT
    return parse_config(yaml.safe_dump(values | top))


@pytest.fixture(params=["c4", "fpn"])
def model(request, tiny_text):
    return build_model(with_cot(tiny_text[request.param]))


def test_the_configuration_chooses_the_head(model):
    head = model.bbox_head
    assert type(head) is COTBBoxHead
    assert head.loss_cot == COTLoss(num_classes=3, cot_scale=2.0, cot_lambda=0.5)
    # the names and shapes of PaddleDetection
    shapes = {k: v.shape[-1] for k, v in head.state_dict().items() if "score.bias" in k}
    assert shapes == {"bbox_score.bias": 6, "cot_bbox_score.bias": 4}


def test_the_top_level_key_works_too(tiny_text):
    values = yaml.safe_load(tiny_text["fpn"]) | {"use_cot": True}
    head = build_model(parse_config(yaml.safe_dump(values))).bbox_head
    assert type(head) is COTBBoxHead and head.cot_classes == 80
    values["BBoxHead"]["use_cot"] = False  # the section is nearer
    assert type(build_model(parse_config(yaml.safe_dump(values))).bbox_head) is BBoxHead


def test_its_keys_need_the_switch(tiny_text):
    values = yaml.safe_load(tiny_text["fpn"])
    values["BBoxHead"]["cot_classes"] = 5
    with pytest.raises(ConfigError, match=r"cot_classes: unknown key of BBoxHead"):
        parse_config(yaml.safe_dump(values))


def test_the_loss_joins_once_the_relation_is_known(model, make_batch):
    model.train()
    assert "loss_bbox_cls_cot" not in model(make_batch()).losses
    model.bbox_head.init_cot_head(paddle.full([3, 5], 0.2))
    stages = model(make_batch())
    assert len(stages.losses) == 6
    labels = paddle.concat([s.target_labels for s in stages.samples])
    expected = model.bbox_head.loss_cot(stages.bbox.cot_scores, labels, paddle.full([3, 5], 0.2))
    assert stages.losses["loss_bbox_cls_cot"].item() == pytest.approx(expected.item(), 1e-6)
    stages.loss.backward()
    assert float(model.bbox_head.bbox_score.weight.grad.abs().sum()) > 0


def test_prediction_uses_the_new_classes(model, make_batch):
    model.eval()
    stages = model(make_batch(with_gt=False))
    assert stages.bbox.scores.shape[1] == 4 and stages.bbox.cot_scores.shape[1] == 6
    assert all(int(d.labels.max()) < 3 for d in stages.detections if len(d))


def test_a_pretrained_classifier_stays(model, tiny_text, build_tiny, tmp_path):
    kind = "c4" if model.neck is None else "fpn"
    old = build_tiny(tiny_text[kind].replace("num_classes: 3", "num_classes: 5"))
    write_pdparams(tmp_path / "w.pdparams", old.state_dict())
    report = load_pretrained(model, tmp_path / "w.pdparams")
    np.testing.assert_array_equal(
        model.bbox_head.bbox_score.weight.numpy(), old.bbox_head.bbox_score.weight.numpy()
    )
    assert "bbox_head.cot_bbox_score.weight" in report.missing


def test_a_relation_of_another_shape(model):
    with pytest.raises(ValueError, match=r"must be \[3, 5\], got \[5, 3\]"):
        model.bbox_head.init_cot_head(paddle.zeros([5, 3]))


def test_the_relation_is_the_mean_answer():
    big = 50.0
    scores = paddle.to_tensor([[big, 0, 99], [0, big, 99], [0, big, 99], [0, 0, 99]])
    made = class_relationship(scores, paddle.to_tensor([0, 0, 1, 1]), 3).numpy()
    np.testing.assert_allclose(made[:2], [[0.5, 0.5], [0.25, 0.75]], atol=1e-6)
    np.testing.assert_allclose(made[2], [0.375, 0.625], atol=1e-6)  # no box: the mean of all


def test_the_loss_by_hand():
    loss = COTLoss(num_classes=2, cot_scale=2.0, cot_lambda=3.0)
    scores = paddle.to_tensor([[0.5, 0.0, 9.0], [9.0, 9.0, 9.0], [7.0, 7.0, 7.0]])
    relationship = paddle.to_tensor([[0.25, 0.75], [1.0, 0.0]])
    made = loss(scores, paddle.to_tensor([0, 2, -1]), relationship).item()  # one foreground RoI
    log_total = np.log(np.exp(1.0) + 1)
    assert made == pytest.approx(-3 * (0.25 * (1 - log_total) + 0.75 * (0 - log_total)), 1e-6)
    assert loss(scores, paddle.to_tensor([2, 2, -1]), relationship).item() == 0


def test_by_default_there_are_80_classes():
    scores, relation = paddle.to_tensor([[0.0, 0.0, 0.0]]), paddle.full([80, 2], 0.5)
    last, background = (COTLoss()(scores, paddle.to_tensor([n]), relation) for n in (79, 80))
    assert last.item() == pytest.approx(np.log(2)) and background.item() == 0


def test_the_relation_has_no_gradient():
    scores = paddle.to_tensor([[1.0, 0.0, 0.0]], stop_gradient=False)
    assert class_relationship(scores, paddle.to_tensor([0]), 1).stop_gradient
