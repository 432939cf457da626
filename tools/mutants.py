"""Do the tests notice one changed character? Mutates the package at random and runs the tests.

    python tools/mutants.py --sample 300 --seed 0

Cosmic Ray makes the mutants (its operators) and keeps them (its session file); Coverage says
which tests run a line. Places are drawn, not mutants: `a + b` can be spoiled in eleven ways,
`True` in one, and each is one place. Only lines that a test runs count, and no annotations.

A mutant meets the tests that run its line, its own test file first, then the quickest files,
up to ``--seconds``. Everything happens in a copy of the tree. What was finished is kept in
``--out``: the same command goes on. ``--again`` tries the survivors again, after tests were
written or with more ``--seconds``. See docs/development.md.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "COVERAGE_CORE": "ctrace", "MPLBACKEND": "agg"}
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

import coverage
import pytest
import yaml
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

AREAS = {
    "model": ["maskrcnn_edu/model"],
    "training": ["maskrcnn_edu/training"],
    "data": ["maskrcnn_edu/data/transforms.py", "maskrcnn_edu/data/loader.py"],
    "evaluation": ["maskrcnn_edu/inference/evaluate.py", "maskrcnn_edu/inference/coco_results.py"],
    "viz": ["maskrcnn_edu/viz"],
}
# These look at the text of the package, or at a clock: what they notice is not behaviour.
SKIPPED = [
    "tests/test_house.py", "tests/test_docs.py", "tests/test_environment.py", "tests/notebooks",
    "tests/benchmarks", "tests/tools", "tests/teaching/test_bugs.py",
    "tests/inference/test_export.py",  # compares the package with itself, for minutes
]  # fmt: skip
LOOK_AT_CLASSES = ("tests/test_records.py",)
"""These look at all classes: every mutant of a line that runs as a module is loaded meets them."""
EQUIVALENT = "tools/equivalent_mutants.yml"
ROOT = Path(__file__).resolve().parents[1]
GREEN, RED, NOTHING_RAN = 0, 1, 5  # pytest's exit codes
NOT_LOADABLE = (2, 4)  # a test file, or conftest.py, cannot be imported
MEMORY = 8 << 30
"""Bytes of data that a mutant may ask for: a loop without end would take all that there are."""
PYTEST = ["-q", "-p", "no:cacheprovider", "--tb=line", "--color=no", "--basetemp=tmp"]


# ---- a process that has loaded the libraries, but not the package ----------------


def in_child(work: Callable[[], int], seconds: float, log: Path) -> int | None:
    """The exit code of ``work()`` in a forked process; None: it computed longer than ``seconds``.

    A fork has Paddle loaded already. It is safe while this process computes nothing, so that
    there is only one thread. Seconds are the processor's, whoever else is busy; one that only
    waits is ended after ten times as many.
    """
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with log.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = int(work())
        finally:
            os._exit(code)
    end = time.monotonic() + 10 * seconds
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                return None if code == -signal.SIGXCPU else code
            time.sleep(0.02)
    finally:
        stop_group(child)
    os.waitpid(child, 0)
    return None


def stop_group(leader: int) -> None:
    """End a child and whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def warm_up() -> None:
    """Load what every test loads; Paddle's own answer to a signal would leave the copy there."""
    import hypothesis  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import paddle  # noqa: F401
    import PIL.Image  # noqa: F401
    import pycocotools.cocoeval  # noqa: F401

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; the same command goes on"))


# ---- which tests run which line --------------------------------------------------


class Watch:
    """A pytest plugin that notes which test runs now, how long it takes, and whether it is red."""

    def __init__(self, watched: coverage.Coverage):
        self.watched = watched
        self.seconds: dict[str, float] = {}
        self.red: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        self.watched.switch_context(f"{item.nodeid}|setup")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        self.watched.switch_context(f"{item.nodeid}|call")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        began = sum(os.times()[:4])
        done = yield
        self.seconds[item.nodeid] = sum(os.times()[:4]) - began
        return done

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.red.add(report.nodeid)


def measure(test_file: str, modules: list[str], answer: Path) -> int:
    """Run one test file and write who ran what; pytest's exit code."""
    watched = coverage.Coverage(data_file=None, include=[str(Path(m).resolve()) for m in modules])
    watch = Watch(watched)
    watched.start()
    code = pytest.main([*PYTEST, test_file], plugins=[watch])
    watched.stop()
    data = watched.get_data()
    lines = {m: data.contexts_by_lineno(str(Path(m).resolve())) for m in modules}
    record = {"seconds": watch.seconds, "red": sorted(watch.red), "lines": lines}
    answer.write_text(json.dumps(record), encoding="utf-8")
    return code


