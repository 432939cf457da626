"""What the benchmark counts, adds up and writes; never how long anything takes."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from benchmarks import (
    compare,
    comparison_report,
    growth,
    machine,
    measure,
    peers,
    process,
    table,
)
from benchmarks.cli import main
from benchmarks.networks_only import networks, record_calls, run_networks
from benchmarks.scene import moved_copies, write_scenes
from benchmarks.stopwatch import STAGES, Stopwatch, watched
from benchmarks.weights import STD
from benchmarks.work import Case, case_config, own_size, prepare, read_weights, read_work
from benchmarks.worker import Bench
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.inference.onednn import onednn_available
from maskrcnn_edu.model.boxes import bbox_overlaps
from maskrcnn_edu.model.mask_rcnn import stage

SMALL = (
    "ResNet.ch_in=8",
    "ResNet.ch_out_list=[8,8,16,16]",
    "FPN.out_channel=8",
    "TwoFCHead.out_channel=16",
    "MaskFeat.out_channel=8",
    "RPNHead.train_proposal.post_nms_top_n=60",
    "RPNHead.test_proposal.post_nms_top_n=40",
    "BBoxAssigner.batch_size_per_im=32",
    "BBoxPostProcess.nms.keep_top_k=10",
)
NETWORKS = {"backbone", "neck", "rpn_head", "bbox_head", "mask_head"}
TRAINING = {"rpn_target_assign", "bbox_assigner", "mask_assigner", "losses", "backward"}


def small(mode, batch=1):
    return Case("shapes_fpn", 64, batch, mode, SMALL)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The prepared work of one case of each mode."""
    made = {}
    for mode, batch in (("train", 2), ("predict", 1)):
        made[mode] = tmp_path_factory.mktemp(mode)
        prepare(small(mode, batch), made[mode])
    return made


@pytest.fixture
def bench(folders):
    """Mode -> a model and its work; compiled networks are put back at the end."""
    opened = []

    def make(mode):
        opened.append(Bench(read_work(folders[mode]), read_weights(folders[mode])))
        return opened[-1]

    yield make
    for each in opened:
        each.open.close()


# ---- the stopwatch ---------------------------------------------------------------


