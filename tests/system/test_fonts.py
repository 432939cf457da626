"""Which installed fonts have Chinese letters."""

import sys
from types import SimpleNamespace

from matplotlib import font_manager

from maskrcnn_edu.system import doctor, fonts


def test_fonts_for_simplified_chinese_come_first(monkeypatch):
    names = ("DejaVu Sans", "SimHei", "Noto Sans CJK JP", "Noto Sans CJK SC")
    entries = [SimpleNamespace(name=name) for name in names]
    monkeypatch.setattr(font_manager, "fontManager", SimpleNamespace(ttflist=entries))
    assert fonts.chinese_fonts() == ("Noto Sans CJK SC", "Noto Sans CJK JP", "SimHei")


def test_a_font_that_matplotlib_has_not_listed_yet_is_found(monkeypatch):
    entries = [SimpleNamespace(name="DejaVu Sans", fname="old.ttf")]

    def add(path):
        if path == "broken.ttf":
            raise RuntimeError("no font")
        entries.append(SimpleNamespace(name="SimHei", fname=path))

    manager = SimpleNamespace(ttflist=entries, addfont=add)
    monkeypatch.setattr(font_manager, "fontManager", manager)
    there = ["old.ttf", "broken.ttf", "new.ttf"]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: there)
    monkeypatch.setattr(fonts, "_looked", [])
    assert doctor.collect_facts().fonts == ("SimHei",)
    assert [entry.fname for entry in entries] == ["old.ttf", "new.ttf"]


def test_the_doctor_comes_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.font_manager", None)
    assert doctor.collect_facts().fonts == []
