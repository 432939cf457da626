"""YAML in, model out; and what a mistake in it says."""

import re
from pathlib import Path

import pytest
import yaml

from maskrcnn_edu.config.build import build, build_model
from maskrcnn_edu.config.schema import DEFAULT_SECTIONS, load_config, parse_config
from maskrcnn_edu.config.yaml_files import ConfigError, shipped_configs
from maskrcnn_edu.model.backbone import Res5Head
from maskrcnn_edu.model.optimizer import LearningRate, OptimizerBuilder

DOCUMENT = Path(__file__).parents[3] / "shared" / "document" / "maskrcnn-source-walkthrough.md"

VALUES = """
architecture: MaskRCNN
pretrain_weights: https://paddledet.bj.bcebos.com/models/pretrained/ResNet50_cos_pretrained.pdparams
MaskRCNN:
  backbone: ResNet
  rpn_head: RPNHead
  bbox_head: BBoxHead
  mask_head: MaskHead
  bbox_post_process: BBoxPostProcess
  mask_post_process: MaskPostProcess
ResNet:
  depth: 50
  norm_type: bn
  freeze_at: 0
  return_idx: [2]
  num_stages: 3
RPNHead:
  anchor_generator:
    aspect_ratios: [0.5, 1.0, 2.0]
    anchor_sizes: [32, 64, 128, 256, 512]
    strides: [16]
  rpn_target_assign:
    batch_size_per_im: 256
    fg_fraction: 0.5
    negative_overlap: 0.3
    positive_overlap: 0.7
    use_random: True
  train_proposal:
    min_size: 0.0
    nms_thresh: 0.7
    pre_nms_top_n: 12000
    post_nms_top_n: 2000
    topk_after_collect: False
  test_proposal:
    min_size: 0.0
    nms_thresh: 0.7
    pre_nms_top_n: 6000
    post_nms_top_n: 1000
BBoxHead:
  head: Res5Head
  roi_extractor:
    resolution: 14
    sampling_ratio: 0
    aligned: True
  bbox_assigner: BBoxAssigner
  with_pool: true
BBoxAssigner:
  batch_size_per_im: 512
  bg_thresh: 0.5
  fg_thresh: 0.5
  fg_fraction: 0.25
  use_random: True
BBoxPostProcess:
  decode: RCNNBox
  nms:
    name: MultiClassNMS
    keep_top_k: 100
    score_threshold: 0.05
    nms_threshold: 0.5
MaskHead:
  head: MaskFeat
  roi_extractor:
    resolution: 14
    sampling_ratio: 0
    aligned: True
  mask_assigner: MaskAssigner
  share_bbox_feat: true
MaskFeat:
  num_convs: 0
  out_channel: 256
MaskAssigner:
  mask_resolution: 14
MaskPostProcess:
  binary_thresh: 0.5
"""


def check_document_model(model):
    """Every value of the document's configuration, found in the model."""
    assert model.neck is None and model.backbone.return_idx == [2]
    assert model.backbone.out_channels == [1024] and model.backbone.out_strides == [16]
    assert not hasattr(model.backbone, "res5")
    rpn = model.rpn_head
    assert rpn.anchor_generator.num_anchors == 15
    assert list(rpn.anchor_generator.anchor_sizes) == [32, 64, 128, 256, 512]
    assert list(rpn.anchor_generator.strides) == [16]
    assign = rpn.rpn_target_assign
    assert (assign.batch_size_per_im, assign.fg_fraction, assign.use_random) == (256, 0.5, True)
    assert (assign.negative_overlap, assign.positive_overlap) == (0.3, 0.7)
    for made, counts in ((rpn.train_proposal, (12000, 2000)), (rpn.test_proposal, (6000, 1000))):
        assert (made.pre_nms_top_n, made.post_nms_top_n) == counts
        assert (made.min_size, made.nms_thresh, made.topk_after_collect) == (0.0, 0.7, False)
    box, mask = model.bbox_head, model.mask_head
    assert type(box.head) is Res5Head and box.with_pool and len(box.head.res5) == 3
    for extractor in (box.roi_extractor, mask.roi_extractor):
        assert (extractor.resolution, extractor.sampling_ratio) == (14, 0)
        assert extractor.aligned is True and extractor.spatial_scale == [1 / 16]
    drawn = box.bbox_assigner
    assert (drawn.batch_size_per_im, drawn.fg_fraction, drawn.use_random) == (512, 0.25, True)
    assert (drawn.bg_thresh, drawn.fg_thresh) == (0.5, 0.5)
    nms = model.bbox_post_process.nms
    assert (nms.keep_top_k, nms.score_threshold, nms.nms_threshold) == (100, 0.05, 0.5)
    assert model.bbox_post_process.decode.prior_box_var == box.bbox_weight
    assert mask.share_bbox_feat and mask.mask_assigner.mask_resolution == 14
    assert mask.head.out_channel == 256
    assert mask.head.upsample.conv5_mask.weight.shape == [2048, 256, 2, 2]
    assert model.mask_post_process.binary_thresh == 0.5
    for part in (box, mask, drawn, mask.mask_assigner, model.bbox_post_process):
        assert part.num_classes == 80


