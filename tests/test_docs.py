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
        "SmoothL1Loss", "GIoULoss", "SIoULoss",  # options
    }  # fmt: skip
    missing = {name for name in names if f"`{name}`" not in LEDGER}
    missing |= {key for key in TOP_LEVEL if f"`{key}" not in LEDGER} - {"architecture", "epoch"}
    assert not missing


# ---- README and guides ---------------------------------------------------------------

GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_links_lead_somewhere(guide):
    targets = re.findall(r"\]\(([^)#]+)\)", guide.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (guide.parent / t).exists()]
    assert not missing


def test_every_guide_can_be_found_from_the_readme():
    text = GUIDES[0].read_text(encoding="utf-8")
    assert not [path.name for path in GUIDES[1:] if f"(docs/{path.name})" not in text]


def test_the_readme_draws_the_house_as_it_is():
    tree = GUIDES[0].read_text(encoding="utf-8").split("```\nmaskrcnn_edu/\n")[1].split("```")[0]
    inside = {line.split()[0].strip("/") for line in tree.splitlines() if line.startswith("  ")}
    there = {path.name for path in (ROOT / "maskrcnn_edu").iterdir()}
    assert inside == {name for name in there if not name.startswith("__")}
    beside = {line.split()[0] for line in tree.splitlines() if line[:1].strip()}
    assert not [name for name in beside if not (ROOT / name).is_dir()]


def test_the_readme_names_files_and_symbols_that_are_there():
    """Section of the document -> names -> files: each name is defined in one of the files."""
    lines = GUIDES[0].read_text(encoding="utf-8").split("| section of the document")[1].splitlines()
    table = [line.split("|")[2:4] for line in lines[2:] if line.startswith("| ")]
    assert len(table) >= 14
    for names, files in table:
        paths = [ROOT / "maskrcnn_edu" / f for f in re.findall(r"`([^`]+)`", files)]
        found = "".join(
            p.read_text(encoding="utf-8")
            for path in paths
            for p in ([path] if path.is_file() else path.glob("*.py"))
        )
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(class|def) {name}\b", found, re.MULTILINE), name


def test_the_readme_is_two_screens():
    assert len(GUIDES[0].read_text(encoding="utf-8").splitlines()) <= 100


def test_the_readme_says_how_slow_it_can_be():
    """The weakest training step beside each peer: what docs/speed.md measured on equal terms."""
    table = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8").partition("### In short")[2]
    rows = [[cell.strip(" *") for cell in line.split("|")] for line in table.splitlines()]
    steps = [row for row in rows if len(row) > 5 and row[1].endswith("training step")]
    equal = {peer: [cell for row in steps if row[3] == peer for cell in row[4:6] if cell]
             for peer in ("torchvision", "PaddleDetection")}  # 1 : 1 and 2 : 2 threads  # fmt: skip
    weakest = {peer: max(map(float, cells)) for peer, cells in equal.items()}
    (claim,) = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
                if "docs/speed.md" in line]  # fmt: skip
    assert f"torchvision (up to {weakest['torchvision']:.2f} times" in claim
    assert f"PaddleDetection (up to {weakest['PaddleDetection']:.2f})" in claim
