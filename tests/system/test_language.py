"""English in the code, Chinese in a table: complete both ways, and never silently English."""

import ast
import json
import re
import string
from pathlib import Path

import pytest
import yaml

import maskrcnn_edu
from maskrcnn_edu.system.language import TABLES, VARIABLE, language, say, words
from maskrcnn_edu.teaching.biography import Fate
from maskrcnn_edu.teaching.bugs.catalog import CATALOG, read_catalog
from maskrcnn_edu.teaching.exercises.check import EXERCISES, MISTAKES, check
from maskrcnn_edu.teaching.exercises.kinds import CHANGES, EVERY, FORMS
from maskrcnn_edu.teaching.key_notes import NOTES, note_of
from maskrcnn_edu.teaching.widgets import life, mask_targets, nms

HOUSE = Path(maskrcnn_edu.__file__).parent
NOTEBOOKS = HOUSE.parent / "notebooks"


def english_of_data():
    """File -> what it gives to `say` that is no literal."""
    mistakes = json.loads(MISTAKES.read_text(encoding="utf-8"))
    bugs = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))
    kinds = [FORMS, EVERY, *CHANGES.values()]
    return {
        "biography.py": [*(fate.value for fate in Fate), "foreground", "background", "ignored"],
        "catalog.py": [bug[key] for bug in bugs for key in ("title", "story")],
        "check.py": [words for m in mistakes.values() for words in m]
        + [exercise.shows for exercise in EXERCISES.values()],
        "key_notes.py": NOTES.values(),
        "kinds.py": [text for kind in kinds for text in kind],
        "life.py": life.WAY,
        "mask_targets.py": mask_targets.MISTAKES,
        "nms.py": nms.LOOK,
    }  # fmt: skip


def sources():
    """(file's name, source) of the package and of the notebooks' cells of code."""
    for path in HOUSE.rglob("*.py"):
        yield path.name, path.read_text(encoding="utf-8")
    for path in NOTEBOOKS.glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            lines = cell["source"] if cell["cell_type"] == "code" else []
            yield path.name, "".join(line for line in lines if not line.startswith("%"))


def said():
    """(file's name, argument) of every call of `say`."""
    for name, source in sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
                yield name, node.args[0]


def fields(text):
    """What a template is filled with, and how."""
    return sorted({part[1:] for part in string.Formatter().parse(text) if part[1] is not None})


def test_the_table_has_every_text_and_no_other():
    calls = list(said())
    assert len(calls) > 100
    literals = {a.value for _, a in calls if isinstance(a, ast.Constant)}
    data = english_of_data()
    assert {name for name, a in calls if not isinstance(a, ast.Constant)} == set(data)
    wanted = literals.union(*data.values())
    table = words("zh")
    assert sorted(wanted - set(table)) == [], "not in the table"
    assert sorted(set(table) - wanted) == [], "in the table, but nowhere said"


NAMES = r"IoU|AP|aligned|loss_\w+|removed"  # of code and measures; the last is read by a test
WORDED = {"title", "xlabel", "ylabel", "label", "description"}
WORDED_FIRST = {"set_title", "set_xlabel", "set_ylabel", "slider", "dropdown", "checkbox"}


def shown():
    """(file's name, expression) of every title and label of a picture or widget."""
    drawing = ((name, source) for name, source in sources() if "argparse" not in source)
    for name, source in drawing:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                first = node.args[:1] if called in WORDED_FIRST else []
                yield from ((name, k.value) for k in node.keywords if k.arg in WORDED)
                yield from ((name, each) for each in first)


def test_no_title_or_label_is_english_in_chinese():
    """Words in one of them that are not given to `say`."""
    left = []
    for name, expression in shown():
        if "say(" not in ast.unparse(expression):
            parts = [n.value for n in ast.walk(expression) if isinstance(n, ast.Constant)]
            text = re.sub(NAMES, "", " ".join(map(str, parts)))
            left += [(name, text)] * bool(re.search("[A-Za-z]{2}", text))
    assert left == []


def test_a_translation_has_the_fields_of_its_text():
    assert [e for e, chinese in words("zh").items() if fields(e) != fields(chinese)] == []


def test_a_text_stands_once_in_the_table_and_has_a_translation():
    lines = TABLES["zh"].read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert len(entries) == len(words("zh")) and all(words("zh").values())
    same = [e for e, chinese in words("zh").items() if e == chinese]
    assert same == ["RoI"]  # as the document writes it


@pytest.mark.parametrize("value", [None, "", "en"])
def test_english_is_the_text_itself(monkeypatch, value):
    monkeypatch.setenv(VARIABLE, value) if value is not None else monkeypatch.delenv(
        VARIABLE, False
    )
    assert language() == "en" and say("in no table, {n}") == "in no table, {n}"


def test_chinese_is_in_the_table_or_an_error(monkeypatch):
    monkeypatch.setenv(VARIABLE, "zh")
    assert say("positive {n}").format(n=3) == "正样本 3 个"
    with pytest.raises(KeyError, match=r"words\.zh\.yml has no translation of 'in no table'"):
        say("in no table")


def test_another_language_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "fr")
    with pytest.raises(ValueError, match="MASKRCNN_EDU_LANG is 'fr'; choose one of en, zh"):
        say("anchor")


def test_what_is_read_from_files_of_data(monkeypatch):
    monkeypatch.setenv(VARIABLE, "zh")
    assert str(Fate.SAMPLED_BACKGROUND) == "采样为背景：只训练类别"
    assert note_of("BBoxAssigner.fg_thresh") == "达到它：前景"
    assert note_of("RPNHead.nothing_like_this") == ""
    bug = read_catalog()["masks_transposed"]
    assert bug.title == "掩码被转置" and bug.story.startswith("栅格是 [y, x]")


def test_verdicts(monkeypatch):
    monkeypatch.setenv(VARIABLE, "zh")

    def iou(a, b):
        low = [max(x, y) for x, y in zip(a[:2], b[:2])]
        high = [min(x, y) for x, y in zip(a[2:], b[2:])]
        both = max(high[0] - low[0], 0) * max(high[1] - low[1], 0)
        return both / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - both)

    verdict = check("iou", iou)
    assert (
        verdict.is_right
        and verdict == "正确：模型中的每次匹配、每次采样、每次抑制都以这个数为依据。"
    )
    assert check("iou", None) == "尚未作答"
    assert check("io", iou) == "没有名为 'io' 的练习；你是不是想写 iou？"
    verdict = check("iou", lambda a, b: iou(a, b) + 0.25)
    assert not verdict.is_right and verdict.startswith("还不对：所有的数都大了 0.25\n输入 a = [")
    assert "你的结果是 " in verdict and "，应为 " in verdict
    verdict = check("iou", lambda a, b: 1 / 0)
    assert verdict.startswith("还不对：它抛出了 ZeroDivisionError: division by zero\n输入 a = ")
    assert check("iou", lambda a, b, c: 0) == (
        "还不对：调用时传入 2 个参数（a, b）；你的函数接受 3 个 (a, b, c)"
    )