# ---- what works ------------------------------------------------------------------


def test_the_documents_values_build_its_model():
    check_document_model(build_model(parse_config(VALUES)))


@pytest.mark.skipif(not DOCUMENT.is_file(), reason="the document is not here")
def test_the_documents_own_text_builds_its_model():
    text = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[1]
    config = parse_config(text)
    assert config.values == parse_config(VALUES).values
    check_document_model(build_model(config))


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configurations_build(name):
    config = load_config(name)
    model = build_model(config)
    for part in (model.bbox_head, model.mask_head, model.bbox_post_process.decode):
        assert part.num_classes == config.values["num_classes"]
    build(config, LearningRate)
    build(config, OptimizerBuilder)
    for reader in ("TrainReader", "EvalReader"):
        assert config.values[reader]["batch_size"] >= 1


def test_the_shipped_c4_is_the_documents():
    config = load_config("mask_rcnn_r50_1x_coco")
    document = parse_config(VALUES).values
    assert {key: config.values[key] for key in document} == document


@pytest.mark.parametrize("kind", ["c4", "fpn"])
def test_round_trip(tiny_text, kind):
    config = parse_config(tiny_text[kind])
    again = parse_config(config.to_yaml())
    assert again.values == config.values and list(again.values) == list(config.values)


def test_upright_images_are_mirrored_but_not_turned():
    def steps(name):
        return load_config(name).values["TrainReader"].pop("sample_transforms")

    turned = [{"RandomFlip": {"prob": 0.5, "direction": "vertical"}}]
    turned += [{"RandomTranspose": {"prob": 0.5}}]
    upright = steps("photos_upright_fpn")
    assert upright == [each for each in steps("photos_fpn") if each not in turned]
    assert len(upright) == 6 and {"RandomFlip": {"prob": 0.5}} in upright
    others = [load_config(name).values for name in ("photos_fpn", "photos_upright_fpn")]
    for values in others:
        del values["TrainReader"]["sample_transforms"]
    assert others[0] == others[1]


def test_shipped_configurations_survive_a_round_trip():
    for name in shipped_configs():
        config = load_config(name)
        assert parse_config(config.to_yaml()).values == config.values


def without_defaults(config):
    return {k: v for k, v in config.values.items() if k not in DEFAULT_SECTIONS}


def test_a_base_is_merged_section_by_section(tmp_path):
    (tmp_path / "base.yml").write_text("num_classes: 3\nResNet: {depth: 18, freeze_at: -1}\n")
    (tmp_path / "top.yml").write_text("_BASE_: base.yml\nResNet: {depth: 34, ch_in: 8}\nepoch: 2\n")
    config = load_config(tmp_path / "top.yml")
    assert without_defaults(config) == {
        "num_classes": 3,
        "ResNet": {"depth": 34, "freeze_at": -1, "ch_in": 8},
        "epoch": 2,
    }


def test_later_bases_win_and_lists_are_replaced(tmp_path):
    (tmp_path / "one.yml").write_text("epoch: 1\nnum_classes: 4\nResNet: {return_idx: [0, 1]}\n")
    (tmp_path / "two.yml").write_text("epoch: 2\nResNet: {return_idx: [2]}\n")
    (tmp_path / "top.yml").write_text("_BASE_: [one.yml, two.yml]\n")
    assert without_defaults(load_config(tmp_path / "top.yml")) == {
        "epoch": 2,
        "num_classes": 4,
        "ResNet": {"return_idx": [2]},
    }


