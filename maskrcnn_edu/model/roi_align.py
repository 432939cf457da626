"""RoIAlign: cut a fixed-size feature out of the map for every box, whatever its size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import paddle
from paddle import Tensor, nn
from paddle.vision.ops import distribute_fpn_proposals, roi_align

from maskrcnn_edu.model.checks import Count, FromMinus1, Positive, Whole, checked, in_order
from maskrcnn_edu.model.ops.empty import cat, is_empty

LEVEL_NAME_OFFSET = 2  # index 0 of the feature list is the pyramid's P2

ROI_CHUNK_ELEMENTS = {"cpu": 2**22, "gpu": 2**26}
"""How many numbers the RoI features of one chunk have: 16 MB, which a CPU's caches nearly
hold; 256 MB on a GPU, which wants much to do at a time. A thousand RoIs of C4 have 800 MB."""


class RoIAlign(nn.Layer):
    """Bilinear sampling of features inside boxes, on one level or on many.

    With several levels a box of area w * h goes to the level that fits its size::

        level = floor(canconical_level + log2(sqrt(w * h) / canonical_size))

    so a box of ``canonical_size`` pixels goes to ``canconical_level``, one of half that size
    to the level below; no further than ``start_level`` and ``end_level``.

    Args:
        resolution: side of the result, in cells.
        spatial_scale: feature pixels per input pixel, one number per level.
        sampling_ratio: sample points per cell and axis; 0 for as many as the cell
            has feature pixels.
        canconical_level: level of a box of the canonical size (the document's
            spelling).
        canonical_size: side in pixels of the input frame.
        start_level: first entry of the feature list that may be used.
        end_level: last entry that may be used.
        aligned: shift by half a pixel, so that the samples lie where the box is.

    Source: Mask R-CNN paper, section 3; FPN paper, equation 1; document, "roi align".
    """

    @checked
    def __init__(
        self,
        resolution: Count = 14,
        spatial_scale: Positive | Sequence[Positive] = 0.0625,
        sampling_ratio: FromMinus1 = 0,
        canconical_level: int = 4,
        canonical_size: Count = 224,
        start_level: Whole = 0,
        end_level: int = 3,
        aligned: bool = False,
    ):
        super().__init__()
        in_order(start_level=start_level, end_level=end_level)
        scales = spatial_scale if isinstance(spatial_scale, Sequence) else [spatial_scale]
        self.resolution = resolution
        self.spatial_scale = list(scales)
        self.sampling_ratio = sampling_ratio
        self.canconical_level = canconical_level
        self.canonical_size = canonical_size
        self.start_level = start_level
        self.end_level = end_level
        self.aligned = aligned

    def forward(self, feats: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """Cut out the features of all boxes of the batch.

        Args:
            feats: L feature maps [N, c, h, w].
            boxes: N tensors [R, 4], input frame.

        Returns:
            [sum R, c, resolution, resolution], image after image.
        """
        filled = [i for i, b in enumerate(boxes) if not is_empty(b)]
        if 0 < len(filled) < len(boxes):  # Paddle 2.6 wants boxes in every image
            feats = [f[paddle.to_tensor(filled)] for f in feats]
            boxes = [boxes[i] for i in filled]
        rois = cat(boxes)
        per_image = paddle.to_tensor([b.shape[0] for b in boxes], dtype="int32")
        if len(feats) == 1 or is_empty(rois):
            return self._align(feats[0], rois, per_image, self.spatial_scale[0])
        return self._align_levels(feats, rois, per_image)

    def _align_levels(self, feats: list[Tensor], rois: Tensor, per_image: Tensor) -> Tensor:
        """Each box on the level of its size.

        Args:
            feats: L feature maps [N, c, h, w].
            rois: [sum R, 4], image after image.
            per_image: [N] int32, how many each image has.

        Returns:
            [sum R, c, r, r] in the order of ``rois``.
        """
        rois_of_level, restore_index, per_image_of_level = distribute_fpn_proposals(
            rois,
            min_level=self.start_level + LEVEL_NAME_OFFSET,
            max_level=self.end_level + LEVEL_NAME_OFFSET,
            refer_level=self.canconical_level,
            refer_scale=self.canonical_size,
            rois_num=per_image,
        )
        used = slice(self.start_level, self.end_level + 1)
        levels = zip(feats[used], rois_of_level, per_image_of_level, self.spatial_scale[used])
        parts = [self._align(*level) for level in levels]
        return paddle.gather(paddle.concat(parts), restore_index.flatten())

    def _align(self, feat: Tensor, rois: Tensor, per_image: Tensor, scale: float) -> Tensor:
        """One level: [N, c, h, w] and boxes [r, 4] -> [r, c, resolution, resolution]."""
        return roi_align(
            feat,
            rois,
            per_image,
            self.resolution,
            spatial_scale=scale,
            sampling_ratio=self.sampling_ratio or -1,  # the operator's word for "adaptive"
            aligned=self.aligned,
        )


def iter_roi_chunks(
    feats: list[Tensor], boxes: list[Tensor], resolution: int
) -> Iterator[tuple[list[Tensor], int, slice]]:
    """Chunks of RoIs whose features do not take much memory, for who needs no gradient.

    Args:
        feats: L feature maps [N, c, h, w].
        boxes: N tensors [R, 4].
        resolution: side of the RoI features, in cells.

    Yields:
        Image after image, chunks of nearly the same size, at least one for each image: the
        image's feature maps [1, c, h, w], its number, and the rows of its boxes.
    """
    device = "gpu" if feats[0].place.is_gpu_place() else "cpu"
    limit = max(1, ROI_CHUNK_ELEMENTS[device] // (feats[0].shape[1] * resolution**2))
    for image, count in enumerate(map(len, boxes)):
        own_feats = [f[image : image + 1] for f in feats]
        chunks = max(1, math.ceil(count / limit))
        size = max(1, math.ceil(count / chunks))
        for start in range(0, max(1, count), size):
            yield own_feats, image, slice(start, start + size)
