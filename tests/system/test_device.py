"""One choice of device, and one line if it is not the one to be expected."""

import paddle
import pytest

from maskrcnn_edu.system import device
from maskrcnn_edu.system.device import DEVICE, choose_device
from maskrcnn_edu.teaching.course import setup_notebook


@pytest.fixture
def here(monkeypatch):
    """Pretend what Paddle was built for, how many GPUs there are, and what is wanted."""
    monkeypatch.delenv("PADDLE_TRAINER_ID", raising=False)
    chosen = []
    monkeypatch.setattr(paddle, "set_device", chosen.append)
    device._warn_once.cache_clear()

    def pretend(cuda, gpus, wanted=None):
        monkeypatch.setattr(paddle.device, "is_compiled_with_cuda", lambda: cuda)
        monkeypatch.setattr(paddle.device.cuda, "device_count", lambda: gpus)
        monkeypatch.setenv(DEVICE, wanted) if wanted else monkeypatch.delenv(DEVICE, raising=False)
        assert choose_device() == chosen[-1]
        return chosen[-1]

    return pretend


def test_a_gpu_is_used_if_it_is_there_and_not_refused(here, capsys):
    assert here(cuda=True, gpus=1) == "gpu"
    assert here(cuda=True, gpus=8, wanted="gpu") == "gpu"
    assert here(cuda=True, gpus=1, wanted="cpu") == "cpu"
    assert here(cuda=False, gpus=0) == "cpu"
    assert here(cuda=True, gpus=0, wanted="cpu") == "cpu"
    assert capsys.readouterr().err == ""


def test_a_gpu_that_is_not_there_is_one_warning(here, capsys):
    assert [here(cuda=True, gpus=0) for _ in range(3)] == ["cpu"] * 3
    assert capsys.readouterr().err == (
        "maskrcnn-edu: Paddle finds no GPU that it can use; "
        "computing on the CPU (see maskrcnn-edu doctor)\n"
    )


def test_a_gpu_that_was_asked_for_is_one_line_and_the_cpu(here, capsys):
    assert here(cuda=False, gpus=0, wanted="gpu") == "cpu"
    assert capsys.readouterr().err.count("\n") == 1


def test_a_notebook_shows_the_same_everywhere(here, capsys, monkeypatch):
    here(cuda=False, gpus=0, wanted="gpu")
    device._warn_once.cache_clear()
    capsys.readouterr()
    setup_notebook()
    assert capsys.readouterr().err == ""


def test_one_of_many_processes_warns(here, capsys, monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    here(cuda=True, gpus=0)
    assert capsys.readouterr().err == ""


def test_another_word_is_an_error(monkeypatch):
    monkeypatch.setenv(DEVICE, "tpu")
    with pytest.raises(ValueError, match="MASKRCNN_EDU_DEVICE must be cpu or gpu, got tpu"):
        choose_device()