@dataclass
class Coverage:
    """Who runs what, of all test files."""

    seconds: dict[str, float] = field(default_factory=dict)
    contexts: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    of_file: dict[str, list[str]] = field(default_factory=dict)

    def add(self, test_file: str, record: dict) -> None:
        """Take in the record of one test file; a red test cannot notice anything."""
        for test in record["red"]:
            print(f"red without a mutant, left out: {test}", flush=True)
        green = {t: s for t, s in record["seconds"].items() if t not in record["red"]}
        self.seconds |= green
        self.of_file[test_file] = list(green)
        for module, lines in record["lines"].items():
            for line, contexts in lines.items():
                # loading a module belongs to no test, but to every test of the file
                named = {context or f"{test_file}|load" for context in contexts}
                self.contexts[module, int(line)] |= named

    def tests(self, module: str, lines: Iterable[int], phases: tuple[str, ...]) -> set[str]:
        """The tests that run any of the lines.

        What ran while a test was set up may be a fixture that others of its file share.
        """
        chosen: set[str] = set()
        for line in lines:
            for context in self.contexts.get((module, line), ()):
                name, _, phase = context.rpartition("|")
                if phase in phases:
                    whole = name.partition("::")[0]
                    chosen |= {name} if phase == "call" else set(self.of_file[whole])
        return chosen & set(self.seconds)


def cover(out: Path, copy: Path, modules: list[str], skipped: list[str]) -> Coverage:
    """Measure every test file, or read what was measured if nothing has changed since."""
    sources = [*copy.glob("maskrcnn_edu/**/*.py"), *copy.glob("tests/**/*.py")]
    package = digest(p for p in sources if not p.name.startswith("test_"))
    (out / "coverage").mkdir(parents=True, exist_ok=True)
    made = Coverage()
    for path in sorted((copy / "tests").rglob("test_*.py")):
        name = path.relative_to(copy).as_posix()
        if name.startswith(tuple(skipped)):
            continue
        answer = out / "coverage" / f"{digest([path], package)}.json"
        if not answer.exists():
            print(f"measure {name}", flush=True)
            code = in_child(lambda n=name, a=answer: measure(n, modules, a), 3600, out / "log")
            if code not in (GREEN, RED, NOTHING_RAN):
                raise SystemExit(f"{name}: pytest ended with {code}, see {out / 'log'}")
        made.add(name, json.loads(answer.read_text(encoding="utf-8")))
    return made


def digest(paths: Iterable[Path], start: str = "") -> str:
    """A short name for the content of files."""
    made = hashlib.sha256(start.encode())
    for path in sorted(paths):
        made.update(path.name.encode() + path.read_bytes())
    return made.hexdigest()[:16]


