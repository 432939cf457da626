"""The rules of the house, read from the source: floors, rooms, words, and size."""

import ast
from pathlib import Path

import pytest

import maskrcnn_edu

HOUSE = Path(maskrcnn_edu.__file__).parent

FLOORS = {
    "structures": 0,
    "rows": 0,
    "processor": 0,
    "files": 0,
    "stopping": 0,
    "precision": 1,
    "checkpoint": 1,
    "bad_batch": 1,
    "journal": 6,
    "boxes": 1,
    "conv": 0,
    "losses": 2,
    "matching": 2,
    "roi_align": 2,
    "backbone": 2,
    "optimizer": 2,
    "parallel": 5,
    "syncs": 7,
    "doctor": 8,
    "device": 1,
    "neck": 3,
    "rpn.anchors": 3,
    "rpn.head": 3,
    "rpn.targets": 3,
    "rpn.proposals": 3,
    "bbox.head": 3,
    "bbox.targets": 3,
    "bbox.postprocess": 3,
    "bbox.cot": 3,
    "mask.head": 3,
    "mask.polygons": 1,
    "mask.targets": 3,
    "mask.postprocess": 3,
    "download": 1,
    "pdparams": 1,
    "official": 4,
    "datasets": 5,
    "data.photo": 2,
    "data.problems": 2,
    "data.rle": 2,
    "data.checks": 2,
    "data.clean": 2,
    "data.labelled": 2,
    "data.labelme": 2,
    "data.via": 2,
    "data.index_masks": 2,
    "data.coco": 2,
    "data.shapes": 2,
    "data.transforms": 2,
    "data.loader": 2,
    "data.reader": 3,
    "viz.style": 1,
    "viz.curves": 2,
    "viz.detections": 2,
    "mask_rcnn": 4,
    "config": 5,
    "weights": 6,
    "evaluate": 6,
    "compiled": 5,
    "train": 7,
    "export": 6,
    "overlay": 5,
    "predict": 7,
    "biography": 6,
    "recorder": 8,
    "classroom": 7,
    "bugzoo": 7,
    "widgets.microscope": 4,
    "widgets.scrubber": 5,
    "widgets.anchors": 5,
    "widgets.roi_align": 5,
    "widgets.mask_targets": 5,
    "widgets.nms": 5,
    "widgets.bugzoo": 9,
    "viz.facts": 1,
    "viz.data": 2,
    "viz.anchors": 2,
    "viz.rpn": 2,
    "viz.rois": 2,
    "viz.roi_align": 2,
    "viz.masks": 3,
    "exercises.check": 8,
    "exercises.compare": 7,
    "exercises.exercise": 7,
    "exercises.nb00_tour": 7,
    "exercises.nb01_data": 7,
    "exercises.nb02_anchors": 7,
    "exercises.nb03_rpn": 7,
    "exercises.nb04_bbox_assigner": 7,
    "exercises.nb05_roi_align": 7,
    "exercises.nb06_bbox_head": 7,
    "exercises.nb07_mask_targets": 7,
    "exercises.nb08_mask_head": 7,
    "exercises.nb09_train": 7,
    "exercises.nb10_evaluate": 7,
    "exercises.nb11_your_own_photos": 7,
    "bench.machine": 8,
    "bench.table": 8,
    "bench.channel": 8,
    "bench.stopwatch": 8,
    "bench.bare": 8,
    "bench.scene": 8,
    "bench.weights": 8,
    "bench.work": 8,
    "bench.worker": 8,
    "bench.measure": 8,
    "bench.peer_worker": 8,
    "bench.compare": 8,
    "bench.growth": 8,
    "commands.options": 8,
    "commands.finetune": 8,
    "commands.data": 9,
    "commands.data_check": 8,
    "commands.data_get": 8,
    "commands.data_import": 8,
    "commands.left_out": 8,
    "commands.train": 9,
    "commands.evaluate": 9,
    "commands.bench": 9,
    "commands.doctor": 9,
    "commands.predict": 9,
    "commands.export": 9,
    "cli": 10,
    "__main__": 11,
}
"""Where every module lives. A module may import what lives below it, and its own room."""

