"""Fonts with Chinese letters that are installed here, as matplotlib names them.

Matplotlib is imported when asked for: the doctor must be able to come without it.
"""

from __future__ import annotations

FAMILIES = (
    "Noto Sans CJK", "Source Han Sans", "WenQuanYi", "SimHei", "Microsoft YaHei", "PingFang",
    "Hiragino Sans GB", "Heiti", "STHeiti", "Songti",
)  # fmt: skip
"""With Chinese letters."""

_looked: list[bool] = []  # once a process: it takes a while


def chinese_fonts() -> tuple[str, ...]:
    """The installed families of `FAMILIES`, in that order; those for simplified Chinese first.

    Raises:
        ImportError: matplotlib is missing.
    """
    if not _listed() and not _looked:
        _looked.append(True)
        _add_new_fonts()
    return _listed()


def _listed() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    names = sorted({font.name for font in fontManager.ttflist}, key=lambda n: ("SC" not in n, n))
    return tuple(name for known in FAMILIES for name in names if name.startswith(known))


def _add_new_fonts() -> None:
    """Matplotlib keeps its list of fonts in a file: what was installed since is not in it."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {font.fname for font in fontManager.ttflist}
    for path in set(findSystemFonts()) - known:
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError):  # what it cannot read is no font
            continue