def test_a_stage_within_a_stage_stops_the_outer_one(monkeypatch):
    times = iter([0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr("benchmarks.stopwatch.now", lambda: next(times))
    watch = Stopwatch()
    with watch.stage("outer"), watch.stage("inner"):
        pass
    assert watch.seconds == {"outer": 1.0 + 4.0, "inner": 2.0}


def test_the_model_is_as_before_after_it_was_watched(tiny_fpn):
    extractor = tiny_fpn.bbox_head.roi_extractor
    with watched(tiny_fpn, Stopwatch()):
        assert "forward" in vars(extractor)
    from maskrcnn_edu.model import mask_rcnn

    assert mask_rcnn.stage is stage and "forward" not in vars(extractor)


def test_a_step_that_fails_leaves_no_stopwatch_behind(tiny_fpn):
    with pytest.raises(AttributeError), watched(tiny_fpn, Stopwatch()):
        tiny_fpn(None)
    assert "forward" not in vars(tiny_fpn.mask_head.roi_extractor)


# ---- images, boxes and weights ---------------------------------------------------


def test_every_drawn_object_is_made_of_polygons(tmp_path):
    dataset = write_scenes(tmp_path / "images", 64, 3, classes=4)
    assert len(dataset) == 3 and dataset.num_classes == 4 and not dataset.issues
    for sample in (dataset[i] for i in range(3)):
        assert len(sample.gt.segms) >= 3
        assert all(isinstance(s, list) for s in sample.gt.segms)


def test_moved_boxes_overlap_their_objects_by_more_than_half():
    boxes = np.array([[10, 10, 30, 50], [40, 5, 60, 15]], np.float32)
    moved = moved_copies(boxes, 200, size=64)
    overlaps = bbox_overlaps(paddle.to_tensor(moved), paddle.to_tensor(boxes)).numpy()
    own = overlaps[np.arange(200), np.arange(200) % 2]
    assert moved.shape == (200, 4) and own.min() > 0.65 and len(np.unique(moved, axis=0)) == 200


@pytest.mark.parametrize("config", ["shapes_c4", "photos_fpn", "mask_rcnn_r50_fpn_1x_coco"])
@pytest.mark.parametrize("mode", ["train", "predict"])
def test_a_case_reads_images_of_its_size(config, mode):
    made = case_config(Case(config, 96, 3, mode))
    reader = made.values["TrainReader" if mode == "train" else "EvalReader"]
    sizes = [s["Resize"]["target_size"] for s in reader["sample_transforms"] if "Resize" in s]
    assert sizes == [96] and reader["batch_size"] == 3
    assert not any("RandomResize" in step for step in reader["sample_transforms"])


def test_a_configuration_has_a_size_of_its_own():
    sizes = {name: own_size(load_config(name)) for name in ("shapes_fpn", "photos_fpn")}
    assert sizes == {"shapes_fpn": 128, "photos_fpn": 256}
    assert own_size(load_config("mask_rcnn_r50_1x_coco")) == 256  # its own 800 would take minutes


def test_what_is_read_is_what_was_prepared(folders):
    work = read_work(folders["train"])
    assert work.case == small("train", 2)
    assert work.batch.image.shape == [2, 3, 64, 64] and len(work.batch.gt) == 2
    (read,) = work.loader.epoch(0)
    assert (read.image == work.batch.image).all()
    for mine, theirs in zip(read.gt, work.batch.gt):
        assert (mine.boxes == theirs.boxes).all()
        assert all((a == b).all() for s, t in zip(mine.segms, theirs.segms) for a, b in zip(s, t))


def test_the_heads_outputs_have_the_deviation_that_was_asked_for(bench):
    worker = bench("predict")
    with paddle.no_grad():
        rpn = worker.model.rpn_head(worker.model.features(worker.work.batch.image))
        head = worker.model.rpn_head
        proposals = head.propose(rpn, worker.work.batch.im_shape, head.test_proposal)
        feats = worker.model.features(worker.work.batch.image)
        found = worker.model.bbox_head(
            worker.model.bbox_head.roi_feature(feats, [p.boxes for p in proposals])
        )
    assert float(rpn.scores.mean()) == pytest.approx(0, abs=1e-3)
    assert float(rpn.scores.std()) == pytest.approx(STD["score"], rel=1e-3)
    assert float(found.scores.std()) == pytest.approx(STD["class"], rel=0.1)


# ---- a step ----------------------------------------------------------------------


def test_a_training_step_has_all_its_rois_and_a_quarter_is_foreground(bench):
    worker = bench("train")
    worker.step()
    facts = worker.facts()
    assert (facts["rois"], facts["foreground"]) == (2 * 32, 2 * 8)
    assert np.isfinite(facts["loss"])


def test_a_prediction_finds_as_many_objects_as_it_may(bench):
    worker = bench("predict")
    worker.step()
    assert worker.facts()["detections"] == 10


def test_the_wait_for_data_is_the_time_until_the_loader_has_a_batch(bench, monkeypatch):
    """By a clock of its own, on which the loader needs 8, 4, and 2 seconds."""
    worker, epoch = bench("predict"), BatchLoader.epoch
    clock = SimpleNamespace(seconds=100.0)

    def slow_epoch(loader, number):
        assert len(loader.dataset) == 3  # the same image again and again
        for seconds, batch in zip((8.0, 4.0, 2.0), epoch(loader, number)):
            clock.seconds += seconds
            yield batch

    def run(watch):
        clock.seconds += 1000.0  # the step itself is no wait

    monkeypatch.setattr(BatchLoader, "epoch", slow_epoch)
    monkeypatch.setattr("benchmarks.worker.perf_counter", lambda: clock.seconds)
    monkeypatch.setattr(worker, "_run", run)
    assert worker.with_loader(2) == {"seconds": [4.0, 2.0]}  # nobody was ahead of the first


def test_every_step_has_the_same_work(bench):
    worker = bench("train")
    before = {k: v.numpy() for k, v in worker.model.state_dict().items()}
    worker.step()
    for name, value in worker.model.state_dict().items():
        assert (value.numpy() == before[name]).all(), name


@pytest.mark.parametrize(
    ("mode", "own"),
    [
        ("train", TRAINING | {"optimizer"}),
        ("predict", {"bbox_post_process", "mask_post_process"}),
    ],
)
def test_all_stages_are_there_and_add_up(bench, mode, own):
    step = bench(mode).step()
    assert set(step["stages"]) == NETWORKS | {"data", "proposals", "roi_align", "rest"} | own
    assert set(step["stages"]) <= set(STAGES)
    assert min(step["stages"].values()) > 0
    assert sum(step["stages"].values()) == pytest.approx(step["seconds"])


def test_the_floor_is_the_networks_and_nothing_else(bench):
    worker = bench("train")
    calls = record_calls(worker.model, worker.plain)
    called = {id(call.network) for call in calls}
    assert called == {id(network) for network in networks(worker.model)}
    scores = worker.model.rpn_head.rpn_rois_score
    assert sum(call.network is scores for call in calls) == 5  # once for each level
    (head,) = (call for call in calls if call.network is worker.model.bbox_head.head)
    assert head.inputs.shape == [2 * 32, 8, 7, 7]
    weight = worker.model.backbone.parameters()[0]
    assert run_networks(calls, backward=False) > 0 and weight.grad is None
    assert run_networks(calls, backward=True) > 0 and weight.grad.any()


def test_predicting_is_measured_compiled_where_that_is_possible(bench):
    worker = bench("predict")
    assert ("forward" in vars(worker.model.backbone)) == onednn_available()
    assert worker.networks_only()["seconds"] > 0


def test_waits_and_pieces(bench):
    worker = bench("train")
    syncs = worker.syncs()
    assert (
        any(place.startswith("model/bbox/head.py") for place in syncs) and min(syncs.values()) >= 1
    )
    assert not any(place.startswith("benchmarks/") for place in syncs)  # the look changes nothing
    assert worker.paste()["seconds"] > 0 and worker.mask_targets()["seconds"] > 0


def test_growth_puts_as_many_objects_as_asked_for(folders):
    gt = growth.scattered(500, 128)
    boxes = gt.boxes.numpy()
    assert len(gt) == 500 and boxes.min() >= 0 and boxes.max() <= 128
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_growth_reports_every_stage_between_the_networks(monkeypatch):
    seen = []

    def fake(point):
        seen.append(point)
        return {"proposals": point.rois / 1000, "backbone": 1.0}

    monkeypatch.setattr(growth, "_measure", fake)
    (rois,) = [axis for axis in growth.AXES if axis.quantity == "rois"]
    (grown,) = growth.measure_growth([rois], lambda text: None)
    assert [p.rois for p in seen] == list(rois.values) and {p.size for p in seen} == {256}
    assert grown.stages["proposals"] == [0.064, 0.128, 0.256, 0.512]
    assert "backbone" not in grown.stages
    (line,) = [x for x in growth.report([grown]).splitlines() if x.startswith("| proposals")]
    assert line.endswith("| 64.0 ms | 128 ms | 256 ms | 512 ms | 8.0 | 8 |")


# ---- processes -------------------------------------------------------------------

ECHO = "import sys, json\nfor l in sys.stdin: print(json.dumps({'got': json.loads(l)}), flush=True)"


def test_a_worker_answers_calls_and_ends_its_process():
    with process.Worker("echo", [sys.executable, "-c", ECHO], os.environ) as echo:
        assert echo.call("work", folder="x") == {"got": {"do": "work", "folder": "x"}}
        assert echo.call("more") == {"got": {"do": "more"}}
    assert echo.process.poll() is not None


def test_a_process_that_ends_is_quoted():
    dying = "import sys; sys.exit('no module named ppdet')"
    with (
        process.Worker("--peer py", [sys.executable, "-c", dying], os.environ) as dead,
        pytest.raises(ValueError, match="--peer py ended at 'load': no module named ppdet"),
    ):
        dead.call("load")


def test_a_program_that_is_none_is_an_error(tmp_path):
    with pytest.raises(OSError, match="cannot be started"):
        process.Worker("peer", [str(tmp_path)], os.environ)


def test_another_process_begins_as_this_one_did():
    """The package tells its own process about AMD processors; the peer's must not hear of it."""
    say = (
        "import os, maskrcnn_edu; from benchmarks.machine import plain_environment;"
        "os.environ['MKL_DEBUG_CPU_TYPE'] = '5';"  # as the package does on an AMD processor
        "print(sorted(plain_environment().items() & {('MKL_DEBUG_CPU_TYPE', '5')}),"
        "plain_environment().get('OMP_NUM_THREADS'), plain_environment(3)['OMP_NUM_THREADS'])"
    )
    clean = {k: v for k, v in os.environ.items() if k not in machine.SET_BY_US}
    chosen = {**clean, "MKL_DEBUG_CPU_TYPE": "5", "OMP_NUM_THREADS": "1"}
    answers = [
        subprocess.run([sys.executable, "-W", "ignore", "-c", say], env=env, text=True,
                       capture_output=True, check=True).stdout.strip()
        for env in (clean, chosen)
    ]  # fmt: skip
    kept = "[('MKL_DEBUG_CPU_TYPE', '5')] 1 3"
    assert answers == ["[] None 3" if sys.platform == "linux" else answers[0], kept]


def test_a_peer_is_told_what_the_package_tells_its_own_process(monkeypatch):
    monkeypatch.setattr("os.environ", {"MKL_DEBUG_CPU_TYPE": "5", "HOME": "/"})
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    memory = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "268435456"}
    assert machine.our_variables() == {"MKL_DEBUG_CPU_TYPE": "5", **memory}
    monkeypatch.setattr("os.environ", {"MALLOC_TRIM_THRESHOLD_": "1"})  # the user's, for all
    assert machine.our_variables() == {}


def test_the_machine_says_what_it_is():
    facts = machine.describe()
    assert facts["paddle"] == paddle.__version__ and facts["cores"] >= 1 and facts["processor"]
    peak = machine.peak_memory()["peak_memory"]
    assert peak is None or 2**27 < peak < 2**36  # an imported Paddle takes 128 MB at least


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_the_memory_of_a_process_does_not_begin_with_that_of_its_parent():
    block = np.ones(2**28, np.uint8)  # 256 MB more than is needed to load Paddle
    ours = machine.peak_memory()["peak_memory"]
    ask = "from benchmarks.machine import peak_memory; print(peak_memory()['peak_memory'])"
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ask], text=True, capture_output=True, check=True
    )
    assert block.all() and 2**27 < int(answer.stdout) < ours - 2**27


