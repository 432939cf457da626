"""Reading text: encodings that Windows programs leave, and what a value is in words."""

import math

import pytest

from maskrcnn_edu.system.text_files import (
    describe_value,
    finite_number,
    read_json,
    read_text,
    whole_number,
)

TEXT = '{"name": "狗窝"}'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_unicode_is_read_with_and_without_a_mark(tmp_path, encoding):
    (tmp_path / "a.json").write_bytes(TEXT.encode(encoding))
    assert read_json(tmp_path / "a.json") == {"name": "狗窝"}


def test_lines_end_as_they_do_here(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert read_text(tmp_path / "a.txt") == "one\ntwo\n"


@pytest.mark.parametrize(
    "data, name",
    [("\n狗窝 ".encode("gbk"), "GBK"), ("\nbeaut\u00e9 \u00a3".encode("cp1252"), "Windows-1252")],
)
def test_other_encodings_are_named_with_file_line_and_fix(tmp_path, data, name):
    (tmp_path / "mine.yml").write_bytes(data)
    with pytest.raises(
        ValueError, match=rf"mine.yml: line 2 is not UTF-8 \(it may be {name}\)"
    ) as e:
        read_text(tmp_path / "mine.yml")
    assert "save it as UTF-8" in str(e.value)


def test_half_a_letter_of_utf_16(tmp_path):
    (tmp_path / "a.json").write_bytes(TEXT.encode("utf-16")[:-1])
    with pytest.raises(ValueError, match="is not UTF-16-LE.*save it as UTF-8"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "text, problem",
    [
        ('{"a": 1,}', "line 1, column 8|line 1, column 9"),
        ("", "the file is empty"),
        ("[" * 200_000, "nested too deeply|not JSON"),
        ("1" * 5000, "not JSON|5000 digits"),
        ("<!DOCTYPE html>", r"not JSON \(line 1, column 1"),
    ],
)
def test_what_is_no_json_is_told_by_file_and_place(tmp_path, text, problem):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.json: .*({problem})"):
        read_json(tmp_path / "a.json")


def test_large_files_are_refused_before_they_are_read(tmp_path):
    (tmp_path / "a.yml").write_text("12345")
    assert read_text(tmp_path / "a.yml", max_bytes=5) == "12345"
    with pytest.raises(ValueError, match="a.yml: larger than 4 bytes"):
        read_text(tmp_path / "a.yml", max_bytes=4)


@pytest.mark.parametrize(
    "value, whole, finite",
    [
        (3, 3, 3),
        (1.0, 1, 1.0),
        (1.5, None, 1.5),
        (2**63 - 1, 2**63 - 1, 2**63 - 1),
        (2**63, None, 2**63),
        (-(2**63), None, -(2**63)),
        (10**400, None, None),
        (math.nan, None, None),
        (-math.inf, None, None),
        (True, None, None),
        ("1", None, None),
        (None, None, None),
        ([1], None, None),
    ],
)
def test_numbers_and_what_only_looks_like_one(value, whole, finite):
    assert whole_number(value) == whole and type(whole_number(value)) is type(whole)
    assert finite_number(value) == finite


@pytest.mark.parametrize(
    "value, words",
    [
        ("0", 'the text "0"'),
        ("狗", 'the text "狗"'),
        ("", "an empty text"),
        (0, "0"),
        (math.nan, "nan"),
        (True, "true"),
        (None, "null"),
        ([1, 2], "[1, 2]"),
        (list(range(99)), "a list of 99"),
        ({"a": 1}, "a section with a"),
        (10**400, "a number of 401 digits"),
    ],
)
def test_values_in_words(value, words):
    assert describe_value(value) == words
