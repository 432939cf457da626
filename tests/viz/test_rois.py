from matplotlib.colors import same_color

from maskrcnn_edu.structures import RoISamples
from maskrcnn_edu.viz.figure_facts import figure_boxes, figure_facts
from maskrcnn_edu.viz.rois import draw_roi_samples
from maskrcnn_edu.viz.style import colour

NAMES = ["tent", "ring"]


def test_facts(image, samples, scene):
    figure = draw_roi_samples(image, samples, NAMES, scene)
    assert figure_facts(figure) == {
        "added": 2, "background": 1, "crowd": 1, "foreground": 2, "gt": 2, "label": 3
    }  # fmt: skip
    assert figure_boxes(figure, "foreground") == samples.boxes[:2].tolist()
    assert figure_boxes(figure, "added") == samples.boxes[2:4].tolist()
    assert figure_boxes(figure, "background") == samples.boxes[4:5].tolist()
    (box,) = figure.legends
    assert [t.get_text() for t in box.get_texts()] == [
        "tent 2", "ring 2", "background 1", "of these, added 2", "annotated 3",
        "not trained on 1",
    ]  # fmt: skip


def test_foreground_has_the_colour_of_its_class_and_added_ones_are_dashed(image, samples, scene):
    patches = draw_roi_samples(image, samples, NAMES, scene).axes[0].patches
    foreground = [p for p in patches if p.get_gid() == "foreground"]
    for label, patch in enumerate(foreground):
        assert same_color(patch.get_edgecolor(), colour(label))
    assert {p.get_linestyle() for p in patches if p.get_gid() == "added"} == {"--"}
    assert {p.get_linestyle() for p in foreground} == {"-"}


def test_an_added_box_can_be_background(image, samples, scene):
    labels = samples.target_labels * 0 + 2
    all_background = RoISamples(
        samples.boxes, labels, samples.gt_boxes, samples.gt_index, samples.proposal_index
    )
    counts = figure_facts(draw_roi_samples(image, all_background, NAMES, scene))
    assert counts["background"] == 4 and counts["added"] == 2 and "foreground" not in counts


def test_nothing_sampled_and_nothing_annotated(image, samples, no_objects):
    fields = (samples.boxes, samples.target_labels, samples.gt_boxes, samples.gt_index)
    none = RoISamples(*(v[:0] for v in (*fields, samples.proposal_index)))
    assert figure_facts(draw_roi_samples(image, none, NAMES, no_objects)) == {}
