"""A notebook notices a bug by a number that it prints, not by a source text or an exception."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools.mutation import executed, first_changed_number, numbers, prints_source, source_printers


def cell(code, text="", number=1, **output):
    """A code cell that printed a text, or has another output."""
    outputs = [new_output("stream", name="stdout", text=text)] if text else []
    outputs += [new_output("display_data", data=output)] if output else []
    return new_code_cell(code, outputs=outputs, execution_count=number)


def notebook(*cells):
    return new_notebook(cells=list(cells))


def test_numbers_are_read_from_text_in_order():
    assert numbers(cell("", "a 1.5, -2 (1e-05) nan\n")) == ["1.5", "-2", "1e-05", "nan"]
    assert numbers(cell("", **{"text/plain": "[3, 4]"})) == ["3", "4"]


def test_numbers_of_images_and_widgets_are_not_printed():
    figure = {"text/plain": "<Figure size 640x480>", "image/png": "aGVsbG8="}
    widget = {"text/plain": "Image(value=7)", "application/vnd.jupyter.widget-view+json": {}}
    assert numbers(cell("", **figure)) == numbers(cell("", **widget)) == []


def test_the_first_other_number_is_told():
    stored = notebook(cell("a", "1 2"), cell("b", "3 4"))
    assert first_changed_number(stored, stored.cells) == ""
    assert first_changed_number(stored, [cell("a", "1 2"), cell("b", "3 5")]) == "cell 1: 4 -> 5"
    assert first_changed_number(stored, [cell("a", "1 2"), cell("b", "3")]) == (
        "cell 1: 4 -> nothing"
    )


def test_other_words_are_no_numbers():
    stored = notebook(cell("a", "right: 1"))
    assert first_changed_number(stored, [cell("a", "not yet: 1")]) == ""


def test_a_source_text_does_not_count():
    code = "print(inspect.getsource(f), 1)"
    assert first_changed_number(notebook(cell(code, "x + 1")), [cell(code, "x + 2")]) == ""


def test_functions_that_print_sources_are_known_by_what_they_call():
    printing = notebook(
        cell("def body(f):\n    return inspect.getsource(f)\ndef other(f):\n    return f(1)"),
        cell("%matplotlib inline\nprint(body(nms))"),
    )
    printers = source_printers(printing)
    assert printers == {"getsource", "diff", "body"}
    assert prints_source("print(body(nms))", printers) and prints_source("bug.diff()", printers)
    assert not prints_source("other(nms)\nbody = 1", printers)


def test_what_is_not_reached_does_not_count():
    stored = notebook(cell("a", "1"), cell("b", "2"), cell("c", "3"))
    assert first_changed_number(stored, [cell("a", "1")]) == ""
    assert first_changed_number(stored, [cell("a", "7")]) == "cell 0: 1 -> 7"


@pytest.mark.parametrize("bug", ["", "iou_plus_one"])
def test_a_kernel_meets_the_bug(tmp_path, bug):
    code = (
        "import paddle\nfrom maskrcnn_edu.model.boxes import bbox_overlaps\n"
        "box = paddle.to_tensor([[0.0, 0, 2, 2]])\n"
        "print(float(bbox_overlaps(box, box + 1)[0, 0]))"
    )
    stored = notebook(cell("x = 1"), cell(code), cell("1 / 0"), cell("print(5)"))
    cells = list(executed(stored, tmp_path / "a.ipynb", bug))
    assert len(cells) == 2  # nothing counts from the exception on
    # 1 of 7 pixels; with + 1 everywhere, 4 of 14
    assert float(numbers(cells[1])[0]) == pytest.approx(4 / 14 if bug else 1 / 7)
