"""A bar where it can be redrawn, lines where it cannot."""

import sys

import pytest
from tqdm import tqdm

from maskrcnn_edu.system import progress as module
from maskrcnn_edu.system.progress import ProgressLines, progress, with_progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds, to be moved by hand."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_four_minutes_are_a_line_every_ten_seconds(clock, capsys):
    with ProgressLines(240, unit="s") as bar:
        for _ in range(480):
            clock[0] += 0.5
            bar.set_postfix({"step": bar.n, "loss": "0.5"})
            bar.update(0.5)
    written = capsys.readouterr()
    lines = written.err.splitlines()
    assert len(lines) == 24 and "\r" not in written.err and written.out == ""
    assert lines[0].startswith("4% 10.0/240 [00:10<03:50") and lines[0].endswith("loss=0.5]")
    assert lines[-1].startswith("100% 240.0/240 [04:00<00:00")


def test_the_end_is_said_once_and_what_is_quick_says_nothing_else(clock, capsys):
    with ProgressLines(3, unit="image") as bar:
        for _ in range(3):
            bar.update()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("100% 3/3 [00:00<")
    with ProgressLines(3, leave=False, unit="image") as bar:
        bar.update()
    with ProgressLines(3, unit="image"):
        pass
    assert capsys.readouterr().err == ""


def test_a_download_has_a_name_and_goes_on(clock, capsys):
    with ProgressLines(2_000_000, initial=500_000, unit="B", unit_scale=True, desc="w.zip") as bar:
        clock[0] += 10
        bar.update(500_000)  # half of it, a third of them now: 50 kB a second
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "w.zip:  50% 1.00M/2.00M [00:10<00:20, 50.0kB/s]"


def test_lines_of_both_streams(capsys):
    bar = ProgressLines(3, unit="s")
    bar.write("to stdout")
    bar.write("to stderr", file=sys.stderr)
    assert capsys.readouterr() == ("to stdout\n", "to stderr\n")


@pytest.mark.parametrize(
    ("terminal", "visible", "kind"),
    [(True, True, tqdm), (False, True, ProgressLines), (True, False, tqdm), (False, False, tqdm)],
)
def test_where_it_goes_decides(monkeypatch, capsys, terminal, visible, kind):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress(4, visible, unit="image") as bar:
        assert type(bar) is kind and bar.disable == (not visible)
        bar.update(4)
    error = capsys.readouterr().err
    assert ("\r" in error) == (terminal and visible) and bool(error) == visible


def test_rows_come_as_they_are(clock, capsys):
    seen = []
    for row in with_progress("abc", "image"):
        seen.append(row)
        clock[0] += 6
    assert seen == ["a", "b", "c"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("67% 2/3 [00:12<00:06")
