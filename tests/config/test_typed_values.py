"""Values of every depth, sections that are left out, and files that are meant to hurt."""

import subprocess
import sys
import time

import pytest
import yaml

from maskrcnn_edu.config.build import build, build_model
from maskrcnn_edu.config.schema import DEFAULT_SECTIONS, load_config, parse_config
from maskrcnn_edu.config.yaml_files import ConfigError
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.model.optimizer import LearningRate, OptimizerBuilder

from .test_config import VALUES

SMALL = [
    "ResNet: {depth: 10, ch_in: 8, ch_out_list: [4, 4, 8, 8], return_idx: [2], num_stages: 3}\n",
    "Res5Head: {depth: 10, ch_out: 8}\n",
    "BBoxHead: {with_pool: true}\n",
    "MaskHead: {share_bbox_feat: true}\n",
    "MaskFeat: {num_convs: 0, out_channel: 8}\n",
]
"""A small model of which everything that a text does not say is right."""


def refusal(text, build_all=True):
    """What a configuration called my.yml is refused with."""
    with pytest.raises(ConfigError) as caught:
        small = "".join(line for line in SMALL if line.partition(":")[0] + ":" not in text)
        config = parse_config(text + small, "my.yml")
        if build_all:
            for each in (LearningRate, OptimizerBuilder):
                build(config, each)
            for name in ("TrainReader", "EvalReader"):
                build(config, Reader, (name,))
            build_model(config)
    return str(caught.value)


# ---- numbers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.0e-3", 0.001),
        ("2E+1", 20.0),
        (".5e1", 5.0),
        ("-1e2", -100.0),
        ("1.e-2", 0.01),
    ],
)
def test_numbers_with_an_exponent_are_numbers(text, value):
    config = parse_config(f"LearningRate: {{base_lr: {text}}}\n")
    assert config.values["LearningRate"]["base_lr"] == value
    config = load_config("shapes_fpn", [f"LearningRate.schedulers.0.start_factor={text}"])
    assert config.values["LearningRate"]["schedulers"][0]["start_factor"] == value


@pytest.mark.parametrize("text", ["e5", "1e", "1e-", "0x1e5g", "v1e3"])
def test_words_with_an_e_stay_words(text):
    assert parse_config(f"pretrain_weights: {text}\n").values["pretrain_weights"] == text


def test_a_whole_number_may_be_written_with_a_point():
    config = parse_config("epoch: 3.0\nResNet: {depth: 18.0, return_idx: [1.0]}\n")
    values = (config.values["epoch"], config.values["ResNet"])
    assert values == (3, {"depth": 18, "return_idx": [1]})
    assert type(values[0]) is int and type(values[1]["return_idx"][0]) is int


