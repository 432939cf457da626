"""Every key of the shipped configurations' models has a note."""

import pytest

from maskrcnn_edu.config.schema import load_config, parse_config
from maskrcnn_edu.config.yaml_files import shipped_configs
from maskrcnn_edu.teaching.key_notes import explain, note_of


@pytest.mark.parametrize("name", shipped_configs())
def test_every_key_has_a_note(name):
    rows = explain(load_config(name))
    assert len(rows) > 40
    assert [key for key, _, note in rows if not note] == []


def test_rows_in_the_documents_order_with_their_values():
    rows = explain(
        parse_config(
            "num_classes: 3\nRPNHead: {train_proposal: {nms_thresh: 0.7}}\nResNet: {depth: 50}"
        )
    )
    assert [row[:2] for row in rows] == [
        ("num_classes", "3"), ("ResNet.depth", "50"), ("RPNHead.train_proposal.nms_thresh", "0.7"),
    ]  # fmt: skip


def test_the_longest_end_of_a_key_counts():
    assert note_of("ResNet.norm_type") == "bn, sync_bn or gn"
    assert note_of("MaskFeat.norm_type") != note_of("ResNet.norm_type")
    assert note_of("RPNHead.nothing_like_this") == ""
