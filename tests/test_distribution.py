"""What goes with the package: changelog, citation, how to contribute, the container image."""

import importlib
import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from maskrcnn_edu.system.gpu_builds import BUILDS

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
PAGES = ["CHANGELOG.md", "CONTRIBUTING.md"]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere_and_the_readme_leads_here(page):
    targets = re.findall(r"\]\(([^)#]+)\)", read(page))
    assert not [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert f"({page})" in read("README.md")


def test_how_to_contribute_names_files_that_are_there():
    words = re.findall(r"`([\w./]+)`", read("CONTRIBUTING.md"))
    paths = [w for w in words if "/" in w and not w.startswith("make")]
    roots = (ROOT, ROOT / "maskrcnn_edu", ROOT / "maskrcnn_edu" / "model")
    assert not [p for p in paths if not any((root / p).exists() for root in roots)]
    titles = re.findall(r"^## (.+)", read("CONTRIBUTING.md"), re.MULTILINE)
    wanted = ["stage", "picture", "exercise", "bug", "translation"]
    assert all(any(word in title for title in titles) for word in wanted)


def test_the_citation_can_be_read():
    cited = yaml.safe_load(read("CITATION.cff"))
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert {"message", "title", "authors"} <= set(cited)
    assert "url" not in cited and "repository-code" not in cited  # none is known


# ---- the changelog's tables ------------------------------------------------------


def rows(title):
    """(old names, new names) of each row below a heading."""
    text = read("CHANGELOG.md").split(f"### {title}\n", 1)[1].split("\n#", 1)[0]
    lines = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    return [[re.findall(r"`([\w.*]+)`", cell) for cell in line] for line in lines]


NOW_FOLDERS = {"config", "weights", "cli"}
"""Modules of 0.1.0 whose names are folders now."""


def module_exists(name):
    try:
        return importlib.util.find_spec(f"maskrcnn_edu.{name.removesuffix('.*')}") is not None
    except ModuleNotFoundError:
        return False


def test_modules_that_moved_are_where_the_table_says():
    table = rows("Modules that moved")
    assert len(table) >= 20
    for old, new in table:
        assert old
        assert all(module_exists(name) for name in new), new
        assert not [n for n in old if module_exists(n) and n not in NOW_FOLDERS], old


def lookup(name):
    """``model.mask_rcnn.MaskRCNN.detect`` -> the object."""
    words = name.split(".")
    for end in range(len(words), 0, -1):
        module = ".".join(words[:end])
        if module_exists(module):
            found = importlib.import_module(f"maskrcnn_edu.{module}")
            for word in words[end:]:
                found = getattr(found, word)
            return found
    raise AssertionError(name)


def test_names_that_changed_are_there():
    table = rows("Names that changed")
    assert len(table) >= 15
    for old, new in table:
        assert len(old) == len(new)
        for name in new:
            assert lookup(name).__doc__ or lookup(name), name


# ---- the container image ---------------------------------------------------------


def instructions():
    """(word, rest) of every instruction of the Dockerfile, continued lines joined."""
    lines = [line for line in read("Dockerfile").splitlines() if not line.strip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]


def said(word):
    return [rest for name, rest in instructions() if name == word]


def test_the_dockerfile_has_known_instructions_only():
    known = {"FROM", "ARG", "RUN", "COPY", "WORKDIR", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions()} == known
    assert instructions()[0][0] == "FROM"


def test_the_image_is_built_on_a_python_that_is_supported_and_named():
    bases = {rest.split()[0] for rest in said("FROM")}
    assert bases == {"python:3.12-slim"}  # no "latest", one for both stages
    stages = {rest.split(" AS ")[1] for rest in said("FROM") if " AS " in rest}
    copied = {m[1] for rest in said("COPY") if (m := re.match(r"--from=(\w+)", rest))}
    assert copied == stages == {"build"}


def test_the_image_does_not_run_as_root():
    words = [name for name, _ in instructions()]
    assert said("USER") == ["student"] and words.index("USER") < words.index("CMD")
    after = instructions()[words.index("USER") :]
    assert not [rest for name, rest in after if name in ("RUN", "COPY")]
    assert "useradd" in " ".join(said("RUN")) and "sudo" not in read("Dockerfile")


def test_the_notebooks_come_first_whatever_is_started(tmp_path):
    """The entry point, with a command of ours instead of the package's."""
    program = tmp_path / "maskrcnn-edu"
    program.write_text('#!/bin/sh\necho "wrote: $@"; exit 2\n')  # a disk that is full, say
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = [*json.loads(said("ENTRYPOINT")[0]), "echo", "started", "with spaces"]
    done = subprocess.run(command, capture_output=True, text=True,
                          env={"PATH": path, "HOME": "/home/student"})  # fmt: skip
    assert done.stdout == "wrote: course /home/student/work\nstarted with spaces\n"
    assert json.loads(said("CMD")[0])[2].startswith("exec jupyter lab")


def test_its_commands_are_shell():
    for line in [*said("RUN"), json.loads(said("CMD")[0])[2], json.loads(said("ENTRYPOINT")[0])[2]]:
        done = subprocess.run(["sh", "-n"], input=line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for line in said("RUN"):
        if "apt-get install" in line:  # small, and nobody is asked
            assert "--no-install-recommends" in line and "--yes" in line
            assert "rm -rf /var/lib/apt/lists" in line
        if "pip install" in line:
            assert "--no-cache-dir" in line and "-c /wheels/constraints.txt" in line


def test_everything_that_is_written_is_below_tmp_or_work():
    settings = dict(re.findall(r"(\w+)=(\S+)", said("ENV")[0]))
    assert settings.pop("HOME") == "/home/student"
    assert all(value.startswith("/tmp/") for value in settings.values())
    assert {"MASKRCNN_EDU_CACHE", "MPLCONFIGDIR", "JUPYTER_DATA_DIR"} <= set(settings)


def test_its_build_of_paddle_is_one_of_the_table():
    arguments = dict(rest.split("=") for rest in said("ARG"))
    assert arguments["PADDLE"] == "cpu"
    (build,) = [b for b in BUILDS if b.name == arguments["GPU_BUILD"]]
    assert build.index.replace(build.name, "$GPU_BUILD") in read("Dockerfile")


def test_what_is_copied_into_the_image_has_no_environment_and_no_runs():
    assert {".git", ".venv*", "runs", "data/shapes"} <= set(read(".dockerignore").split())
