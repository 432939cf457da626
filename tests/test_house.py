"""The rules of the house, read from the source: floors, rooms, words, and size."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import maskrcnn_edu

HOUSE = Path(maskrcnn_edu.__file__).parent

FLOORS = {
    "structures": 0,
    "system": 0,
    "model": 1,
    "data": 1,
    "viz": 1,
    "config": 2,
    "weights": 3,
    "inference": 4,
    "training": 5,
    "teaching": 6,
    "cli": 7,
    "__main__": 8,
}
"""Every entry of the package. Whoever imports, imports from a smaller number, or from home."""

EVERYBODY_MAY_ASK = "system.cpu"
"""What the package's own ``__init__`` imports; everything else there is lazy."""

STOREYS = ("model.rpn.", "model.bbox.", "model.mask.")
NO_ENTRY = {"__init__.py", "__pycache__"}
LONGEST_FUNCTION = 30
MOST_ENTRIES = 14


def module_name(path):
    """File -> ``rpn.head``; packages by their folder, the top package as ``""``."""
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(HOUSE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
PACKAGES = {name for name, path in FILES.items() if path.stem == "__init__"}
MODULES = sorted(set(FILES) - PACKAGES)


def absolute(node):
    """The modules and names that one import statement asks for."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def imports(name):
    """(our modules, outer packages) that a module imports, anywhere in its text."""
    nodes = [n for n in ast.walk(TREES[name]) if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert not any(getattr(n, "level", 0) for n in nodes), f"{name}: write imports in full"
    asked = [word for node in nodes for word in absolute(node)]
    ours = [w.removeprefix("maskrcnn_edu.") for w in asked if w.startswith("maskrcnn_edu.")]
    modules = {w if w in FILES else w.rpartition(".")[0] for w in ours}
    return modules - {""}, {w.split(".")[0] for w in asked} - {"maskrcnn_edu"}


def room(name):
    """The entry of the package that a module is, or is in."""
    return name.split(".")[0]


# ---- floors and rooms ------------------------------------------------------------


def test_the_folders_are_the_table_of_contents():
    entries = {path.stem for path in HOUSE.iterdir() if path.name not in NO_ENTRY}
    assert entries == set(FLOORS)
    assert len(entries) + 1 <= MOST_ENTRIES  # and __init__


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_go_down(name):
    for other in sorted(imports(name)[0]):
        at_home = room(other) == room(name)
        assert at_home or FLOORS[room(other)] < FLOORS[room(name)], (
            f"{name} (floor {FLOORS[room(name)]}) imports {other} (floor {FLOORS[room(other)]})"
        )


@pytest.mark.parametrize("name", [m for m in MODULES if room(m) == "model"])
def test_the_model_knows_the_records_and_itself(name):
    ours, outer = imports(name)
    strangers = {other for other in ours if room(other) not in ("model", "structures")}
    assert not strangers, f"{name} imports {strangers}"
    allowed = {"pycocotools"} if name == "model.mask.targets" else set()
    assert not (outer & {"matplotlib", "tqdm", "pycocotools"}) - allowed


@pytest.mark.parametrize("name", [m for m in MODULES if m.startswith(STOREYS)])
def test_the_three_storeys_do_not_know_each_other(name):
    storeys = {other.rpartition(".")[0] for other in imports(name)[0] if other.startswith(STOREYS)}
    assert storeys <= {name.rpartition(".")[0]}, f"{name} imports from {storeys}"


@pytest.mark.parametrize("name", [m for m in MODULES if room(m) == "viz"])
def test_pictures_know_records_words_and_letters_only(name):
    ours, outer = imports(name)
    allowed = {"system.language", "system.fonts"}
    assert {room(other) for other in ours - allowed} <= {"viz", "structures"}
    allowed = {"__future__", "collections", "typing", "numpy", "matplotlib", "contourpy"}
    assert outer <= allowed, f"{name} imports {outer - allowed}"


def test_nobody_goes_in_circles():
    for start in MODULES:
        seen, waiting = set(), [start]
        while waiting:
            for other in imports(waiting.pop())[0] - seen:
                assert other != start, f"{start} imports itself by way of others"
                seen.add(other)
                waiting.append(other)


def test_packages_import_nothing():
    assert imports("")[0] == {EVERYBODY_MAY_ASK}
    for package in PACKAGES - {""}:
        assert imports(package) == (set(), set()), f"{package}/__init__.py imports something"


def test_nobody_reaches_into_another_file():
    """A name with an underscore belongs to its file."""
    for name, tree in TREES.items():
        for node in (n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)):
            if node.module and node.module.startswith("maskrcnn_edu"):
                private = [a.name for a in node.names if a.name.startswith("_")]
                assert not private, f"{name} imports {private} from {node.module}"


# ---- what an import costs ---------------------------------------------------------

IMPORT_AND_LOOK = """
import os, sys, warnings
before = dict(os.environ), list(warnings.filters)
import maskrcnn_edu
assert (dict(os.environ), list(warnings.filters)) == before
print(sorted({name.split(".")[0] for name in sys.modules} & {"paddle", "numpy", "matplotlib"}))
"""


def test_importing_the_package_loads_and_changes_nothing():
    command = [sys.executable, "-c", IMPORT_AND_LOOK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_help_needs_no_paddle():
    code = "import sys\nfrom maskrcnn_edu.cli.main import main\ntry:\n    main(['--help'])\n"
    code += "finally:\n    print('paddle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("False\n") and "export" in done.stdout


def test_every_name_of_the_document_can_be_asked_for():
    assert all(getattr(maskrcnn_edu, name) for name in maskrcnn_edu.__all__)
    assert {"RPNHead", "rasterize_polygons_within_box"} <= set(dir(maskrcnn_edu))
    with pytest.raises(AttributeError, match="has no attribute 'RPNHaed'"):
        _ = maskrcnn_edu.RPNHaed


# ---- words -----------------------------------------------------------------------


def definitions(tree, prefix="", inside_class=False):
    """(name, node, is method) of every class, function and method, not of nested functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield f"{prefix}{node.name}", node, False
            yield from definitions(node, f"{prefix}{node.name}.", True)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{prefix}{node.name}", node, inside_class


def is_public(name):
    last = name.split(".")[-1]
    return last == "__call__" or not any(part.startswith("_") for part in name.split("."))


@pytest.mark.parametrize("name", list(FILES))
def test_every_public_name_says_what_it_is(name):
    assert ast.get_docstring(TREES[name]), f"{name or 'maskrcnn_edu'} has no docstring"
    silent = [d for d, node, _ in definitions(TREES[name])
              if is_public(d) and not ast.get_docstring(node)]  # fmt: skip
    # what a call does may be said by the class whose duty it is
    assert not [d for d in silent if not d.endswith(".__call__")]


def untyped(node, is_method):
    """Names of parameters without a type; ``self`` and ``**norm`` need none."""
    static = any(getattr(d, "id", None) == "staticmethod" for d in node.decorator_list)
    arguments = [*node.args.posonlyargs, *node.args.args]
    arguments = arguments[1:] if is_method and not static else arguments
    return [a.arg for a in [*arguments, *node.args.kwonlyargs] if a.annotation is None]


@pytest.mark.parametrize("name", list(FILES))
def test_public_parameters_have_types(name):
    bare = {}
    for definition, node, is_method in definitions(TREES[name]):
        if isinstance(node, ast.ClassDef):
            continue
        owner, _, last = definition.rpartition(".")
        constructor = last == "__init__" and (not owner or is_public(owner))
        if (is_public(definition) or constructor) and untyped(node, is_method):
            bare[definition] = untyped(node, is_method)
        if is_public(definition) and node.returns is None:
            bare[definition] = [*bare.get(definition, []), "return"]
    assert not bare


# ---- size ------------------------------------------------------------------------


def code_lines(node, lines):
    """Lines of a function without blank lines, comments and docstrings."""
    texts = [
        n.body[0]
        for n in ast.walk(node)
        if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(n)
    ]
    docs = {line for text in texts for line in range(text.lineno, text.end_lineno + 1)}
    rows = (i for i in range(node.lineno, node.end_lineno + 1) if i not in docs)
    stripped = (lines[i - 1].strip() for i in rows)
    return sum(bool(text) and not text.startswith("#") for text in stripped)


def test_a_function_fits_on_a_screen():
    too_long = []
    for name, path in FILES.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        for definition, node, _ in definitions(TREES[name]):
            if isinstance(node, ast.FunctionDef):
                length = code_lines(node, lines)
                if length > LONGEST_FUNCTION:
                    too_long.append(f"{name}.{definition}: {length} lines")
    assert not too_long, "\n".join(too_long)