# ---- the peer --------------------------------------------------------------------

FAKE_PEER = """
import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    answer = {"seconds": 1e6}
    if request["do"] == "load":
        assert request["config"]["MaskRCNN"]["backbone"] == "ResNet", request
        assert request["optimizer"]["kind"] == "AdamW" and request.get("device", "cpu") == "cpu"
        work = json.load(open(request["folder"] + "/work.json"))
        assert "backbone.conv1.conv1.conv.weight" not in work["frozen"]  # shapes train everything
        with open(sys.argv[1], "a") as log:
            log.write(work["case"]["mode"] + "\\n")
        answer = {}
    if request["do"] == "outputs":
        answer = {"RPN scores": [1e6, 2.0]}
    if request["do"] == "facts":
        answer = {"rois": 7, "peak_memory": 2 ** 40, "base_memory": 2 ** 39,
                  "peak_gpu_memory": None, "threads": int(os.environ.get("OMP_NUM_THREADS", 1))}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def fake_peer(tmp_path, monkeypatch):
    """A peer that needs a million seconds for everything; answers the file it writes to."""
    script = tmp_path / "fake_peer.py"
    script.write_text(FAKE_PEER)
    monkeypatch.setattr(peers.PaddleDetection, "worker", script)
    monkeypatch.setattr(peers.PaddleDetection, "changes", lambda self, name: SMALL)
    log = tmp_path / "ppdet"
    log.touch()
    return log


def test_both_sides_take_turns_and_every_pair_has_a_ratio(fake_peer, monkeypatch):
    clean = {k: v for k, v in os.environ.items() if k not in machine.SET_BY_US}
    monkeypatch.setattr(
        compare, "plain_environment",
        lambda threads: clean | ({"OMP_NUM_THREADS": str(threads)} if threads else {}),
    )  # fmt: skip
    monkeypatch.setattr(compare, "our_variables", lambda: {"MKL_DEBUG_CPU_TYPE": "5"})
    plan = compare.Plan(peers.PaddleDetection(sys.executable, str(fake_peer)), pairs=2)
    lines = []
    cases = [Case("shapes_fpn", 64, mode=mode) for mode in ("train", "predict")]
    found = compare.compare_all(cases, plan, lines.append)
    counts = sorted({machine.num_cores(), 1}, reverse=True)
    # one process as installed, and for each number of threads, with our variables and without
    loads = ["train"] * (1 + 2 * len(counts)) + ["predict"] * (1 + 2 * len(counts))
    assert fake_peer.read_text().splitlines() == loads
    # ours, the peer's: each with its own, then both with the same
    every = [(compare.INSTALLED, (counts[0], 1))]
    every += [(name, (n, n)) for name in (compare.THREADS, compare.SAME) for n in counts]
    expected = [(what, *one) for what in ("train", "paste", "mask targets") for one in every]
    expected += [("predict", *one) for one in every]
    expected += [("predict, neither compiled", *every[-1])]
    timed = [c for c in found if "memory" not in c.what]  # which Windows does not say
    assert [(c.what, c.setting, c.threads) for c in timed] == expected
    for c in found:
        assert len(c.ours) == len(c.peer) == (1 if "memory" in c.what else 2)
        assert len(c.ratios) == len(c.ours) and max(c.ratios) < 1
        assert c.ratios[0] == c.ours[0] / c.peer[0]
        assert "memory" not in c.what or c.peer == [2**39]  # above what the libraries take
    text = comparison_report.report(found)
    assert text.count("\n- shapes_fpn, 64 pixels, batch 1, train: ") == 1
    assert "ours 32 rois, 8 foreground" in text and "PaddleDetection 7 rois" in text
    assert "beside PaddleDetection, on both sides with `--set ResNet.ch_in=8" in text
    assert "are apart by so much of the latter: RPN scores 5e+07 %" in text  # (1e6 - 0) / 2
    (head,) = [line for line in text.splitlines() if line.endswith("| memory |")]
    columns = [column.strip() for column in head.split("|")]
    titles = [f"{name}, {a} : {b}" for name, (a, b) in reversed(every)]
    assert columns[6:-2] == titles  # the strictest is read first
    json.dumps([compare.as_json(c) for c in found])


@pytest.mark.parametrize(
    ("seconds", "times"), [(1e6, 1), (0.6, 1), (0.5, 2), (0.2, 3), (0.05, 11), (0.001, 11)]
)
def test_short_work_is_done_several_times_in_a_turn(seconds, times):
    assert compare.in_a_turn(seconds) == times


def test_the_first_of_several_times_does_not_count():
    answers = iter([9.0, 1.0, 3.0, 7.0])
    worker = SimpleNamespace(call=lambda work: {"seconds": next(answers)})
    assert compare._turn(worker, "plain", 3) == 2.0  # (1 + 3) / 2
    assert compare._turn(worker, "plain", 1) == 7.0


def test_fewer_threads_mean_fewer_settings():
    assert [s.name for s in compare.settings(3)] == [compare.THREADS, compare.SAME]
    assert {s.threads for s in compare.settings(3)} == {3}
    strictest = compare.settings(None)[-1]
    assert (strictest.name, strictest.threads, strictest.shared) == (compare.SAME, 1, True)


def compared(what, ours, peer, first=(0.0, 0.0)):
    facts = {"ours": {}, "peer": {}}
    return compare.Compared(
        Case("shapes_fpn", 64, mode="predict"), what, "torchvision", compare.SAME,
        ours, peer, first, facts, (1, 1),
    )  # fmt: skip


def test_compiling_is_repaid_after_what_it_costs_over_what_it_gains():
    compiled = compared("predict", [0.2, 0.1, 0.1], [1.0] * 3, first=(3.1, 1.0))
    plain = compared("predict, neither compiled", [0.6, 0.4, 0.4], [1.0] * 3)
    # 3.1 - 0.1 s, and 0.4 - 0.1 s for each image
    assert "takes 3.00 s the first time, and is repaid after 10 times" in (
        comparison_report.repaid(compiled, plain)
    )
    slower = compared("predict, neither compiled", [0.1] * 3, [1.0] * 3)
    assert "is never repaid" in comparison_report.repaid(compiled, slower)


def test_networks_are_apart_by_the_larger_difference_over_the_spread():
    both = {"ours": {"features": [0.5, 2.0], "box deltas": [0.0, 4.0]},
            "peer": {"features": [0.25, 2.0], "box deltas": [0.0, 5.0]}}  # fmt: skip
    line = comparison_report.same_outputs(replace(compared("predict", [1], [1]), outputs=both))
    # (0.5 - 0.25) / 2 and (5 - 4) / 5
    assert line.endswith("features 12 %, box deltas 20 %")


@pytest.mark.parametrize("name", ["shapes_fpn", "shapes_c4", "mask_rcnn_r50_1x_coco"])
def test_torchvision_gets_all_sections_that_it_asks_for(name):
    peer = peers.TorchVision("python")
    work = peer.work(Case(name, 128, mode="train"), "folder")
    has_neck = "neck" in work["config"]["MaskRCNN"]
    assert {"MaskFeat", "TwoFCHead" if has_neck else "Res5Head"} <= set(work["config"])
    assert peer.changes(name) == () and "device" not in work
    json.dumps(work)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("shapes_fpn", True),
        ("shapes_c4", True),
        ("photos_fpn", True),
        ("mask_rcnn_r50_fpn_1x_coco", False),
        ("mask_rcnn_r50_1x_coco", False),
    ],
)
def test_the_peer_gets_only_what_it_can_build(name, changed):
    peer = peers.PaddleDetection("python")
    changes = peer.changes(name)
    assert bool(changes) == changed
    config = load_config(name, changes)
    theirs = peer.work(Case(name, 128, changes=changes), "folder")["config"]
    assert theirs["ResNet"]["depth"] >= 18 and theirs["ResNet"]["norm_type"] == "bn"
    assert "ch_out_list" not in theirs["ResNet"] and "cls_agnostic" not in theirs["BBoxHead"]
    assert not {"TrainReader", "LearningRate", "OptimizerBuilder"} & set(theirs)
    json.dumps([theirs, peers.optimizer_values(config)])


@pytest.mark.parametrize("name", ["peer_worker", "torchvision_worker", "torchvision_model",
                                  "torchvision_weights"])  # fmt: skip
def test_the_peers_workers_import_nothing_of_ours(name):
    text = (peers.FOLDER / f"{name}.py").read_text(encoding="utf-8")
    imports = re.findall(r"^ *(?:from|import) (\w+)", text, re.MULTILINE)
    assert len(imports) > 5 and not {"maskrcnn_edu", "benchmarks"} & set(imports)


# ---- the command -----------------------------------------------------------------


def test_the_command_measures_in_a_process_of_its_own(tmp_path, capsys):
    file = tmp_path / "bench.json"
    sets = [word for change in SMALL for word in ("--set", change)]
    command = ["--config", "shapes_fpn", "--size", "64", "--mode", "predict"]
    assert main([*command, "--repeat", "2", "--threads", "1", "--json", str(file), *sets]) == 0
    out = capsys.readouterr()
    content = json.loads(file.read_text(encoding="utf-8"))
    (case,) = content["cases"]
    assert content["machine"]["threads"] == 1 and case["case"]["size"] == 64
    assert len(case["seconds"]) == len(case["bare"]) == 2 and min(case["bare"]) > 0
    for number, total in enumerate(case["seconds"]):
        parts = sum(times[number] for times in case["stages"].values())
        assert parts == pytest.approx(total)
    assert case["counts"]["detections"] == 10 and case["not_network"] < 1
    assert "### shapes_fpn, 64 pixels, batch 1, predict" in out.out
    assert all(f"| {STAGES[name]} |" in out.out for name in case["stages"])
    assert "1 of 1" in out.err and "1 of 1" not in out.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--config", "shapes_fnp"], "there is no configuration 'shapes_fnp'"),
        (["--size", "20"], "--size must be from 64 to 2048 pixels, got 20"),
        (["--batch", "0"], "--batch must be at least 1 image, got 0"),
        (["--repeat", "0"], "--repeat must be at least 1, got 0"),
        (["--threads", "-1"], "--threads must be at least 1, got -1"),
        (["--pairs", "0"], "--pairs must be at least 1, got 0"),
        (["--peer", "no/such/python"], "--peer no/such/python: there is no such program"),
        (["--peer-torchvision", "no/such/python"], "--peer-torchvision no/such/python: there is"),
        (["--peer-code", "."], "--peer-code needs --peer"),
        (["--peer", sys.executable, "--peer-code", "tests"], "there is no folder ppdet in it"),
        (["--peer", sys.executable, "--growth"], "give one of them"),
        (["--json", "no/such/folder/x.json"], "--json no/such/folder/x.json: there is no such"),
        (["--set", "ResNet.dept=50"], "unknown key of ResNet"),
    ],
)
def test_bad_input_is_one_line(options, words, capsys):
    assert main([*options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_an_environment_without_paddledet_is_one_line(capsys):
    options = ["--config", "shapes_fpn", "--size", "64", "--pairs", "1", "--mode", "train"]
    assert main(["--peer", sys.executable, *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("benchmarks: --peer") and error.endswith(
        "ended at 'load': ModuleNotFoundError: No module named 'ppdet'" + peers.PaddleDetection.fix
    )


def test_tables_and_times():
    assert table.seconds(0.01234) == "12.3 ms" and table.seconds(2.0) == "2.00 s"
    assert table.median_range([0.003, 0.001, 0.002]) == "2.00 ms (1.00 ms..3.00 ms)"
    assert table.megabytes(3 * 2**20) == "3 MB" and table.megabytes(None) == "unknown"
    assert table.table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_the_share_that_is_not_the_network():
    measured = measure.Measured(
        small("train"), [4.0, 2.0, 3.0], {}, [1.5, 1.5, 9.0], [0.0], {}, 7, {}, None, None
    )
    assert measured.outside_networks == pytest.approx(0.5)
    values = measure.as_json(measured)  # the keys that programs know
    assert (values["bare"], values["waited"]) == ([1.5, 1.5, 9.0], [0.0])
    assert values["not_network"] == pytest.approx(0.5)


def test_the_share_of_the_stages_between_the_networks():
    stages = {"data": [0.2, 0.1, 0.3], "proposals": [0.1] * 3, "backward": [2.0] * 3}
    measured = measure.Measured(
        small("train"), [4.0, 2.0, 3.0], stages, [1.0], [0.0], {}, 7, {}, None, None
    )
    assert measured.non_network == pytest.approx(0.1)
    assert measure.as_json(measured)["between"] == pytest.approx(0.1)