def test_set_changes_single_values():
    config = load_config(
        "mask_rcnn_r50_1x_coco",
        [
            "num_classes=3",
            "ResNet.depth=101",
            "BBoxPostProcess.nms.keep_top_k=7",
            "LearningRate.schedulers.0.steps=5",
            "RPNHead.anchor_generator.anchor_sizes=[8, 16]",
        ],
    )
    assert config.values["num_classes"] == 3
    assert config.values["ResNet"]["depth"] == 101
    assert config.values["BBoxPostProcess"]["nms"]["keep_top_k"] == 7
    assert config.values["LearningRate"]["schedulers"][0]["steps"] == 5
    assert config.values["RPNHead"]["anchor_generator"]["anchor_sizes"] == [8, 16]


def test_derived_values_may_be_repeated(build_tiny, tiny_text):
    build_tiny(tiny_text["c4"] + "RCNNBox: {num_classes: 3, prior_box_var: [10, 10, 5, 5]}\n")


def test_values_reach_the_parts(build_tiny, tiny_text):
    text = tiny_text["c4"].replace(
        "with_pool: true", "with_pool: true\n  bbox_weight: [1, 2, 3, 4]"
    )
    text = text.replace("use_random: false}", "use_random: false, ignore_thresh: 0.5}")
    model = build_tiny(text)
    assert tuple(model.bbox_head.bbox_weight) == (1, 2, 3, 4)
    assert tuple(model.bbox_post_process.decode.prior_box_var) == (1, 2, 3, 4)
    assert model.bbox_head.bbox_assigner.ignore_thresh == 0.5
    assert model.bbox_head.bbox_assigner.num_classes == 3
    assert model.rpn_head.rpn_target_assign.ignore_thresh == 0.5


def test_losses_are_parts_too(build_tiny, tiny_text):
    text = tiny_text["fpn"].replace("RPNHead:", "RPNHead:\n  loss_rpn_bbox: {name: GIoULoss}")
    text = text.replace("BBoxHead:", "BBoxHead:\n  bbox_loss: SmoothL1Loss")
    model = build_tiny(text + "SmoothL1Loss: {beta: 0.5}\n")
    assert type(model.rpn_head.loss_rpn_bbox).__name__ == "GIoULoss"
    assert model.bbox_head.bbox_loss.beta == 0.5


def test_a_tag_is_a_name():
    text = "LearningRate:\n  schedulers:\n  - !LinearWarmup {steps: 3}\n"
    assert parse_config(text).values["LearningRate"]["schedulers"] == (
        [{"name": "LinearWarmup", "steps": 3}]
    )


# ---- what does not: reading ------------------------------------------------------


def error_of(text, also_build=False):
    with pytest.raises(ConfigError) as caught:
        config = parse_config(text, "my.yml")
        if also_build:
            build_model(config)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # unknown keys: the place, the key, and the nearest valid one
        ("epoch: 1\nnum_clases: 3\n", ["my.yml, line 2", "num_clases", "num_classes?"]),
        ("ResNet:\n  depth: 50\n  norm_typ: bn\n", ["line 3", "ResNet.norm_typ", "norm_type?"]),
        (
            "RPNHead:\n  anchor_generator:\n    stride: [16]\n",
            ["line 3", "RPNHead.anchor_generator.stride", "strides?"],
        ),
        ("BoxHead: {}\n", ["line 1", "BoxHead", "BBoxHead?"]),
        # wrong types
        (
            "ResNet:\n  depth: fifty\n",
            ["line 2", "ResNet.depth", "a whole number", 'the text "fifty"'],
        ),
        ("ResNet:\n  depth: 50.5\n", ["ResNet.depth", "a whole number", "50.5"]),
        ("ResNet:\n  depth: true\n", ["ResNet.depth", "a whole number", "got true"]),
        ("ResNet:\n  return_idx: 2\n", ["ResNet.return_idx", "a list", "got 2"]),
        (
            "ResNet:\n  return_idx: [two]\n",
            ["line 2", "ResNet.return_idx.0", "a whole number", 'the text "two"'],
        ),
        ("BBoxHead:\n  with_pool: 1\n", ["BBoxHead.with_pool", "true or false", "got 1"]),
        ("ResNet: 50\n", ["line 1", "ResNet", "section", "got 50"]),
        ("num_classes: many\n", ["line 1", "num_classes", "a whole number", 'the text "many"']),
        ("RPNHead:\n  train_proposal: {nms_thresh: high}\n", ["line 2", "nms_thresh", "a number"]),
        # class names
        ("BBoxHead:\n  head: Res6Head\n", ["line 2", "BBoxHead.head", '"Res6Head"', "Res5Head?"]),
        ("MaskRCNN:\n  backbone: VGG\n", ["line 2", "MaskRCNN.backbone", "ResNet", '"VGG"']),
        (
            "BBoxPostProcess:\n  nms:\n    name: MatrixNMS\n",
            ["line 2", "BBoxPostProcess.nms", '"MatrixNMS"', "MultiClassNMS?"],
        ),
        ("architecture: FasterRCNN\n", ["line 1", "architecture", "MaskRCNN"]),
        # the same key twice
        ("epoch: 1\nResNet: {}\nepoch: 2\n", ["line 3", "epoch is there twice"]),
        ("ResNet:\n  depth: 50\n  depth: 101\n", ["line 3", "depth is there twice"]),
        # not a configuration
        ("ResNet: [1, 2\n", ["my.yml is not YAML", "line 2"]),
        ("just words\n", ["my.yml", "sections"]),
    ],
)
def test_a_mistake_is_named_with_its_line(text, words):
    message = error_of(text)
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    "text", ["ResNet:\n  depth: !python/none 5\n", "epoch: 2024-13-45\n", "{[1, 2]: 3}\n"]
)
def test_strange_yaml_is_a_config_error_too(text):
    assert "my.yml" in error_of(text)


