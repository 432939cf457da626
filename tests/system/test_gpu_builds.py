"""The table of GPU builds: rows worked out by hand, and the places that show it."""

import os
import stat
from pathlib import Path

import pytest

from maskrcnn_edu.system import gpu_builds
from maskrcnn_edu.system.gpu_builds import (
    BUILDS,
    PREFERENCE,
    Card,
    advice,
    ask_driver,
    best_build,
    build_for_cuda,
    has_code,
    numbers,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("card", "capability", "driver", "system", "name"),
    [
        ("T4", 75, "525.105.17", "Linux", "cu118"),
        ("T4", 75, "550.54.14", "Linux", "cu126"),
        ("T4", 75, "550.54.13", "Linux", "cu118"),
        ("RTX 5090", 120, "575.57.08", "Linux", "cu129"),
        ("RTX 5090", 120, "570.133.07", "Linux", None),
        ("RTX 5090", 120, "576.02", "Windows", "cu129"),
        ("RTX 5090", 120, "575.99", "Windows", None),
        ("H100", 90, "535.161.07", "Linux", None),  # cu118 has no code for it
        ("H100", 90, "550.90.07", "Linux", "cu126"),
        ("GTX 1080", 61, "550.90.07", "Linux", "cu118"),
        ("GTX 1080", 61, "580.65.06", "Linux", "cu118"),
        ("V100", 70, "550.90.07", "Linux", "cu118"),
        ("A100", 80, "470.182.03", "Linux", "cu118"),
        ("A100", 80, "450.80.01", "Linux", None),  # too old for all
        ("A100", 80, "452.39", "Windows", "cu118"),
        ("A100", 80, "452.38", "Windows", None),
        ("RTX 4090", 89, "555.42", "Linux", "cu126"),  # code for 8.6
        ("GTX 980", 52, "550.90.07", "Linux", None),
        ("T4", 75, None, "Linux", None),  # no driver
    ],
)
def test_card_and_driver_give_the_build(card, capability, driver, system, name):
    build = best_build([capability], driver, system)
    assert (build and build.name) == name, card


def test_several_cards_want_one_build():
    assert best_build([75, 120], "580.65.06").name == "cu129"
    assert best_build([61, 75], "580.65.06").name == "cu118"
    assert best_build([61, 120], "580.65.06") is None
    assert best_build([], "550.54.14").name == "cu126"  # nobody knows which card it is


def test_the_advice_is_one_line_that_can_be_followed():
    assert advice([75], "550.54.14") == (
        'pip install "paddlepaddle-gpu>=3.2" --extra-index-url '
        "https://www.paddlepaddle.org.cn/packages/stable/cu126/"
    )
    assert advice([90], "535.161.07").startswith("install NVIDIA's driver 550.54.14 or newer, then")
    assert advice([120], None, "Windows").startswith("install NVIDIA's driver 576.02 or newer")
    assert "no build of Paddle 3 serves compute capability 5.2" in advice([52], "580.65.06")
    assert "6.1 and 12.0" in advice([120, 61, 61], "580.65.06")


def test_code_runs_on_later_cards_of_the_same_first_number():
    assert has_code((80, 86), 89) and has_code((75,), 75) and has_code((100,), 103)
    assert not has_code((80, 86), 90) and not has_code((75,), 70) and not has_code((100,), 120)


def test_builds_are_found_by_what_paddle_says():
    assert build_for_cuda("12.6").name == build_for_cuda("12.6.3").name == "cu126"
    assert build_for_cuda("12.3") is None and build_for_cuda(None) is None
    assert build_for_cuda("False") is None  # a CPU build


def test_versions_are_compared_as_numbers():
    assert numbers("550.54.14") == (550, 54, 14) and numbers("2.0.7rc1") == (2, 0, 7)
    assert numbers("3.3.1+cu126") == (3, 3, 1) and numbers("False") == ()
    assert numbers("580.9") < numbers("580.65.06")


# ---- where the table is shown ----------------------------------------------------


def test_environment_and_makefile_take_their_build_from_the_table():
    default = next(build for build in BUILDS if build.name == PREFERENCE[0])
    assert f"--extra-index-url {default.index}" in (ROOT / "environment.yml").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert default.index.replace(default.name, "$(GPU_BUILD)") in makefile
    assert "-m maskrcnn_edu.system.gpu_builds" in makefile
    # nobody else writes an address of his own
    files = [p for p in (ROOT / "maskrcnn_edu").rglob("*.py") if "packages/stable" in p.read_text()]
    assert [path.name for path in files] == ["gpu_builds.py"]


# ---- this machine ----------------------------------------------------------------


def nvidia_smi(folder, monkeypatch, script):
    """A driver's command that answers what a test wants."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_driver_is_asked(tmp_path, monkeypatch, capsys):
    nvidia_smi(
        tmp_path, monkeypatch, "echo '550.54.14, 7.5, Tesla T4'; echo '550.54.14, 8.0, A100'"
    )
    assert ask_driver() == ("550.54.14", [Card("Tesla T4", 75), Card("A100", 80)])
    assert gpu_builds.main() == 0
    assert capsys.readouterr().out == "cu126\n"


def test_an_old_driver_does_not_know_capabilities(tmp_path, monkeypatch, capsys):
    nvidia_smi(
        tmp_path, monkeypatch, 'case "$1" in *compute_cap*) exit 2;; esac; echo "470.1, Tesla T4"'
    )
    assert ask_driver() == ("470.1", [Card("Tesla T4", None)])
    assert gpu_builds.main() == 0
    assert capsys.readouterr().out == "cu118\n"


def test_without_a_driver_there_is_no_build(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_driver() == (None, [])
    assert gpu_builds.main() == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("install NVIDIA's driver")
