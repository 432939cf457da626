"""The doctor's verdict on machines that are made up, and on this one."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from maskrcnn_edu.cli.main import main
from maskrcnn_edu.system import doctor
from maskrcnn_edu.system.doctor import CACHE, DEVICE, LIBRARIES, Gpu, Machine, diagnose, report
from maskrcnn_edu.system.gpu_builds import Card

PINNED = {name: f"{least}.1" for name, least in LIBRARIES.items()}
HEALTHY = Machine(
    python=(3, 11, 7), versions={**PINNED, "paddlepaddle": "3.3.1"}, cores=4, memory=16.0, disk=50.0
)


def on_gpus(*capabilities, paddle="3.3.1", cuda="12.6", driver="550.90.07", **changes):
    versions = {**PINNED, "paddlepaddle-gpu": paddle}
    gpus = [Gpu("Some GPU", capability, 16.0) for capability in capabilities]
    return replace(HEALTHY, versions=versions, cuda=cuda, gpus=gpus, driver=driver, **changes)


def with_card(capability, driver, **changes):
    """A machine whose driver sees a card, and whose Paddle does not."""
    return replace(HEALTHY, driver=driver, cards=[Card("Some GPU", capability)], **changes)


def problems(machine):
    return {f.part: f"{f.state} -> {f.fix}" for f in diagnose(machine) if f.fix}


@pytest.mark.parametrize(
    "machine",
    [
        HEALTHY,
        on_gpus(75),
        on_gpus(80, 80, 80),
        on_gpus(90),
        on_gpus(120, cuda="12.9", driver="575.57.08"),
        on_gpus(70, codes=[61, 70, 75, 80, 90]),  # the build itself says that it has code for it
        on_gpus(75, cuda="11.8", driver="525.105.17"),
        on_gpus(86, cuda="12.3", driver="545.1"),  # a build of no table: nothing is known
        on_gpus(86, driver="551.61", system="Windows", processor="AMD64"),
        replace(HEALTHY, python=(3, 10, 0), system="Darwin", processor="arm64"),
        on_gpus(86, paddle="2.6.2", cuda="11.8"),
        on_gpus(89, paddle="2.6.2", cuda="11.8"),  # code for 8.6 runs on 8.9
        replace(HEALTHY, memory=None),  # a system that does not say
    ],
)
def test_a_healthy_machine_has_no_problems(machine):
    assert problems(machine) == {}


def sick(**changes):
    return replace(HEALTHY, **changes)


def with_versions(**versions):
    return sick(
        versions={**HEALTHY.versions, **{k.replace("_", "-"): v for k, v in versions.items()}}
    )


@pytest.mark.parametrize(
    ("machine", "what", "words"),
    [
        (sick(python=(3, 9, 1)), "Python", "3.9.1 .*use Python 3.10 to 3.13"),
        (sick(python=(3, 14, 0)), "Python", "3.14.0 .*Paddle has no wheel for others"),
        (sick(processor="aarch64"), "system", "aarch64 -> Paddle has wheels for Linux x86-64"),
        (sick(system="Darwin"), "system", "Darwin x86_64 -> .* macOS arm64"),
        (with_versions(pycocotools=None), "pycocotools", "missing -> pip install 'pycocotools>="),
        (with_versions(pillow="9.5.0"), "pillow", "9.5.0 is too old -> pip install 'pillow>="),
        (with_versions(paddlepaddle=None), "Paddle", "missing -> pip install paddlepaddle"),
        (with_versions(paddlepaddle="2.5.1", numpy="1.26.4"), "Paddle", "2.5.1.*is too old"),
        (with_versions(paddlepaddle="2.6.2", numpy="2.2.6"), "Paddle", "pip install 'numpy<2'"),
        (with_versions(paddlepaddle_gpu="3.3.1"), "Paddle", "overwrite each other"),
        (sick(paddle_error="ImportError: libgomp"), "Paddle", "cannot start: ImportError: libgomp"),
        (on_gpus(), "device", "finds no GPU .NVIDIA driver 550.90.07.*CUDA_VISIBLE_DEVICES"),
        (replace(on_gpus(), driver=None), "device", "no NVIDIA driver.*install NVIDIA's driver"),
        (with_card(75, "550.54.14"), "device", "is a CPU build -> pip install .*/cu126/"),
        (with_card(75, "525.105.17"), "device", "is a CPU build -> pip install .*/cu118/"),
        (with_card(90, "535.161.07"), "device", "-> install NVIDIA's driver 550.54.14 .*/cu126/"),
        (with_card(52, "550.1"), "device", "no build of Paddle 3 serves compute capability 5.2"),
        (with_card(120, "576.02", versions=PINNED), "Paddle", "missing -> pip install .*/cu129/"),
        (with_card(120, "576.01", system="Windows", processor="AMD64"), "device",
         "-> install NVIDIA's driver 576.02 or newer"),
        (sick(variables={DEVICE: "gpu"}), "device", "Paddle is a CPU build"),
        (sick(variables={DEVICE: "tpu"}), "device", "set MASKRCNN_EDU_DEVICE to cpu or gpu"),
        (on_gpus(75, driver="525.105.17"), "device",
         "525.105.17 is too old: a build for CUDA 12.6 needs 550.54.14 -> pip install .*/cu118/"),
        (replace(on_gpus(driver="535.1"), cards=[Card("H100", 90)]), "device",
         "535.1 is too old.*-> install NVIDIA's driver 550.54.14 or newer, then: .*/cu126/"),
        (on_gpus(90, paddle="2.6.2", cuda="11.8"), "GPU",
         "9.0, 16 GB; this build has code for 6.1, 7.0, 7.5, 8.0, 8.6 -> pip install .*/cu126/"),
        (on_gpus(60, paddle="2.6.2", cuda="11.8"), "GPU", "6.0.*code for 6.1.*/cu118/"),
        (on_gpus(90, cuda="11.8"), "GPU", "9.0.*code for 6.0.*/cu126/"),
        (on_gpus(61), "GPU", "6.1.*code for 7.5, 8.0, 8.6, 9.0 -> pip install .*/cu118/"),
        (on_gpus(120, driver="580.65.06"), "GPU", "12.0.*code for 7.5.*/cu129/"),
        (on_gpus(120, cuda="12.9", driver="576.02", codes=[75, 80, 86, 89]), "GPU",
         "12.0.*code for 7.5, 8.0, 8.6, 8.9 -> .*paddlepaddle-gpu>=3.2"),
        (sick(cache=None), "weights", "cannot be written -> set MASKRCNN_EDU_CACHE"),
        (sick(variables={"OMP_NUM_THREADS": "8"}), "CPU", "set OMP_NUM_THREADS=4"),
        (sick(variables={"OMP_NUM_THREADS": "all"}), "CPU", "to a number"),
        (sick(memory=2.0), "memory", "2.0 GB -> use a smaller"),
        (sick(disk=0.3), "disk", "0.3 GB free -> free some space"),
    ],
)  # fmt: skip
def test_each_problem_is_one_finding_with_a_cure(machine, what, words):
    bad = problems(machine)
    assert list(bad) == [what]
    assert re.search(words, bad[what])


def test_who_wants_the_cpu_is_not_bothered_with_gpus():
    assert problems(replace(on_gpus(), variables={DEVICE: "cpu"})) == {}


def test_the_report_fits_on_a_screen_and_counts():
    text = report(diagnose(HEALTHY))
    assert text.endswith("all is well") and len(text.splitlines()) <= 24
    assert "1 problem(s)" in report(diagnose(sick(disk=0.1)))


def test_the_command_answers_with_its_exit_code(monkeypatch, capsys):
    for machine, code in ((HEALTHY, 0), (sick(disk=0.1), 1)):
        monkeypatch.setattr(doctor, "collect_facts", lambda machine=machine: machine)
        assert main(["doctor"]) == code
    assert "BAD  disk       0.1 GB free\n     -> free some space" in capsys.readouterr().out


def test_the_facts_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE, str(tmp_path))
    (tmp_path / "some_model.pdparams").touch()
    (tmp_path / "data/mine/annotations").mkdir(parents=True)
    (tmp_path / "data/mine/annotations/instances_val.json").touch()
    facts = doctor.collect_facts()
    assert facts.python == sys.version_info[:3] and facts.paddle and facts.paddle_error is None
    assert None not in [facts.versions[name] for name in LIBRARIES]
    assert facts.cores >= 1 and facts.disk > 0
    assert facts.cached == ["some_model"] and facts.datasets == ["data/mine"]
    assert facts.cache == str(tmp_path)


def test_a_cache_that_cannot_be_made_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE, str(tmp_path / "file" / "cache"))
    assert doctor.collect_facts().cache is None
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE, "~/new/cache")
    assert doctor.collect_facts().cache == str(tmp_path / "new" / "cache")


def test_it_comes_when_a_library_is_missing(tmp_path):
    """The ordinary command, without Paddle."""
    (tmp_path / "paddle.py").write_text("raise ImportError('libgomp.so.1: no such file')")
    command = [sys.executable, "-c", f"""
import sys
sys.path[:0] = ["", {str(tmp_path)!r}]
from maskrcnn_edu.cli.main import main
sys.exit(main(["doctor"]))
"""]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(tmp_path))
    assert done.returncode == 1
    assert "cannot start: ImportError: libgomp.so.1: no such file" in done.stdout


def test_what_is_needed_is_what_the_project_says():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    listed = dict(line.split(">=") for line in tomllib.loads(text)["project"]["dependencies"])
    assert listed == LIBRARIES
