"""Flat figures, records drawn with a pencil, and the comparison with committed figures.

The baselines in ``images/`` have no text, because fonts differ between versions of
matplotlib. To make them again after a figure was changed on purpose, and look at them:

    MASKRCNN_EDU_REMAKE_IMAGES=1 pytest tests/viz
"""

import os
from pathlib import Path

import numpy as np
import paddle
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from maskrcnn_edu.structures import AnchorTargets, BitMask, GroundTruth, Proposals, RoISamples

IMAGES = Path(__file__).parent / "images"
REMAKE = "MASKRCNN_EDU_REMAKE_IMAGES"
WIDTH = 720  # pixels of a baseline
TOLERANCE = 0.1  # of `difference`; test_regression.py shows what that catches


def ints(values):
    return paddle.to_tensor(np.asarray(values, np.int64))


def boxes(rows):
    return paddle.to_tensor(np.asarray(rows, np.float32).reshape(-1, 4))


def rendered(figure):
    """[h, 720, 3] uint8 without any text."""
    inches = figure.get_size_inches()
    dpi = WIDTH / inches[0]
    # a little more than whole pixels: cut off by some versions of matplotlib, rounded by others
    figure.set_size_inches((np.round(inches * dpi) + 0.01) / dpi)
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # ticks are made while drawing
    texts = figure.findobj(lambda part: isinstance(part, Text) and part.get_text())
    for part in [*figure.legends, *texts]:  # an arrow is a text without words
        part.set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def missing(one, other):
    """Mean absolute difference of each pixel of ``one`` and the most similar of the 3 x 3 there.

    Versions of matplotlib round a line or the edge of a map to different pixels, but to
    neighbours. [h, w, 3] int16 each.
    """
    padded = np.pad(other, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = one.shape[:2]
    near = (padded[y : y + height, x : x + width] for y in range(3) for x in range(3))
    return float(np.min([np.abs(one - n).mean(axis=2) for n in near], axis=0).mean())


def difference(one, other):
    """What one figure has and the other lacks, both ways; of other sizes, everything."""
    if one.shape != other.shape:
        return 255.0
    one, other = one.astype(np.int16), other.astype(np.int16)
    return missing(one, other) + missing(other, one)


@pytest.fixture(scope="session")
def render():
    return rendered


@pytest.fixture(scope="session")
def distance():
    return difference


@pytest.fixture(scope="session")
def tolerance():
    return TOLERANCE


@pytest.fixture
def same_as_baseline(tmp_path):
    """Fails if a figure is not the committed figure of that name."""

    def check(figure, name):
        made, path = rendered(figure), IMAGES / f"{name}.png"
        if os.environ.get(REMAKE) == "1":
            Image.fromarray(made).save(path, optimize=True)
        expected = np.asarray(Image.open(path).convert("RGB"))
        Image.fromarray(made).save(tmp_path / f"{name}.png")
        off = difference(made, expected)
        assert off < TOLERANCE, f"{name}: off by {off:.2f}, see {tmp_path}; remake with {REMAKE}=1"

    return check


@pytest.fixture(scope="session")
def image():
    """[48, 64, 3] uint8: flat ground, two flat things."""
    image = np.full([48, 64, 3], (90, 110, 100), np.uint8)
    image[8:30, 6:26] = (190, 120, 80)
    image[20:40, 36:60] = (70, 130, 190)
    return image


@pytest.fixture(scope="session")
def scene():
    """A triangle in two parts, a ring of pixels, a crowd; as tensors, as in a `Batch`."""
    ring = np.ones([6, 6], np.uint8)
    ring[2:4, 2:4] = 0
    crowd = np.array([[1, 0, 1, 1], [1, 1, 0, 1]], np.uint8)
    parts = [np.array([6.0, 8, 26, 8, 16, 22]), np.array([8.0, 24, 24, 24, 24, 30, 8, 30])]
    return GroundTruth(
        boxes([[6, 8, 26, 30], [36, 20, 60, 40], [30, 2, 50, 12]]),
        ints([0, 1, 0]),
        [
            parts,
            BitMask(ring, np.array([36, 20, 60, 40], np.float32)),
            BitMask(crowd, np.array([30, 2, 50, 12], np.float32)),
        ],
        paddle.to_tensor([False, False, True]),
    )


@pytest.fixture(scope="session")
def no_objects():
    return GroundTruth(boxes([]), ints([]), [], paddle.to_tensor(np.zeros([0], bool)))


@pytest.fixture(scope="session")
def anchors():
    """[8, 4]: two sizes, three beyond the image."""
    centres = [(8, 8), (16, 18), (48, 30), (60, 44)]
    return boxes([[x - s, y - s, x + s, y + s] for x, y in centres for s in (6, 11)])


@pytest.fixture(scope="session")
def anchor_targets():
    """Of `anchors`: 2 positive, 5 negative, 1 ignored."""
    labels = paddle.to_tensor([0, 0, -1, 1, 0, 1, 0, 0], dtype="int32")
    return AnchorTargets(labels, paddle.zeros([8, 4]), ints([0] * 8))


@pytest.fixture(scope="session")
def proposals():
    rows = [[5, 7, 25, 29], [30, 10, 58, 38], [34, 18, 62, 42], [0, 0, 12, 12]]
    return Proposals(boxes(rows), paddle.to_tensor([1.0, -2, 3, 0]), ints([3, 4, 5, 0]))


@pytest.fixture(scope="session")
def samples():
    """Of `proposals` and `scene`: 2 foreground, 1 background, 1 ignored, 2 added."""
    rows = [[5, 7, 25, 29], [34, 18, 62, 42], [6, 8, 26, 30], [36, 20, 60, 40], [0, 0, 12, 12],
            [30, 10, 58, 38]]  # fmt: skip
    gt_index = ints([0, 1, 0, 1, 0, 1])
    return RoISamples(
        boxes(rows), ints([0, 1, 0, 1, 2, -1]), boxes([[0, 0, 1, 1]] * 6), gt_index,
        ints([0, 2, -1, -1, 3, 1]),
    )  # fmt: skip