ROOMS = ("rpn", "bbox", "mask", "data", "viz", "widgets", "exercises", "bench", "commands")
OUTSIDE_THE_MODEL = (
    "data",
    "viz",
    "widgets",
    "exercises",
    "commands",
    "optimizer",
    "parallel",
    "download",
    "pdparams",
    "official",
)
MODEL = [m for m, n in FLOORS.items() if n <= 4 and m.split(".")[0] not in OUTSIDE_THE_MODEL]
DRAWERS = {"matplotlib", "tqdm", "pycocotools"}
LONGEST_FUNCTION = 40


def module_name(path):
    """File -> ``rpn.head``; packages by their folder, the top package as ``""``."""
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(HOUSE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
PACKAGES = {name for name, path in FILES.items() if path.stem == "__init__"}
MODULES = sorted(set(FILES) - PACKAGES)


def absolute(name, node):
    """The modules that one import statement names, with relative ones made absolute."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not node.level:
        base = node.module
    else:
        here = ["maskrcnn_edu", *(name.split(".") if name else [])]
        if name in PACKAGES:
            here.append("__init__")
        base = ".".join([*here[: -node.level], *([node.module] if node.module else [])])
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def imports(name):
    """(our modules, outer packages) that a module imports, anywhere in its text."""
    nodes = [n for n in ast.walk(TREES[name]) if isinstance(n, (ast.Import, ast.ImportFrom))]
    named = [found for node in nodes for found in absolute(name, node)]
    ours = {n.removeprefix("maskrcnn_edu.") for n in named if n.startswith("maskrcnn_edu.")}
    outer = {n.split(".")[0] for n in named} - {"maskrcnn_edu"}
    return {n for n in ours if n in FLOORS}, outer


def room_of(name):
    room = name.split(".")[0]
    return room if room in ROOMS else None


# ---- floors and rooms ------------------------------------------------------------


def test_every_module_has_a_floor():
    missing, gone = set(MODULES) - set(FLOORS), set(FLOORS) - set(MODULES)
    assert not missing, f"put on a floor: {sorted(missing)}"
    assert not gone, f"take off the table: {sorted(gone)}"


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_go_down(name):
    ours, _ = imports(name)
    for other in sorted(ours):
        same_room = room_of(name) and room_of(name) == room_of(other)
        assert same_room or FLOORS[other] < FLOORS[name], f"{name} imports {other}"


@pytest.mark.parametrize("name", [m for m in MODULES if room_of(m) in ("rpn", "bbox", "mask")])
def test_the_three_storeys_do_not_know_each_other(name):
    ours, _ = imports(name)
    rooms = {room_of(other) for other in ours} - {None, room_of(name)}
    assert not rooms, f"{name} imports from {rooms}"


@pytest.mark.parametrize("room", ["data", "viz"])
def test_data_and_pictures_know_records_only(room):
    for name in (m for m in MODULES if room_of(m) == room):
        ours, outer = imports(name)
        strangers = {o for o in ours if room_of(o) != room} - {"structures"}
        assert not strangers, f"{name} imports {strangers}"
        if room == "viz":
            allowed = {"__future__", "collections", "typing", "numpy", "matplotlib"}
            assert outer <= allowed, f"{name} imports {outer - allowed}"


def test_inside_a_room_nobody_goes_in_circles():
    for start in MODULES:
        seen, waiting = set(), [start]
        while waiting:
            for other in imports(waiting.pop())[0] - seen:
                assert other != start, f"{start} imports itself by way of others"
                seen.add(other)
                waiting.append(other)


def test_the_door_opens_the_model_only():
    ours, _ = imports("")
    assert ours and {FLOORS[name] for name in ours} <= {0, 1, 2, 3, 4}
    for package in PACKAGES - {""}:
        assert imports(package) == (set(), set()), f"{package}/__init__.py imports something"


@pytest.mark.parametrize("name", MODEL)
def test_the_model_draws_nothing_and_reads_no_annotations(name):
    _, outer = imports(name)
    allowed = {"pycocotools"} if name == "mask.targets" else set()
    assert not (outer & DRAWERS) - allowed


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
