"""Third storey, the mask head: which of the box's pixels belong to the object?

cell        one of the M x M places of a small mask, stretched over the box (M: "resolution")
target      the annotated shape drawn on these cells: "rasterized", "mask target", "gt mask"
mask logit  one for each class and cell; only the own class's counts ("class-specific mask")
segmentation  how a shape is annotated: polygons, or pixels (bit mask, run-length encoded)
paste       enlarge the mask of a box to the image's pixels, and decide by a threshold
"""
