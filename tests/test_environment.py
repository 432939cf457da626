"""The places that name versions and systems must not contradict each other."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from maskrcnn_edu import __version__
from maskrcnn_edu.system.doctor import PYTHONS, SYSTEMS

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]


def pins(lines):
    """name -> version of lines like ``name==1.2``."""
    found = (re.fullmatch(r"([a-z0-9-]+)==([0-9.]+)", line.strip()) for line in lines)
    return {match[1]: match[2] for match in found if match}


CONSTRAINTS = pins((ROOT / "constraints.txt").read_text().splitlines())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


OLD_PADDLE = "gpu26"
"""The extra for Paddle 2.6.2, whose versions `make test-paddle26` pins."""


def required():
    """name -> lowest version that pyproject.toml admits, of every dependency and extra."""
    extras = PROJECT["optional-dependencies"]
    lists = [PROJECT["dependencies"], *(extras[name] for name in extras if name != OLD_PADDLE)]
    texts = (text.split(";")[0] for texts in lists for text in texts)  # without conditions
    return dict(text.split(">=") for text in texts)


def test_environment_yml_has_the_pins_of_constraints():
    """All but what only the site needs."""
    site = {text.split(">=")[0] for text in PROJECT["optional-dependencies"]["site"]}
    here = {name: v for name, v in CONSTRAINTS.items() if name not in {"paddlepaddle", *site}}
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    (by_pip,) = (d["pip"] for d in content["dependencies"] if isinstance(d, dict))
    assert pins(by_pip) == here


def test_every_dependency_is_pinned():
    assert set(required()) == set(CONSTRAINTS)
    assert CONSTRAINTS["paddlepaddle"] == CONSTRAINTS["paddlepaddle-gpu"]


def test_pins_are_within_the_ranges():
    def numbers(version):
        return [int(part) for part in version.split(".")]

    for name, lowest in required().items():
        assert numbers(CONSTRAINTS[name]) >= numbers(lowest), name


def test_no_pin_is_an_address():
    assert "://" not in (ROOT / "constraints.txt").read_text()


# ---- Pythons and systems ---------------------------------------------------------


def test_the_metadata_names_the_pythons_and_systems_that_the_doctor_accepts():
    first, last = PYTHONS
    assert PROJECT["requires-python"] == f">={first[0]}.{first[1]},<{last[0]}.{last[1] + 1}"
    language = "Programming Language :: Python :: "
    named = [c.removeprefix(language) for c in PROJECT["classifiers"] if c.startswith(language)]
    assert named == ["3", *(f"3.{minor}" for minor in range(first[1], last[1] + 1))]
    systems = {c.split(" :: ")[-1] for c in PROJECT["classifiers"] if c.startswith("Operating")}
    assert systems == {"Linux", "MacOS", "Windows"}
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert all(system in text for system in SYSTEMS.values())
    assert f"Python {first[0]}.{first[1]} to {last[0]}.{last[1]}" in text


def test_the_licence_is_the_files():
    assert PROJECT["license"] == "Apache-2.0" and PROJECT["license-files"] == ["LICENSE"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"] == "Apache-2.0"


def test_one_version_for_package_changelog_and_citation():
    assert "version" in PROJECT["dynamic"]
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert first == cited == __version__
    assert f"maskrcnn_edu-{__version__}-py3-none-any.whl" in (ROOT / "docs/install.md").read_text()


# ---- make ------------------------------------------------------------------------


def made(*options):
    """What make would do in a fresh clone."""
    if shutil.which("make") is None:
        pytest.skip("make is not there")
    command = ["make", "-n", "demo", "VENV=/nowhere", "PYTHON=python3", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_make_asks_the_vendor_for_the_gpu_build_that_is_named():
    vendor = "--extra-index-url https://www.paddlepaddle.org.cn/packages/stable/"
    assert f"{vendor}cu118/" in made("PADDLE=gpu", "GPU_BUILD=cu118").stdout
    assert "paddlepaddle.org.cn" not in made().stdout
    assert "paddlepaddle.org.cn" not in made("PADDLE=gpu26").stdout


def test_make_does_not_guess_a_gpu_build(monkeypatch, tmp_path):
    """No driver, no build: it stops and says which variable to set, and installs nothing."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    done = made("PADDLE=gpu")
    assert done.returncode == 2 and "pip install" not in done.stdout
    assert "GPU_BUILD=cu126" in done.stderr and "install NVIDIA's driver" in done.stderr


def test_make_takes_the_build_of_this_machine(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '525.105.17, 7.5, Tesla T4'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "/packages/stable/cu118/" in made("PADDLE=gpu").stdout
