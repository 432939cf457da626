"""Files become batches: annotations, images, transforms, and a drawn dataset.

coco.py        a COCO annotation file as a sequence of `Sample`
validation.py  what can be used of a COCO file, and what is wrong with it
problems.py    one record for each thing that is wrong
rle.py         masks as lengths of runs
coco_export.py what can be used of a file, for pycocotools
image_file.py  an image file of any kind as 8-bit RGB
transforms.py  what happens to a sample between the file and the network
loader.py      samples become a `Batch` of Paddle tensors
reader.py      the configuration's transforms and batches
shapes.py      a small dataset in COCO format, drawn by a program
public.py      published datasets, fetched and brought into COCO's format
importers/     labels of other tools: labelme.py, via.py, index_masks.py, and write_coco.py

Nothing is imported here, so that only ``loader`` and ``reader`` need Paddle.
"""