# ---- every depth -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # types, down to the last option
        ("ResNet:\n  depth: '50'\n", ["line 2", "ResNet.depth", 'the text "50"', "without quotes"]),
        ("BBoxHead:\n  head: [Res5Head]\n", ["line 2", "BBoxHead.head", "got ['Res5Head']"]),
        ("BBoxHead:\n  head: {name: [1]}\n", ["line 2", "BBoxHead.head", "got [1]"]),
        ("RPNHead:\n  train_proposal: null\n", ["line 2", "ProposalGenerator", "got null"]),
        (
            "BBoxHead:\n  bbox_weight: [1, 1, x, 1]\n",
            ["bbox_weight.2", 'a number, got the text "x"'],
        ),
        ("BBoxHead:\n  bbox_weight: abcd\n", ["bbox_weight", "a list", 'the text "abcd"']),
        (
            "RPNHead:\n  anchor_generator:\n    anchor_sizes: [[8], [x]]\n",
            ["line 3", "anchor_sizes.1.0", 'a number, got the text "x"'],
        ),
        ("LearningRate:\n  base_lr: .nan\n", ["line 2", "LearningRate.base_lr", "got nan"]),
        ("LearningRate:\n  base_lr: 1e999\n", ["LearningRate.base_lr", "got inf"]),
        ("LearningRate:\n  base_lr: fast\n", ["LearningRate.base_lr", 'the text "fast"']),
        ("LearningRate:\n  schedulers: LinearWarmup\n", ["schedulers", "a list"]),
        ("LearningRate:\n  schedulers:\n  - LinearWarmup\n", ["line 3", "schedulers.0", "options"]),
        (
            "LearningRate:\n  schedulers:\n  - name: LinearWarmup\n    steps: many\n",
            ["line 4", "LearningRate.schedulers.0.steps", 'the text "many"'],
        ),
        (
            "LearningRate:\n  schedulers:\n  - {name: PiecewiseDecay, milestones: [8, x]}\n",
            ["line 3", "schedulers.0.milestones.1", 'a number, got the text "x"'],
        ),
        (
            "LearningRate:\n  schedulers:\n  - {name: PiecewiseDecay, milestone: [8]}\n",
            ["line 3", "schedulers.0.milestone", "did you mean milestones?"],
        ),
        ("LearningRate:\n  schedulers: [{name: [1]}]\n", ["schedulers.0", "got [1]"]),
        ("LearningRate:\n  schedulers: [{steps: 1}]\n", ["schedulers.0", "got null"]),
        (
            "LearningRate:\n  schedulers: [{name: StepDecay}]\n",
            ["line 2", "did you mean CosineDecay?"],
        ),
        (
            "OptimizerBuilder:\n  optimizer: {type: Momentum, momentum: high}\n",
            ["line 2", "OptimizerBuilder.optimizer.momentum", 'the text "high"'],
        ),
        (
            "OptimizerBuilder:\n  optimizer: {type: Momentum, parameters: []}\n",
            ["line 2", "optimizer.parameters", "unknown option of Momentum"],
        ),
        ("OptimizerBuilder:\n  optimizer: {type: Adam}\n", ["optimizer", "did you mean AdamW?"]),
        ("OptimizerBuilder:\n  optimizer: Momentum\n", ["optimizer", "options in braces"]),
        (
            "OptimizerBuilder:\n  regularizer: {type: L2, factor: x}\n",
            ["regularizer.factor", 'a number, got the text "x"'],
        ),
        (
            "OptimizerBuilder:\n  regularizer: {type: L1, factor: 1}\n",
            ["regularizer", "must be one of L2"],
        ),
        ("TrainReader:\n  sample_transforms: Decode\n", ["sample_transforms", "a list"]),
        ("TrainReader:\n  sample_transforms: [Decode]\n", ["sample_transforms.0", '"Decode"']),
        ("TrainReader:\n  sample_transforms: [{Decode: 5}]\n", ["0.Decode", "options of Decode"]),
        (
            "TrainReader:\n  sample_transforms:\n  - Decode: {}\n    Permute: {}\n",
            ["line 3", "sample_transforms.0", "one name"],
        ),
        (
            "EvalReader:\n  sample_transforms:\n  - Resize: {target_size: [800, x]}\n",
            ["line 3", "sample_transforms.0.Resize.target_size.1", 'the text "x"'],
        ),
        (
            "EvalReader:\n  sample_transforms:\n  - Resize: {target_sise: 800}\n",
            ["0.Resize.target_sise", "did you mean target_size?"],
        ),
        ("EvalReader:\n  sample_transforms:\n  - Rezise: {}\n", ["did you mean Resize?"]),
        ("EvalReader:\n  batch_transforms: [{PadBatch: {pad_to_stride: x}}]\n", ["pad_to_stride"]),
        ("EvalReader:\n  batch_size: '2'\n", ["batch_size", 'the text "2"; write 2.0 without']),
        # values that no part can have
        ("ResNet: {return_idx: []}\n", ["ResNet.return_idx", "must name stages"]),
        ("ResNet: {return_idx: [7]}\n", ["ResNet.return_idx", "stages 0 .. 3"]),
        ("ResNet: {return_idx: [3, 2]}\n", ["ResNet.return_idx", "rising"]),
        ("ResNet: {freeze_at: 9}\n", ["ResNet.freeze_at", "-1 (nothing) .. 3, got 9"]),
        ("ResNet: {freeze_at: -2}\n", ["ResNet.freeze_at", "got -2"]),
        ("ResNet: {ch_in: 0}\n", ["ResNet.ch_in", "at least 1"]),
        ("ResNet: {ch_out_list: [8, -8, 8, 8]}\n", ["ResNet.ch_out_list", "at least 1"]),
        ("RPNHead: {anchor_generator: {anchor_sizes: []}}\n", ["anchor_sizes", "got []"]),
        ("RPNHead: {anchor_generator: {anchor_sizes: [[]]}}\n", ["anchor_sizes", "positive"]),
        ("RPNHead: {anchor_generator: {anchor_sizes: [8, [8]]}}\n", ["anchor_sizes", "a list"]),
        ("RPNHead: {anchor_generator: {strides: []}}\n", ["strides", "positive"]),
        ("RPNHead: {rpn_target_assign: {positive_overlap: 7}}\n", ["positive_overlap", "0 .. 1"]),
        ("RPNHead: {train_proposal: {min_size: -1}}\n", ["train_proposal.min_size", "at least 0"]),
        ("BBoxHead: {bbox_weight: [1, 2, 3]}\n", ["bbox_weight", "4 numbers", "[1, 2, 3]"]),
        ("BBoxHead: {bbox_weight: [1, 2, 3, 0]}\n", ["bbox_weight", "above 0"]),
        ("BBoxAssigner: {cascade_iou: []}\n", ["cascade_iou", "a threshold for each stage"]),
        ("BBoxAssigner: {cascade_iou: [0.5, 5]}\n", ["cascade_iou.1", "0 .. 1, got 5"]),
        ("BBoxAssigner: {bg_thresh: -1}\n", ["BBoxAssigner.bg_thresh", "at least 0"]),
        ("BBoxAssigner: {ignore_thresh: -2}\n", ["ignore_thresh", "-1 for no such limit"]),
        ("MaskFeat: {num_convs: -1}\n", ["MaskFeat.num_convs", "at least 0, got -1"]),
        ("BBoxPostProcess: {nms: {keep_top_k: -3}}\n", ["keep_top_k", "-1 for all"]),
        ("BBoxPostProcess: {nms: {score_threshold: 5}}\n", ["score_threshold", "at most 1"]),
        ("RoIAlign: {resolution: 0}\n", ["RoIAlign.resolution", "at least 1"]),
        ("LearningRate: {schedulers: [{name: LinearWarmup, steps: -1}]}\n", ["schedulers.0.steps"]),
        ("LearningRate: {schedulers: [{name: PiecewiseDecay}]}\n", ["schedulers.0", "milestones"]),
        (
            "OptimizerBuilder: {optimizer: {type: AdamW, beta1: 2}}\n",
            ["optimizer.beta1", "0 .. 1, got 2"],
        ),
        ("OptimizerBuilder: {clip_grad_by_norm: 0}\n", ["clip_grad_by_norm", "above 0"]),
        ("OptimizerBuilder: {regularizer: {type: L2}}\n", ["regularizer", "factor"]),
        ("TrainReader: {batch_size: 0}\n", ["TrainReader.batch_size", "at least 1"]),
        ("TrainReader: {worker_num: 999999}\n", ["TrainReader.worker_num", "1 .. 64"]),
        # parts that do not fit together
        ("BBoxHead: {head: TwoFCHead, with_pool: true}\n", ["BBoxHead.with_pool", "be false"]),
        ("ResNet: {norm_type: sync_bn, freeze_norm: false}\n", ["ResNet.norm_type", "use bn"]),
        ("ResNet: {return_idx: [1, 2]}\n", ["ResNet.return_idx", "name one stage"]),
    ],
)
def test_a_value_is_refused_with_key_and_line(text, words):
    message = refusal(text)
    for word in ["my.yml, line ", *words]:
        assert word in message, message


