"""Names, shapes and trainability of all weights, as PaddleDetection's checkpoints have them.

``keys_c4.txt`` and ``keys_fpn.txt`` list PaddleDetection 2.6.0's state-dict keys:
name, shape, and whether the weight is trained (``-`` for running statistics).
"""

from pathlib import Path

import pytest

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import load_config

LISTS = {"mask_rcnn_r50_1x_coco": "keys_c4.txt", "mask_rcnn_r50_fpn_1x_coco": "keys_fpn.txt"}


def expected(name):
    text = (Path(__file__).parent / LISTS[name]).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return {key: (shape, trained) for key, shape, trained in rows}


@pytest.mark.parametrize("name", LISTS)
def test_keys_shapes_and_trainability(name):
    model = build_model(load_config(name))
    state, wanted = model.state_dict(), expected(name)
    assert sorted(state) == sorted(wanted)
    shapes = {key: "x".join(map(str, value.shape)) for key, value in state.items()}
    assert shapes == {key: shape for key, (shape, _) in wanted.items()}
    trained = {key for key, value in model.named_parameters() if not value.stop_gradient}
    assert trained == {key for key, (_, word) in wanted.items() if word == "yes"}


def test_the_lists_are_whole():
    assert [len(expected(name)) for name in LISTS] == [279, 307]
    words = {word for name in LISTS for _, word in expected(name).values()}
    assert words <= {"yes", "no", "-"} and "yes" in words
