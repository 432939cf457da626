"""Names in pictures: plain text in any script, with the fonts that are installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib import font_manager, rcParams
from matplotlib.font_manager import FontProperties

from maskrcnn_edu.system.fonts import chinese_fonts
from maskrcnn_edu.system.language import language, say

INSTALL = (
    "Noto Sans CJK (Debian, Ubuntu: apt install fonts-noto-cjk; Fedora: dnf install "
    "google-noto-sans-cjk-fonts; Windows, macOS: fonts.google.com/noto)"
)
NARROW, WIDE = 0.64, 1.0
"""How wide a letter is at most, in heights of the font: Latin, and Chinese."""

FIRST_WIDE = "\u1100"
"""Korean, Japanese, Chinese and emoji come from here on."""


def as_text(name: str) -> dict[str, Any]:
    """What matplotlib's texts need to show a name: no formulas, and a font that has its letters."""
    style: dict[str, Any] = {"parse_math": False}
    if not name.isascii():
        style["fontfamily"] = [*rcParams["font.family"], *chinese_fonts()]
    return style


def use_letters_of_the_language() -> None:
    """Let every text find letters in `chinese_fonts`, if the language chosen is not English."""
    if language() != "en":
        families = [*rcParams["font.family"], *chinese_fonts()]
        rcParams["font.family"] = list(dict.fromkeys(families))


def font_advice(names: Iterable[str]) -> str:
    """One line if letters of the names are in no font that is installed here, else empty."""
    families = [*rcParams["font.family"], *chinese_fonts()]
    found = [font_manager.findfont(FontProperties(family=[family])) for family in families]
    fonts = [font_manager.get_font(path) for path in found]
    letters = sorted({letter for name in names for letter in name if not letter.isspace()})
    missing = [each for each in letters if not any(f.get_char_index(ord(each)) for f in fonts)]
    if not missing:
        return ""
    words = say(
        "no font here has {letters}: drawn as boxes; install {font}, or name a font that has them "
        "in matplotlib.rcParams['font.family']"
    )
    return words.format(letters="".join(missing[:10]), font=INSTALL)


def text_width(text: str, size: float) -> float:
    """About how wide a text is, in points, rather too wide than too narrow."""
    wide = sum(letter >= FIRST_WIDE for letter in text)
    return size * (WIDE * wide + NARROW * (len(text) - wide))