def test_a_map_is_not_classified_without_a_pool(tiny_text):
    text = tiny_text["c4"].replace("with_pool: true", "with_pool: false")
    message = refusal(text)
    assert "my.yml, line " in message and "BBoxHead.with_pool" in message and "be true" in message


def test_what_the_shared_feature_makes_idle(tiny_text):
    extractor = "roi_extractor: {resolution: 8, aligned: true}"
    assert tiny_text["c4"].count(extractor) == 2 and "share_bbox_feat: true" in tiny_text["c4"]
    head, _, tail = tiny_text["c4"].rpartition(extractor)
    build_model(parse_config(tiny_text["c4"]))  # the same numbers: as in the document
    message = refusal(head + extractor.replace("8", "10") + tail)
    assert "MaskHead.roi_extractor.resolution: 10 has no effect" in message
    assert "BBoxHead.roi_extractor cuts out, with 8; leave it out" in message


@pytest.mark.parametrize("part", ["roi_extractor", "bbox_assigner"])
def test_null_is_the_default_where_a_head_needs_the_part(part):
    model = build_model(
        parse_config(
            f"BBoxHead: {{head: Res5Head, with_pool: true, {part}: }}\n"
            "ResNet: {return_idx: [2], num_stages: 3}\n"
            "MaskHead: {share_bbox_feat: true}\nMaskFeat: {num_convs: 0}\n"
        )
    )
    assert getattr(model.bbox_head, part) is not None


