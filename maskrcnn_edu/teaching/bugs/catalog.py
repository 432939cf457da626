"""The bug zoo's list: read from ``catalog.yml``, which is made to be read by people too.

`maskrcnn_edu.teaching.bugs.release` lets a bug out. The same list tests the tests:
``tools/mutation.py`` lets out one bug after the other and asks who noticed.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.bugs.bug import Bug, Patch

CATALOG = Path(__file__).with_name("catalog.yml")


def read_catalog(path: Path = CATALOG) -> dict[str, Bug]:
    """Name -> bug, in the order of the file; titles and stories in the language of today."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {entry["name"]: _bug(entry) for entry in entries}


def _bug(entry: dict) -> Bug:
    parts = {key: tuple(entry[key]) for key in ("tests", "notebooks")}
    parts |= {key: say(entry[key]) for key in ("title", "story")}
    patches = tuple(Patch(**patch) for patch in entry["patches"])
    return Bug(**entry | parts | {"patches": patches})


BUGS: dict[str, Bug] = read_catalog()