# ---- what does not: building -----------------------------------------------------


def replaced(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        # impossible values: the constructor's own words, with the place
        ("depth: 10", "depth: 11", ["line 4", "ResNet.depth", "[10, 18, 34", "got 11"]),
        ("freeze_at: -1", "norm_type: batch", ["ResNet.norm_type", "bn, sync_bn, gn", "'batch'"]),
        ("anchor_sizes: [[8]", "anchor_sizes: [[-8]", ["RPNHead.anchor_generator.anchor_sizes"]),
        ("nms_thresh: 0.7", "nms_thresh: 1.7", ["RPNHead.train_proposal.nms_thresh", "1.7"]),
        ("batch_size_per_im: 16", "fg_fraction: 2.0", ["BBoxAssigner.fg_fraction", "0 .. 1"]),
        ("resolution: 4", "resolution: 0", ["BBoxHead.roi_extractor.resolution", "at least 1"]),
        ("num_classes: 3", "num_classes: 0", ["line 2", "num_classes", "at least 1"]),
        # contradictions
        (
            "batch_size_per_im: 16",
            "num_classes: 5",
            ["BBoxAssigner.num_classes", "5 contradicts 3", "leave it out"],
        ),
        ("{out_channel: 16}", "{in_channel: 9}", ["TwoFCHead.in_channel", "9 contradicts 8"]),
        (
            "strides: [4, 8, 16, 32, 64]",
            "strides: [4, 8, 16, 32, 32]",
            ["RPNHead.anchor_generator.strides", "[4, 8, 16, 32, 64]"],
        ),
        (
            "mask_resolution: 14",
            "mask_resolution: 28",
            ["MaskAssigner.mask_resolution", "14 cells, not 28"],
        ),
        (
            "mask_assigner:",
            "share_bbox_feat: true\n  mask_assigner:",
            ["MaskHead.share_bbox_feat", "Res5Head", "use false"],
        ),
    ],
)
def test_what_cannot_be_built_is_named_with_its_line(tiny_text, old, new, words):
    message = error_of(replaced(tiny_text["fpn"], old, new), also_build=True)
    for word in ["my.yml, line ", *words]:
        assert word in message, message


def test_a_contradiction_between_two_sections_is_found(tiny_text):
    # no shared value at the top: the box head would have 3 classes and all others 80
    text = tiny_text["fpn"].replace("num_classes: 3\n", "")
    message = error_of(replaced(text, "BBoxHead:", "BBoxHead:\n  num_classes: 3"), also_build=True)
    assert "num_classes" in message


# ---- obey or raise: sections and their two places --------------------------------


def test_a_section_counts_even_if_nobody_names_it(build_tiny, tiny_text):
    """PaddleDetection fills the slot ``bbox_assigner`` from the section of the default class."""
    text = tiny_text["fpn"].replace("  bbox_assigner: BBoxAssigner\n", "")
    assert build_tiny(text).bbox_head.bbox_assigner.batch_size_per_im == 16


