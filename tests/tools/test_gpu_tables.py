"""The guide shows the table of GPU builds as it is."""

from pathlib import Path

from maskrcnn_edu.system.gpu_builds import BUILDS, PREFERENCE
from tools.gpu_tables import GENERATIONS, advice_table, builds_table

ROOT = Path(__file__).parents[2]


def test_the_guide_shows_the_same_tables():
    text = (ROOT / "docs" / "machines.md").read_text(encoding="utf-8")
    assert advice_table() in text and builds_table() in text


def test_the_table_has_every_generation_and_every_build():
    rows = advice_table().splitlines()[2:]
    assert len(rows) == len(GENERATIONS) and set(PREFERENCE) == {build.name for build in BUILDS}
    assert rows[3] == (
        "| Turing: GTX 16, RTX 20, T4 | 7.5 | none | cu118 | cu126 | cu126 | cu126 |"
    )
