"""The places that name versions of packages must not contradict each other."""

import re
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]


def pins(lines):
    """name -> version of lines like ``name==1.2``."""
    found = (re.fullmatch(r"([a-z0-9-]+)==([0-9.]+)", line.strip()) for line in lines)
    return {match[1]: match[2] for match in found if match}


CONSTRAINTS = pins((ROOT / "constraints.txt").read_text().splitlines())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def required():
    """name -> lowest version that pyproject.toml admits, of every dependency and extra."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    texts = (text.split(";")[0] for texts in lists for text in texts)  # without conditions
    return dict(text.split(">=") for text in texts)


def test_environment_yml_has_the_pins_of_constraints():
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    (by_pip,) = (d["pip"] for d in content["dependencies"] if isinstance(d, dict))
    gpu = {name.replace("paddlepaddle-gpu", "paddlepaddle"): v for name, v in pins(by_pip).items()}
    assert gpu == CONSTRAINTS


def test_every_dependency_is_pinned():
    names = {name.replace("paddlepaddle-gpu", "paddlepaddle") for name in required()}
    assert names == set(CONSTRAINTS)


def test_pins_are_within_the_ranges():
    def numbers(version):
        return [int(part) for part in version.split(".")]

    for name, lowest in required().items():
        pinned = CONSTRAINTS[name.replace("paddlepaddle-gpu", "paddlepaddle")]
        assert numbers(pinned) >= numbers(lowest), name


def test_no_pin_is_an_address():
    assert "://" not in (ROOT / "constraints.txt").read_text()