def test_a_mask_section_counts_even_if_nobody_names_it(build_tiny, tiny_text):
    text = tiny_text["c4"].replace("  mask_assigner: MaskAssigner\n", "")
    assert build_tiny(text).mask_head.mask_assigner.mask_resolution == 8


def test_anchors_in_a_section_of_their_own(build_tiny, tiny_text):
    text = tiny_text["c4"].replace(
        "anchor_generator: {anchor_sizes: [16, 32], strides: [16]}",
        "anchor_generator: AnchorGenerator",
    )
    model = build_tiny(text + "AnchorGenerator: {anchor_sizes: [24], strides: [16]}\n")
    assert list(model.rpn_head.anchor_generator.anchor_sizes) == [24]


def test_a_pyramids_anchors_in_a_section_of_their_own(build_tiny, tiny_text):
    inline = re.search(r"  anchor_generator:\n(    .*\n)+", tiny_text["fpn"])[0]
    section = inline.replace("  anchor_generator", "AnchorGenerator").replace("    ", "  ")
    text = tiny_text["fpn"].replace(inline, "  anchor_generator: AnchorGenerator\n")
    assert build_tiny(text + section).rpn_head.anchor_generator.num_anchors == 3


def test_a_roi_extractor_in_a_section_of_its_own(build_tiny, tiny_text):
    text = tiny_text["c4"].replace(
        "roi_extractor: {resolution: 8, aligned: true}", "roi_extractor: RoIAlign"
    )
    model = build_tiny(text + "RoIAlign: {resolution: 8, aligned: true, sampling_ratio: 2}\n")
    assert model.bbox_head.roi_extractor.sampling_ratio == 2
    assert model.mask_head.roi_extractor.sampling_ratio == 2


@pytest.mark.parametrize(
    ("old", "new", "read"),
    [
        (
            "MaskHead:\n",
            "MaskHead:\n  head: {name: MaskFeat, num_convs: 2, out_channel: 8}\n",
            lambda m: len(m.mask_head.head.upsample) == 6,
        ),
        (
            "head: TwoFCHead\n",
            "head: {name: TwoFCHead, out_channel: 24}\n",
            lambda m: m.bbox_head.head.out_channel == 24,
        ),
        (
            "{backbone: ResNet, ",
            "{backbone: {depth: 18, ch_in: 8, ch_out_list: [8, 8, 16, 16]}, ",
            lambda m: len(m.backbone.res2) == 2,
        ),
        (
            "BBoxPostProcess: {",
            "BBoxPostProcess: {decode: {prior_box_var: [1, 1, 1, 1]}, ",
            lambda m: False,  # contradicts the box head's weights
        ),
    ],
    ids=["MaskFeat", "TwoFCHead", "ResNet", "RCNNBox"],
)
def test_a_section_written_in_place_is_obeyed_or_refused(build_tiny, tiny_text, old, new, read):
    text = replaced(tiny_text["fpn"], old, new)
    try:
        model = build_tiny(text)
    except ConfigError:
        return
    assert read(model)


def test_res5_written_in_place_is_obeyed_or_refused(build_tiny, tiny_text):
    text = replaced(
        tiny_text["c4"], "head: Res5Head", "head: {name: Res5Head, depth: 10, ch_out: 8}"
    )
    try:
        model = build_tiny(text)
    except ConfigError as error:
        assert "BBoxHead.head" in str(error)
        return
    assert type(model.bbox_head.head) is Res5Head and model.bbox_head.head.out_channel == 8


def test_one_scale_may_be_written_without_a_list(build_tiny, tiny_text):
    text = tiny_text["c4"].replace("{resolution: 8,", "{spatial_scale: 0.0625, resolution: 8,")
    assert build_tiny(text).bbox_head.roi_extractor.spatial_scale == [1 / 16]


def test_an_odd_resolution_of_the_shared_feature_is_rounded_up(build_tiny, tiny_text, make_batch):
    # Res5Head makes 4 cells of 7, and the mask head 8 of these
    text = tiny_text["c4"].replace("resolution: 8, aligned", "resolution: 7, aligned")
    model = build_tiny(text)
    model.train()
    assert model(make_batch(1)).mask_logits.shape[-1] == 8


