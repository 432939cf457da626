"""The ledger names things that exist: symbols, files, tests, rules, keys."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from maskrcnn_edu.config.schema import SECTIONS, TOP_LEVEL

ROOT = Path(__file__).parent.parent
LEDGER = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")


def rows(title):
    """The cells of the first table below a heading."""
    text = LEDGER.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    width = len(table[0])
    end = next((i for i, row in enumerate(table) if len(row) != width), len(table))
    return table[2:end]


def exists(reference):
    path, _, name = reference.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


@pytest.mark.parametrize("row", rows("From the document to the code"), ids=lambda row: row[0])
def test_symbols_files_and_tests_of_the_ledger(row):
    _, symbols, file, test = row
    path = file.strip("`")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    for symbol in re.findall(r"`([\w.]+)`", symbols):
        found = module
        for word in symbol.split("."):
            found = getattr(found, word)
        assert found.__doc__, symbol
    assert exists(test.strip("`")), test


@pytest.mark.parametrize("row", rows("Every option"), ids=lambda row: row[0])
def test_options_are_exercised(row):
    assert exists(row[2].strip("`")), row[2]


def test_every_rule_is_in_the_ledger():
    from .parity.differences import DIFFERENCES

    listed = {row[0]: row[2] for row in rows("Where PaddleDetection's numbers are not ours")}
    assert listed == {rule.name: rule.reason for rule in DIFFERENCES}


def test_every_name_of_the_package_is_in_the_ledger():
    names = set(SECTIONS) - {
        "TrainReader", "EvalReader", "LearningRate", "OptimizerBuilder",  # not of the document
        "SmoothL1Loss", "GIoULoss",  # options
    }  # fmt: skip
    missing = {name for name in names if f"`{name}`" not in LEDGER}
    missing |= {key for key in TOP_LEVEL if f"`{key}" not in LEDGER} - {"architecture", "epoch"}
    assert not missing
