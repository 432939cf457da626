"""What a figure shows, in numbers: read from its artists, not from what was asked for.

Notebooks print these after every figure, because nbval does not compare images.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text

DECIMALS = 1  # of positions
VALUE_DECIMALS = 3


def marked_artists(figure: Figure, kind: str | None = None) -> list[Artist]:
    """The artists of a figure that carry a mark (matplotlib's ``gid``): that one, or any."""
    marked = figure.findobj(lambda artist: artist.get_gid() is not None, include_self=False)
    return [a for a in marked if kind is None or a.get_gid() == kind]


def figure_facts(figure: Figure) -> dict[str, int]:
    """How many things of every kind the figure shows, sorted by the kind's name.

    A scatter counts once for each of its points.
    """
    counts: Counter[str] = Counter()
    for artist in marked_artists(figure):
        counts[artist.get_gid()] += len(_boxes(artist))
    return {kind: counts[kind] for kind in sorted(counts)}


def figure_boxes(figure: Figure, kind: str) -> list[list[float]]:
    """Where the things of one kind are, in the data coordinates of their own axes.

    Returns:
        ``[x1, y1, x2, y2]`` rounded to a tenth, in the order of drawing. Of an arrow,
        its start and its tip; of a point or a text, the position twice.
    """
    boxes = [box for artist in marked_artists(figure, kind) for box in _boxes(artist)]
    return [[round(float(v), DECIMALS) + 0.0 for v in box] for box in boxes]  # no -0.0


def figure_values(figure: Figure, kind: str) -> list[list[float]]:
    """Smallest, mean and largest number of every map of one kind, rounded to thousandths."""
    maps = [a.get_array() for a in marked_artists(figure, kind) if isinstance(a, AxesImage)]
    rows = [(np.min(m), np.mean(m), np.max(m)) for m in maps]
    return [[round(float(v), VALUE_DECIMALS) + 0.0 for v in row] for row in rows]


def _boxes(artist: Artist) -> list[list[float]]:
    """The rectangles that an artist occupies; one, unless it is a scatter."""
    if isinstance(artist, PathCollection):
        return [[x, y, x, y] for x, y in np.asarray(artist.get_offsets())]
    if isinstance(artist, Annotation):
        return [[*artist.xyann, *artist.xy]]
    if isinstance(artist, Text):
        return [[*artist.get_position()] * 2]
    if isinstance(artist, AxesImage):
        left, right, bottom, top = artist.get_extent()
        return [[min(left, right), min(bottom, top), max(left, right), max(bottom, top)]]
    if isinstance(artist, Line2D):
        points = np.asarray(artist.get_xydata(), float)
        return [[*points.min(axis=0), *points.max(axis=0)]]
    if isinstance(artist, Patch):
        path = artist.get_patch_transform().transform_path(artist.get_path())
        return [[*path.get_extents().extents]]
    raise TypeError(f"a {type(artist).__name__} is marked {artist.get_gid()!r}, but has no extent")