def test_fewer_levels_than_the_extractor_expects_are_refused_or_work(
    build_tiny, tiny_text, make_batch, make_gt
):
    text = tiny_text["fpn"].replace("freeze_at: -1}", "freeze_at: -1, return_idx: [2, 3]}")
    text = text.replace("[[8], [16], [32], [48], [64]]", "[[16], [32], [64]]")
    text = text.replace("strides: [4, 8, 16, 32, 64]", "strides: [16, 32, 64]")
    text = text.replace("canonical_size: 56", "canonical_size: 28")
    try:
        model = build_tiny(text)
    except ConfigError as error:
        assert "end_level" in str(error)
        return
    model.train()
    boxes = [[0, 0, 60, 60], [10, 10, 20, 20]]  # one of the largest level, one of the smallest
    assert float(model(make_batch(1, gt=[make_gt(boxes)])).loss) > 0


# ---- files and --set -------------------------------------------------------------


def test_a_configuration_that_is_not_there():
    with pytest.raises(ConfigError) as caught:
        load_config("mask_rcnn_r50_2x_coco")
    assert "did you mean mask_rcnn_r50_1x_coco?" in str(caught.value)


def test_a_base_that_is_not_there(tmp_path):
    (tmp_path / "top.yml").write_text("epoch: 1\n_BASE_: nowhere.yml\n")
    with pytest.raises(ConfigError, match=r"top.yml, line 2.*nowhere.yml"):
        load_config(tmp_path / "top.yml")


def test_a_mistake_in_the_base_is_named_with_the_bases_line(tmp_path):
    (tmp_path / "base.yml").write_text("epoch: 1\nResNet:\n  dept: 50\n")
    (tmp_path / "top.yml").write_text("_BASE_: base.yml\n")
    with pytest.raises(ConfigError, match=r"base.yml, line 3: ResNet.dept.*did you mean depth\?"):
        load_config(tmp_path / "top.yml")


def test_bases_that_need_each_other(tmp_path):
    (tmp_path / "one.yml").write_text("_BASE_: two.yml\n")
    (tmp_path / "two.yml").write_text("_BASE_: one.yml\n")
    with pytest.raises(ConfigError, match="_BASE_"):
        load_config(tmp_path / "one.yml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("num_classes", ["--set num_classes", "KEY=VALUE"]),
        ("num_clases=3", ["--set num_clases=3", "num_classes?"]),
        ("ResNet.dept=50", ["--set ResNet.dept=50", "depth?"]),
        ("ResNet.depth=deep", ["--set ResNet.depth=deep", "a whole number"]),
        ("ResNet.depth.x=1", ["--set ResNet.depth.x=1"]),
        ("ResNet.depth.x.y=1", ["--set ResNet.depth.x.y=1", "'x'"]),
        ("LearningRate.schedulers.9.steps=5", ["schedulers.9.steps=5", "9"]),
        ("LearningRate.schedulers.9=5", ["schedulers.9=5"]),
        ("epoch=[1", ["--set epoch=[1"]),
        ("=3", ["--set =3"]),
    ],
)
def test_a_bad_set_is_named(text, words):
    with pytest.raises(ConfigError) as caught:
        load_config("mask_rcnn_r50_1x_coco", [text])
    for word in words:
        assert word in str(caught.value)


def test_an_impossible_value_of_set_is_named_when_building():
    config = load_config("shapes_fpn", ["ResNet.depth=19"])
    with pytest.raises(ConfigError, match=r"--set ResNet.depth=19: ResNet.depth"):
        build_model(config)


def test_an_impossible_learning_rate_is_named():
    config = parse_config("epoch: 1\nLearningRate: {base_lr: -1.0}\n", "my.yml")
    with pytest.raises(ConfigError, match=r"my.yml, line 2: LearningRate\.base_lr"):
        build(config, LearningRate)


def test_what_to_yaml_writes_is_plain_yaml():
    assert yaml.safe_load(parse_config(VALUES).to_yaml())["ResNet"]["depth"] == 50


# ---- values shared by several sections -------------------------------------------


def test_the_mask_resolution_may_stand_at_the_top(tiny_text):
    text = tiny_text["c4"].replace("MaskAssigner: {mask_resolution: 8}\n", "")
    assert build_model(parse_config(text + "mask_resolution: 8\n")).mask_head is not None
    with pytest.raises(ConfigError, match="draws 8 cells, not 14"):
        build_model(parse_config(text))
