"""The words of a command line, before they are parsed."""

import os

import pytest

from maskrcnn_edu.cli.arguments import one_set_for_each
from maskrcnn_edu.cli.main import main


@pytest.mark.parametrize(
    ("words", "spread"),
    [
        ("-o A=1 B.c=2 x.png", "-o A=1 -o B.c=2 x.png"),  # the image is no value
        ("--set A=1 B=2 --set C=3", "--set A=1 --set B=2 --set C=3"),
        ("--out A=1 B=2", "--out A=1 B=2"),  # another option
        ("A=1 B=2", "A=1 B=2"),
        ("-o", "-o"),
        ("-o TrainReader.sample_transforms.1.Resize=2 ./k=v.png",
         "-o TrainReader.sample_transforms.1.Resize=2 ./k=v.png"),
    ],
)  # fmt: skip
def test_values_after_one_set(words, spread):
    assert one_set_for_each(words.split()) == spread.split()


def test_c_and_o_are_config_and_set(shapes, tmp_path, capsys):
    data = [
        *("--train-json", f"{shapes}/annotations/instances_val.json"),
        *("--train-images", f"{shapes}/val"),
        *("--val-json", f"{shapes}/annotations/instances_val.json"),
        *("--val-images", f"{shapes}/val"),
    ]
    config = ["-c", "shapes_fpn", "-o", "epoch=1", "ResNet.depht=10", "--device", "cpu"]
    assert main(["train", *config, *data, "--out", str(tmp_path / "run"), "--steps", "1"]) == 2
    assert "--set ResNet.depht=10: ResNet.depht: unknown key of ResNet" in capsys.readouterr().err


def test_the_device_is_chosen_by_an_option(monkeypatch, tmp_path):
    chosen = []
    monkeypatch.setenv("MASKRCNN_EDU_DEVICE", "gpu")
    monkeypatch.setattr(
        "maskrcnn_edu.system.device.choose_device",
        lambda: chosen.append(os.environ["MASKRCNN_EDU_DEVICE"]),
    )
    arguments = ["predict", "--weights", "none", "--out", str(tmp_path), str(tmp_path)]
    assert main(arguments) == 2 and main([*arguments, "--device", "cpu"]) == 2
    assert chosen == ["gpu", "cpu"]