# ---- sizes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "most"),
    [
        ("num_classes: 2000000000", "num_classes", "10,000"),
        ("epoch: 1e18", "epoch", "1,000,000"),
        ("ResNet: {ch_in: 2000000000}", "ResNet.ch_in", "2,048"),
        ("ResNet: {ch_out_list: [64, 100000, 256, 512]}", "ResNet.ch_out_list.1", "2,048"),
        ("FPN: {out_channel: 100000000}", "FPN.out_channel", "2,048"),
        ("MaskFeat: {num_convs: 1000000000}", "MaskFeat.num_convs", "32"),
        ("BBoxHead: {roi_extractor: {resolution: 100000}}", "BBoxHead.roi_extractor.resolution",
         "256"),
        ("MaskAssigner: {mask_resolution: 200000}", "MaskAssigner.mask_resolution", "512"),
        ("BBoxAssigner: {batch_size_per_im: 10000000}", "BBoxAssigner.batch_size_per_im",
         "1,000,000"),
        ("TrainReader: {sample_transforms: [{Resize: {target_size: [800, 1000000]}}]}",
         "TrainReader.sample_transforms.0.Resize.target_size.1", "10,000"),
        ("TrainReader: {batch_size: 1000000000}", "TrainReader.batch_size", "1,000"),
    ],
)  # fmt: skip
def test_sizes_that_no_machine_can_hold_are_refused_at_once(text, key, most):
    start = time.process_time()
    message = refusal(text + "\n", build_all=False)
    assert f"my.yml, line 1: {key}: must be at most {most}, got " in message
    assert time.process_time() - start < 1


# ---- what is left out ------------------------------------------------------------


def test_how_to_train_is_the_shipped_configurations_if_nothing_says_it():
    shipped = load_config("mask_rcnn_r50_1x_coco").values
    made = parse_config("ResNet: {depth: 18}\n").values
    assert {k: made[k] for k in DEFAULT_SECTIONS} == {k: shipped[k] for k in DEFAULT_SECTIONS}
    assert made["LearningRate"]["base_lr"] == 0.00125 and made["TrainReader"]["batch_size"] == 1


def test_a_section_that_is_there_is_not_filled_up():
    made = parse_config("LearningRate: {base_lr: 0.1}\n").values
    assert made["LearningRate"] == {"base_lr": 0.1}


def test_a_reader_may_say_its_batch_size_only():
    made = load_config("shapes_fpn", ["EvalReader.batch_size=2"]).values["EvalReader"]
    assert [next(iter(step)) for step in made["sample_transforms"]][:2] == ["Decode", "Resize"]
    reader = build(parse_config("EvalReader: {batch_size: 3}\n"), Reader, ("EvalReader",))
    assert reader.batch_size == 3 and len(reader.transforms()[0]) == 4 and not reader.shuffle


def test_one_configuration_does_not_change_the_next():
    parse_config("epoch: 1\n").values["TrainReader"]["batch_size"] = 99
    assert parse_config("epoch: 1\n").values["TrainReader"]["batch_size"] == 1


# ---- files -----------------------------------------------------------------------

NESTED = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))
ATTACKS = {
    "a billion laughs": f"a0: &a0 [lol]\n{NESTED}\n",
    "laughs in keys": "x: &x {a: 1}\n"
    + "".join(
        f"x{i}: &x{i} {{{', '.join(f'k{j}: *x' + str(i - 1 or '') for j in range(9))}}}\n"
        for i in range(1, 10)
    ),
    "a list in itself": "a: &a [*a]\n",
    "a section in itself": "ResNet: &a {depth: *a}\n",
    "brackets without end": "ResNet: " + "[" * 30_000,
    "braces without end": "ResNet: " + "{a: " * 7_500,
    "dashes without end": "- " * 15_000,
    "questions without end": "? " * 15_000,
    "flat levels": "ResNet: " + "[" * 60 + "]" * 60,
    "too large": "# " + "x" * 200_000,
    "many values": "x: [" + "1, " * 10_200 + "1]\n",
    "many sections": "".join(f"k{i}: {{}}\n" for i in range(2_900)),
    "a number without end": "epoch: " + "9" * 30_000,
    "sixty to the power": "epoch: 1" + ":59" * 10_000,
    "binary": "epoch: 0b" + "1" * 30_000,
    "a program": "epoch: !!python/object/apply:os.system ['echo ran > ran']\n",
    "a module": "ResNet: !!python/name:os.system {}\n",
    "a new object": "ResNet: !!python/object/new:os.system [echo ran > ran]\n",
    "letters that are none": "epoch: \x07\n",
    "a mark in the middle": "epoch: 1\n\ufeffResNet: {}\n",
    "two documents": "epoch: 1\n---\nepoch: 2\n",
    "an anchor that is nowhere": "epoch: *nowhere\n",
    "a key that is a list": "? [1, 2]\n: 3\n",
    "a merge": "x: &x {depth: 5}\nResNet: {<<: *x}\n",
    "a base that is a number": "_BASE_: 5\n",
    "a base that is a section": "_BASE_: {a: b}\n",
    "a base that is nothing": "_BASE_:\n",
    "a base in a list of lists": "_BASE_: [[a.yml]]\n",
    "a base that is a folder": "_BASE_: .\n",
    "a base that is a device": "_BASE_: /dev/zero\n",
    "a base that is itself": "_BASE_: ../{folder}/attack.yml\n",
}

