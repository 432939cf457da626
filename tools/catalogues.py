"""The catalogues of translations: kept in step with the texts, checked, and made into texts.

    python -m tools.catalogues update      take changed passages in; what was changed is fuzzy
    python -m tools.catalogues check       list what has no translation, or one of an older text
    python -m tools.catalogues build DIR   write the Chinese notebooks, README and guides

One catalogue a file, `docs/locale/zh_CN/notebooks/02_anchors.po` for `notebooks/02_anchors.ipynb`.
A translator writes `msgstr` and takes `#, fuzzy` away; what a passage is says
`maskrcnn_edu/teaching/translation.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.teaching.translation import prose_of, read_catalogue, translated

ROOT = Path(__file__).parents[1]
NOT_YET = {"docs/items.md", "docs/parity.md", "docs/speed.md"}  # English in both editions
BILINGUAL = {"docs/glossary.md"}


def sources() -> list[Path]:
    """The texts that have a translation: notebooks, README and guides."""
    found = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    left_out = NOT_YET | BILINGUAL
    return sorted(p for p in found if p.relative_to(ROOT).as_posix() not in left_out)


def catalogue_of(path: Path) -> Path:
    """Where a text's catalogue is."""
    return (ROOT / "docs" / "locale" / "zh_CN" / path.relative_to(ROOT)).with_suffix(".po")


def template(path: Path) -> Catalog:
    """A catalogue with a text's passages, in their order, and no translations."""
    found = Catalog(locale="zh_CN", fuzzy=False, project="maskrcnn_edu", header_comment="# Chinese")
    for passage in prose_of(path):
        found.add(passage)
    return found


def update(path: Path) -> None:
    """Take the text as it is now into its catalogue.

    A passage that was changed keeps its old translation as fuzzy; one that is gone is dropped.
    """
    place, wanted = catalogue_of(path), template(path)
    if place.is_file():
        with place.open("rb") as file:
            known = read_po(file, locale="zh_CN")
        known.update(wanted, no_fuzzy_matching=False, update_creation_date=False)
        known.obsolete.clear()
    else:
        known = wanted
    place.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(place, lambda part: _write(part, known))


def _write(place: Path, catalogue: Catalog) -> None:
    with place.open("wb") as file:
        write_po(file, catalogue, width=100, omit_header=False, include_previous=False)


def faults(path: Path) -> list[str]:
    """What a text's catalogue lacks, a line each: a passage, and what is amiss with it."""
    place = catalogue_of(path)
    name = place.relative_to(ROOT)
    if not place.is_file():
        return [f"{name}: is not there; run: python -m tools.catalogues update"]
    wanted, known = prose_of(path), read_catalogue(place)
    lacking = [f"{name}: not translated, or fuzzy: {p[:70]!r}" for p in wanted if p not in known]
    gone = [f"{name}: no longer in the text: {p[:70]!r}" for p in known if p not in set(wanted)]
    return lacking + gone


def build(out: Path) -> list[Path]:
    """Write the Chinese texts into a folder, at the same places; the files written."""
    written = []
    for path in sources():
        text = translated(path, catalogue_of(path), "zh")
        place = out / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        written.append(place)
    return written


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("update", "check"):
        commands.add_parser(name).add_argument("texts", nargs="*", type=Path)
    commands.add_parser("build").add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "build":
        print(f"{len(build(options.folder))} texts are in {options.folder}")
        return 0
    texts = [path.resolve() for path in options.texts] or sources()
    if options.command == "update":
        for path in texts:
            update(path)
    found = [fault for path in texts for fault in faults(path)]
    print("\n".join(found), file=sys.stderr)
    print(
        f"{len(texts)} texts, {sum(len(prose_of(p)) for p in texts)} passages, {len(found)} faults"
    )
    return int(bool(found)) if options.command == "check" else 0


if __name__ == "__main__":
    sys.exit(main())
