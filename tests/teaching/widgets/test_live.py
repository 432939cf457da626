"""The picture that changes while a model trains."""

from matplotlib.figure import Figure

from maskrcnn_edu.teaching.course import load_course
from maskrcnn_edu.teaching.widgets.live import LiveTraining


def test_it_trains_and_looks_at_the_model_of_that_step():
    course = load_course("shapes_c4")
    model = course.new_model()
    modes, seen = [], []

    def picture(now):
        weight = float(now.rpn_head.rpn_rois_score.weight.abs().sum())
        modes.append(now.training)
        seen.append(weight)
        figure = Figure(figsize=(2, 2))
        figure.text(0, 0, f"{weight:.9f}")
        return figure

    names = ["loss_rpn_cls", "loss_rpn_reg"]
    live = LiveTraining(model, course.loader(), course.config(), 3, names, picture)
    assert live.frames == [] and live.image.value == b""
    live.run()
    assert live.labels == ["step 0", "step 1", "step 2", "step 3"]
    assert len(set(seen)) == 4 and len(set(live.frames)) == 4  # the weights moved, and it shows
    assert live.image.value == live.frames[-1]
    assert modes == [False] * 4 and not model.training
    assert len(live.history) == 3 and set(names) < set(live.history[0])
    assert live.bar.value == 3


def test_the_curves_are_those_of_the_losses():
    course = load_course("shapes_c4")
    live = LiveTraining(course.new_model(), course.loader(), course.config(), 2,
                        ["loss_mask"], lambda model: Figure(figsize=(1, 1)))  # fmt: skip
    live.run()
    drawn = live.draw_curves()
    (line,) = drawn.axes[0].lines
    assert line.get_label() == "loss_mask"
    assert list(line.get_ydata()) == [step["loss_mask"] for step in live.history]