# ---- what may be mutated ---------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """The lines of one statement (of its head, if it has a body), and where it belongs.

    ``owner``: the lines of the function or class around it (for a function's head: its own);
    None for a module's. ``runs_at_load``: it is no part of a function's body.
    """

    lines: range
    owner: range | None
    runs_at_load: bool


def blocks(text: str) -> dict[int, Block]:
    """line -> its innermost statement."""
    made: dict[int, Block] = {}

    def walk(node: ast.AST, owner: range | None, at_load: bool) -> None:
        if isinstance(node, ast.stmt):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            whole = range(first, node.end_lineno + 1)
            definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            owner = whole if definition else owner
            made.update(dict.fromkeys(whole, Block(head(node, whole), owner, at_load)))
            at_load = at_load and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            walk(child, owner, at_load)

    walk(ast.parse(text), None, True)
    return made


def head(node: ast.stmt, whole: range) -> range:
    """The lines before a statement's body."""
    body = getattr(node, "body", None)
    return range(whole.start, max(body[0].lineno, node.lineno + 1)) if body else whole


def annotations(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations begin and end: they are for readers, and run nowhere."""
    nodes = ast.walk(ast.parse(text))
    made = [getattr(n, "annotation", None) or getattr(n, "returns", None) for n in nodes]
    return [((a.lineno, a.col_offset), (a.end_lineno, a.end_col_offset)) for a in made if a]


class Mutable:
    """The package's files that are mutated, and the tests of every line."""

    def __init__(self, modules: list[str], covered: Coverage):
        self.covered = covered
        self.texts = {m: Path(m).read_text(encoding="utf-8") for m in modules}
        self.blocks = {m: blocks(text) for m, text in self.texts.items()}
        self.annotations = {m: annotations(text) for m, text in self.texts.items()}
        self._tests: dict[tuple, list[str]] = {}

    def tests(self, mutation: MutationSpec) -> list[str]:
        """The tests that a mutant meets, in their order; empty if no test runs its line.

        A line that runs when the module is loaded (a default, a constant, a decorator) has
        the tests of what it belongs to, else those of its file, else those that load it.
        """
        module = mutation.module_path.as_posix()
        block = self.blocks[module].get(mutation.start_pos[0])
        if (module, block) not in self._tests:
            self._tests[module, block] = self._of_block(module, block)
        return self._tests[module, block]

    def _of_block(self, module: str, block: Block | None) -> list[str]:
        if block is None or not any((module, n) in self.covered.contexts for n in block.lines):
            return []
        everywhere = range(1, self.texts[module].count("\n") + 2)
        ran = ("setup", "call")
        chosen = set() if block.runs_at_load else self.covered.tests(module, block.lines, ran)
        if block.runs_at_load:
            inner = [n for n in everywhere if not self._at_load(module, n)]
            own = [n for n in inner if block.owner and n in block.owner]
            chosen = self.covered.tests(module, own, ran)
            chosen = chosen or self.covered.tests(module, inner, ran)
            chosen = chosen or self.covered.tests(module, everywhere, (*ran, "load"))
            chosen |= {t for t in self.covered.seconds if t.startswith(LOOK_AT_CLASSES)}
        return self._in_order(module, chosen)

    def _at_load(self, module: str, line: int) -> bool:
        block = self.blocks[module].get(line)
        return block is None or block.runs_at_load

    def _in_order(self, module: str, tests: set[str]) -> list[str]:
        """Its own test file first, then the quickest; within a file as they stand there."""
        seconds: dict[str, float] = defaultdict(float)
        for test in tests:
            seconds[test.partition("::")[0]] += self.covered.seconds[test]
        own = "/".join(Path(module).with_suffix("").parts[1:])
        place = {test: i for i, test in enumerate(self.covered.seconds)}

        def rank(test: str) -> tuple:
            file = test.partition("::")[0]
            mirrors = file.replace("/test_", "/").removeprefix("tests/").removesuffix(".py") == own
            return not mirrors, seconds[file], file, place[test]

        return sorted(tests, key=rank)

    def admits(self, mutation: MutationSpec) -> bool:
        """Whether the mutation is in code that a test runs."""
        if mutation.operator_name.endswith("/NoOp"):
            return False
        inside = self.annotations[mutation.module_path.as_posix()]
        if any(start <= mutation.start_pos < end for start, end in inside):
            return False
        return bool(self.tests(mutation))

    def mutated(self, mutation: MutationSpec) -> str | None:
        """The module's text with the mutation; None if that is no Python."""
        operator = get_operator(mutation.operator_name)(**mutation.operator_args)
        right = self.texts[mutation.module_path.as_posix()]
        text = mutate_code(right, operator, mutation.occurrence)
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            compile(text, "mutant", "exec")
        except SyntaxError:
            return None
        return text


def variant(item: WorkItem) -> tuple[str, int]:
    """Tells apart the mutants of one place."""
    (mutation,) = item.mutations
    return mutation.operator_name, mutation.occurrence


def draw(items: Iterable[WorkItem], mutable: Mutable, count: int, seed: int) -> list[WorkItem]:
    """One mutant each at ``count`` places, places and mutants at random."""
    places: dict[tuple, list[WorkItem]] = defaultdict(list)
    for item in items:
        places[where(item.mutations[0])].append(item)
    rng = random.Random(seed)
    order = sorted(places)
    rng.shuffle(order)
    drawn: list[WorkItem] = []
    possible = 0
    for place in order:
        there = sorted(places[place], key=variant)
        rng.shuffle(there)
        if not mutable.admits(there[0].mutations[0]):
            continue
        possible += 1
        if len(drawn) < count:
            drawn += [i for i in there if mutable.mutated(i.mutations[0])][:1]
    print(f"{len(drawn)} of {possible} places that tests run", flush=True)
    return drawn


# ---- running ---------------------------------------------------------------------


class Chosen:
    """A pytest plugin that runs these tests only, in this order."""

    def __init__(self, tests: list[str]):
        self.place = {test: i for i, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items):
        chosen = [item for item in items if item.nodeid in self.place]
        items[:] = sorted(chosen, key=lambda item: self.place[item.nodeid])


def within(tests: list[str], seconds: dict[str, float], limit: float) -> list[str]:
    """The first tests that take ``limit`` seconds together; at least one."""
    spent, chosen = 0.0, []
    for test in tests:
        spent += seconds[test]
        if chosen and spent > limit:
            break
        chosen.append(test)
    return chosen


def try_mutant(mutable: Mutable, mutation: MutationSpec, limit: float, out: Path) -> WorkResult:
    """Put the mutant in its place in the copy, run its tests, and put the right text back."""
    path, right = mutation.module_path, mutable.texts[mutation.module_path.as_posix()]
    wrong = mutable.mutated(mutation)
    every = mutable.tests(mutation)
    tests = within(every, mutable.covered.seconds, limit)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    options = [*PYTEST, "-x", *files]
    expected = sum(mutable.covered.seconds[test] for test in tests)
    began = time.monotonic()
    try:
        path.write_text(wrong, encoding="utf-8")
        code = in_child(
            lambda: pytest.main(options, plugins=[Chosen(tests)]), 60 + 3 * expected, out / "log"
        )
    finally:
        path.write_text(right, encoding="utf-8")
    if code not in (GREEN, RED, *NOT_LOADABLE, None) and (code > 0 or code == -signal.SIGKILL):
        raise SystemExit(f"{mutation}: pytest ended with {code}, see {out / 'log'}")
    how = {GREEN: "survived", RED: "killed", None: "too long"}
    how |= dict.fromkeys(NOT_LOADABLE, "not loadable")
    said = (out / "log").read_text(encoding="utf-8", errors="replace").splitlines()
    by = next((line for line in said if line.startswith(("FAILED", "ERROR"))), "")
    note = {
        "how": how.get(code, "crashed"), "by": by[:200], "tests": len(tests), "of": len(every),
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    outcome = TestOutcome.SURVIVED if code == GREEN else TestOutcome.KILLED
    return WorkResult(WorkerOutcome.NORMAL, json.dumps(note), outcome, changed(right, wrong))


def changed(right: str, wrong: str) -> str:
    """The lines that differ, - and +."""
    old, new = right.splitlines(), wrong.splitlines()
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return "\n".join([*(f"- {line}" for line in old), *(f"+ {line}" for line in new)])


# ---- the answer ------------------------------------------------------------------


FATES = ("killed", "survived", "undecided", "equivalent")


@dataclass(frozen=True)
class Row:
    """What became of one mutant; ``why`` it is equivalent, or ""."""

    area: str
    mutation: MutationSpec
    result: WorkResult
    why: str

    @property
    def fate(self) -> str:
        """One of `FATES`; undecided: ``--seconds`` were over before it had met all its tests."""
        if self.result.test_outcome != TestOutcome.SURVIVED:
            return "killed"
        note = json.loads(self.result.output)
        met_all = note["tests"] == note["of"]
        return "equivalent" if self.why else "survived" if met_all else "undecided"


def where(mutation: MutationSpec) -> tuple[Path, tuple[int, int]]:
    """The place of a mutation."""
    return mutation.module_path, mutation.start_pos


def rows(db: WorkDB, areas: dict[str, list[str]], equivalent: list[dict]) -> list[Row]:
    """All mutants that were tried, in the order of the files."""
    made = []
    for item, result in db.completed_work_items:
        (mutation,) = item.mutations
        module = mutation.module_path.as_posix()
        area = next(a for a, paths in areas.items() if module.startswith(tuple(paths)))
        whys = [e["why"] for e in equivalent if is_entry(e, module, result.diff)]
        made.append(Row(area, mutation, result, whys[0] if whys else ""))
    order = list(areas)
    return sorted(made, key=lambda row: (order.index(row.area), where(row.mutation)))


def is_entry(entry: dict, module: str, diff: str) -> bool:
    """Whether an entry of equivalent_mutants.yml is this mutant: its file and its changed lines."""
    lines = [" ".join(line.split()) for line in diff.splitlines()]
    wanted = [" ".join(line.split()) for line in entry["diff"].splitlines()]
    return entry["file"] == module and lines == wanted


def report(made: list[Row], areas: dict[str, list[str]]) -> str:
    """Markdown: a table by area, then all that were not killed; who is undecided is not killed."""
    text = [f"| area | tried | {' | '.join(FATES)} | killed of those that can be |"]
    text += ["|---|---:|---:|---:|---:|---:|---:|"]
    for area in [*areas, "all"]:
        fates = Counter(r.fate for r in made if area in (r.area, "all"))
        can = fates.total() - fates["equivalent"]
        share = f"{fates['killed'] / can:.0%}" if can else ""
        counts = [fates.total(), *(fates[fate] for fate in FATES)]
        text.append(f"| {area} | {' | '.join(map(str, counts))} | {share} |")
    ways = Counter(json.loads(r.result.output)["how"] for r in made if r.fate == "killed")
    text += ["", f"Killed: {', '.join(f'{how} {n}' for how, n in ways.most_common())}."]
    for fate in FATES[1:]:
        text += ["", f"## {fate.capitalize()}", ""]
        text += [entry(row) for row in made if row.fate == fate]
    return "\n".join(text) + "\n"


def entry(row: Row) -> str:
    """One mutant: where, what, and how many tests it met."""
    note = json.loads(row.result.output)
    name = row.mutation.operator_name.partition("/")[2]
    place = f"{row.mutation.module_path.as_posix()}:{row.mutation.start_pos[0]}"
    title = f"- {place} ({row.mutation.definition_name or 'module'}; {name})"
    met = row.why or f"{note['tests']} of {note['of']} tests"
    diff = "\n".join(f"      {line}" for line in row.result.diff.splitlines())
    return f"{title}: {met}\n\n{diff}\n"


# ---- the command -----------------------------------------------------------------


def copy_tree(root: Path, copy: Path) -> None:
    """The files that git knows or would know, and nothing else."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in names.split("\0"):
        if (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)
    # bytecode that is checked against the content: a mutant may be as long and as old as its file
    compile_all = ["compileall", "-q", "--invalidation-mode", "checked-hash", "maskrcnn_edu"]
    subprocess.run([sys.executable, "-m", *compile_all], cwd=copy, check=True)


def python_files(places: list[str]) -> list[str]:
    """The files that are named, and those in the folders that are named."""
    paths = [p for place in map(Path, places) for p in (place, *place.rglob("*.py"))]
    return sorted(path.as_posix() for path in paths if path.suffix == ".py")


def begin(db: WorkDB, mutable: Mutable, asked: argparse.Namespace) -> None:
    """Draw the sample, if that was not done; forget the survivors, if they are tried again."""
    name, stamp = digest(map(Path, mutable.texts)), Path(asked.out, "package.txt")
    if not db.num_work_items:
        init(sorted(mutable.texts), db, {})
        drawn = draw(db.work_items, mutable, asked.sample, asked.seed)
        db.clear()
        db.add_work_items(drawn)
        stamp.write_text(name, encoding="utf-8")
    if stamp.read_text(encoding="utf-8") != name:
        raise SystemExit(f"the package has changed since {asked.out} was begun; take another --out")


def pending(db: WorkDB, again: bool) -> list[WorkItem]:
    """The mutants to try, in the order of the files."""
    items = list(db.pending_work_items)
    if again:
        items += [i for i, r in db.completed_work_items if r.test_outcome == TestOutcome.SURVIVED]
    return sorted(items, key=lambda item: where(item.mutations[0]))


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=300, help="how many mutants (300)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--seconds", type=float, default=60, help="of tests for a mutant (60)")
    parser.add_argument("--again", action="store_true", help="try the survivors again")
    parser.add_argument("--out", type=Path, default=Path("runs/mutation"), help="(runs/mutation)")
    parser.add_argument("--root", type=Path, default=ROOT, help="another tree")
    parser.add_argument("--areas", type=Path, help="YAML: AREAS, SKIPPED of another layout")
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    asked = arguments()
    asked.out = asked.out.resolve()
    asked.out.mkdir(parents=True, exist_ok=True)
    table = yaml.safe_load(asked.areas.read_text()) if asked.areas else {}
    areas, skipped = table.get("AREAS", AREAS), table.get("SKIPPED", SKIPPED)
    listed = asked.root / EQUIVALENT
    equivalent = yaml.safe_load(listed.read_text(encoding="utf-8")) if listed.exists() else []
    with tempfile.TemporaryDirectory() as folder, use_db(asked.out / "session.sqlite") as db:
        copy = Path(folder)
        copy_tree(asked.root, copy)
        os.chdir(copy)
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = folder
        warm_up()
        modules = python_files([place for places in areas.values() for place in places])
        mutable = Mutable(modules, cover(asked.out, copy, modules, skipped))
        begin(db, mutable, asked)
        for item in pending(db, asked.again):
            result = try_mutant(mutable, item.mutations[0], asked.seconds, asked.out)
            db.set_result(item.job_id, result)
            how = json.loads(result.output)
            place = f"{item.mutations[0].module_path}:{item.mutations[0].start_pos[0]}"
            print(f"{how['how']:12} {how['seconds']:6.1f} s  {place}  {how['by']}", flush=True)
        text = report(rows(db, areas, equivalent), areas)
        (asked.out / "report.md").write_text(text, encoding="utf-8")
        print(f"\n{text}")
        os.chdir(asked.root)


if __name__ == "__main__":
    main()