RUN = """
import resource, sys, time
from maskrcnn_edu.config.yaml_files import ConfigError
from maskrcnn_edu.config.schema import load_config
load_config("shapes_fpn")
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
for path in sys.argv[1:]:
    try:
        load_config(path)
        said = "ACCEPTED"
    except ConfigError as error:
        said = str(error).splitlines()[0]
    now, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{now - start:.3f}\\t{(peak - before) / 1024:.1f}\\t{peak / 1024:.0f}\\t{said[:300]}")
    start, before = now, peak
"""


def test_attacks_are_refused_within_a_second_and_200_megabytes(tmp_path):
    paths = []
    for i, text in enumerate(ATTACKS.values()):
        folder = tmp_path / f"a{i}"
        folder.mkdir()
        paths.append(folder / "attack.yml")
        paths[-1].write_text(text.replace("{folder}", folder.name), encoding="utf-8")
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, paths)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    print("\n".join("\t".join([name, *row]) for name, row in zip(ATTACKS, rows)))
    assert len(rows) == len(ATTACKS) and time.monotonic() - start < 120
    for name, (seconds, megabytes, _, said) in zip(ATTACKS, rows):
        assert "attack.yml" in said, (name, said)
        assert float(seconds) < 1 and float(megabytes) < 200, (name, seconds, megabytes)
    assert not list(tmp_path.rglob("ran"))


def test_bases_that_fork_at_every_level_are_read_once_each(tmp_path):
    for level in range(25):  # 2 ** 25 paths
        below = f"_BASE_: [a{level + 1}.yml, b{level + 1}.yml]\n" if level < 24 else "epoch: 2\n"
        for side in "ab":
            (tmp_path / f"{side}{level}.yml").write_text(below)
    assert load_config(tmp_path / "a0.yml").values["epoch"] == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_configuration_with_chinese_comments(tmp_path, encoding):
    (tmp_path / "mine.yml").write_bytes("# 学习率设置\r\nepoch: 5\r\n".encode(encoding))
    assert load_config(tmp_path / "mine.yml").values["epoch"] == 5


def test_a_configuration_in_gbk_is_named_with_the_fix(tmp_path):
    (tmp_path / "mine.yml").write_bytes("epoch: 5\r\n# 学习率设置\r\n".encode("gbk"))
    with pytest.raises(ConfigError, match=r"mine.yml: line 2 is not UTF-8 .*GBK.*save it as UTF-8"):
        load_config(tmp_path / "mine.yml")


@pytest.mark.parametrize(
    "setting", ["ResNet.²=1", "ResNet.depth=[*a]", "ResNet=&a [*a]", "epoch=!!python/name:os.x 1"]
)
def test_a_strange_set_is_named(setting):
    with pytest.raises(ConfigError, match="--set"):
        load_config("shapes_fpn", [setting])


def test_the_documents_values_say_enough_to_train(tmp_path):
    (tmp_path / "document.yml").write_text(VALUES, encoding="utf-8")
    config = load_config(tmp_path / "document.yml", ["num_classes=3", "TrainReader.batch_size=2"])
    assert not set(DEFAULT_SECTIONS) & set(yaml.safe_load(VALUES))
    train, test = (build(config, Reader, (name,)) for name in ("TrainReader", "EvalReader"))
    assert (train.batch_size, train.shuffle, test.batch_size, test.shuffle) == (2, True, 1, False)
    assert [type(t).__name__ for t in train.transforms()[0]] == [
        "Decode", "RandomResize", "RandomFlip", "NormalizeImage", "Permute",
    ]  # fmt: skip
    rate = build(config, LearningRate)
    assert [rate.at(0, 0.0), rate.at(1000, 0.1), rate.at(9000, 0.7)] == pytest.approx(
        [0.00125 * 0.001, 0.00125, 0.000125]
    )
    assert build(config, OptimizerBuilder).optimizer == {"type": "Momentum", "momentum": 0.9}
