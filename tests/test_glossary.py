"""Every word of the glossary leads somewhere: a name of the package, a section of the document."""

import importlib
import re
from pathlib import Path

import pytest

GLOSSARY = (Path(__file__).parent.parent / "docs" / "glossary.md").read_text(encoding="utf-8")
LINES = [line for line in GLOSSARY.splitlines() if line.startswith("| ")]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES[1:]]
DOCUMENT = Path(__file__).parents[2] / "shared" / "document" / "maskrcnn-source-walkthrough.md"
OUR_OWN = {  # the document has no word for these
    "锚框的目标", "特征金字塔（FPN）", "第五阶段（res5）", "坐标系（网络输入、原图）", "检测结果",
    "人群标注（iscrowd）", "非极大值抑制（NMS）", "分数（是否为物体）", "贴回原图",
    "栅格化", "RoI 对齐（RoIAlign）",
    "共享特征", "平均精度（AP）", "类别无关", "重复检测", "误检", "去向", "学习率调度",
    "低质量匹配", "精确率", "配额", "召回率", "游程编码（RLE）",
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_name_is_there(row):
    module, _, name = row[2].strip("`").rpartition(".")
    assert getattr(importlib.import_module(f"maskrcnn_edu.{module}"), name).__doc__


def test_words_are_in_order_and_once():
    words = [row[0].lower() for row in ROWS]
    assert words == sorted(set(words)) and len(words) == 53


@pytest.mark.skipif(not DOCUMENT.is_file(), reason="the document is not here")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_document_has_the_section_and_the_word(row):
    text = DOCUMENT.read_text(encoding="utf-8")
    headings = {line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("##")}
    assert row[3] == "—" or set(row[3].split(", ")) <= headings
    words = re.split(r"[，（）]", row[1])
    assert row[1] in OUR_OWN or any(word and word in text for word in words)


def test_every_paper_is_listed():
    cited = {re.match(r"[^,—]*", row[4])[0].split(",")[0].strip() for row in ROWS} - {""}
    assert {name for name in cited if f"\n{name}:" not in GLOSSARY} == set()
