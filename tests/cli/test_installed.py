"""The package as a wheel brings it: built from the source distribution, away from the clone."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from maskrcnn_edu.teaching.student import BEGIN, without_answers

ROOT = Path(__file__).parents[2]
BACKEND = "setuptools>=77"  # as in pyproject.toml
NOT_SOURCE = (".git", ".venv*", "build", "dist", "runs", "shapes", "__pycache__", "*.egg-info",
              ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints")  # fmt: skip
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
for name in sys.argv[1:]:
    notebook = nbformat.read(name, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    print(name, sum(cell.get("execution_count") or 0 for cell in notebook.cells) > 0)
"""


def run(*command, cwd, env=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          cwd=cwd, env=env)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(source distribution, wheel made from it)"""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "install", "-q", "--target", folder / "backend", BACKEND, cwd=folder)
    env = {**os.environ, "PYTHONPATH": str(folder / "backend")}
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    run(sys.executable, "-c", code, cwd=source, env=env)
    (sdist,) = folder.glob("*.tar.gz")
    run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sdist,
        cwd=folder, env=env)  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A function that runs a program of an environment with the wheel, away from the clone.

    The environment borrows the libraries of this one, but not the package.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    bin_folder = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(python, "-c", code, cwd=folder).strip())
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", built[1],
        cwd=folder)  # fmt: skip
    kernel = folder / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "python3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env |= {
        "JUPYTER_PATH": str(folder / "jupyter"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "MASKRCNN_EDU_CACHE": str(folder / "cache"),
        "MASKRCNN_EDU_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
    }

    def runner(program, *arguments):
        return run(bin_folder / program, *arguments, cwd=folder, env=env)

    runner.folder = folder
    return runner


def test_the_source_distribution_has_every_file_of_the_repository(built):
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    there = {name for name in listed if name and (ROOT / name).is_file()}
    with tarfile.open(built[0]) as archive:
        packed = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    missing = there - packed
    assert not missing


def test_the_wheel_has_package_model_notebooks_photographs_and_no_more(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = [n for n in archive.namelist() if ".dist-info/" not in n]
    notebooks = {Path(n).name for n in names if n.endswith(".ipynb")}
    assert notebooks == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    photographs = {n.split("/share/maskrcnn_edu/")[1] for n in names if "/data/photographs/" in n}
    files = (path for path in (ROOT / "data" / "photographs").rglob("*") if path.is_file())
    assert photographs == {path.relative_to(ROOT).as_posix() for path in files}
    translations = {n for n in names if n.endswith(".po")}
    folder = ROOT / "docs" / "locale" / "zh_CN" / "notebooks"
    assert {Path(n).name for n in translations} == {path.name for path in folder.iterdir()}
    modules = {n for n in names if n.startswith("maskrcnn_edu/")}
    package = {str(p.relative_to(ROOT)) for p in (ROOT / "maskrcnn_edu").rglob("*")
               if p.is_file() and p.suffix in (".py", ".yml", ".json", ".safetensors")}  # fmt: skip
    assert modules == package
    assert len(names) == len(modules | notebooks | photographs | translations)
    assert built[1].stat().st_size < 13e6


def test_the_wheels_notebooks_are_the_students_edition(built):
    with tarfile.open(built[0]) as archive:
        whole = {Path(member.name).name: archive.extractfile(member).read().decode()
                 for member in archive if member.name.endswith(".ipynb")}  # fmt: skip
    with zipfile.ZipFile(built[1]) as archive:
        wheel = {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}
    given = {Path(name).name: text for name, text in wheel.items() if name.endswith(".ipynb")}
    assert given == {name: without_answers(text) for name, text in whole.items()}
    said = [Path(name).name for name, text in wheel.items() if BEGIN in text]
    assert said == ["student.py"]  # which looks for it


def test_the_installed_package_is_the_wheels(installed):
    code = "import maskrcnn_edu; print(maskrcnn_edu.__file__)"
    assert str(installed.folder / "venv") in installed("python", "-c", code)
    assert "Paddle" in installed("maskrcnn-edu", "doctor")
    code = "from maskrcnn_edu.teaching.course import photographs; print(photographs())"
    found = Path(installed("python", "-c", code).splitlines()[-1])
    assert str(installed.folder / "venv") in str(found)
    assert len(list((found / "coins" / "train").iterdir())) == 25


def test_the_course_is_written_and_runs(installed):
    course = installed.folder / "course"
    assert f"notebooks are in {course}" in installed("maskrcnn-edu", "course", course)
    names = [course / "00_tour.ipynb", course / "08_mask_head.ipynb"]
    said = installed("python", "-c", EXECUTE, *names)
    assert [line for line in said.splitlines() if line.endswith(" True")] == [
        f"{name} True" for name in names
    ]
    assert (installed.folder / "cache" / "classroom" / "val").is_dir()
    assert "left as they are" not in installed("maskrcnn-edu", "course", course)


def test_the_command_predicts_with_the_courses_model(installed):
    code = "from maskrcnn_edu.teaching.course import load_course; print(load_course().file)"
    model = Path(installed("python", "-c", code).splitlines()[-1]).with_suffix("")
    assert str(installed.folder / "venv") in str(model)
    images = installed.folder / "cache" / "classroom" / "val"
    said = installed("maskrcnn-edu", "predict", "--weights", model, "--out", "found", images)
    assert "objects drawn" in said
