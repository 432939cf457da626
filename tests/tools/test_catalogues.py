"""The catalogues hold a translation of every passage, and a changed sentence is noticed."""

import pytest

from tools import catalogues
from tools.catalogues import catalogue_of, faults, sources, update


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_every_passage_is_translated(path):
    assert faults(path) == []


@pytest.fixture
def text(tmp_path, monkeypatch):
    """A text with a translated catalogue."""
    monkeypatch.setattr(catalogues, "ROOT", tmp_path)
    path = tmp_path / "README.md"
    path.write_text("A first sentence that is long enough.\n\nA second one.\n", encoding="utf-8")
    update(path)
    place = catalogue_of(path)
    filled = place.read_text(encoding="utf-8")
    for english, chinese in (("long enough.", "够长的一句。"), ("second one.", "第二句。")):
        filled = filled.replace(f'{english}"\nmsgstr ""', f'{english}"\nmsgstr "{chinese}"')
    place.write_text(filled, encoding="utf-8")
    assert faults(path) == []
    return path


def test_a_changed_sentence_is_a_fault_until_it_is_translated_anew(text):
    text.write_text("A first sentence that was long enough.\n\nA second one.\n", encoding="utf-8")
    assert len(faults(text)) == 2  # one lacks, one is gone
    update(text)
    (fault,) = faults(text)
    assert "not translated, or fuzzy: 'A first sentence that was" in fault
    place = catalogue_of(text)
    written = place.read_text(encoding="utf-8")
    assert "够长的一句。" in written  # the old one, for whoever translates
    place.write_text(written.replace("#, fuzzy\n", ""), encoding="utf-8")
    assert faults(text) == []


def test_a_sentence_that_is_gone_leaves_the_catalogue(text):
    text.write_text("A second one.\n", encoding="utf-8")
    assert "no longer in the text" in faults(text)[0]
    update(text)
    assert faults(text) == []
    assert "够长" not in catalogue_of(text).read_text(encoding="utf-8")


def test_a_catalogue_that_is_not_there_is_a_fault(text):
    catalogue_of(text).unlink()
    assert "tools.catalogues update" in faults(text)[0]
