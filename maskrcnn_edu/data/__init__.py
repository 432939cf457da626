"""Files become batches: annotations, photos, transforms, and a drawn data set.

coco.py        a COCO annotation file as a sequence of `Sample`
checks.py      what can be used of a COCO file, and what is wrong with it
problems.py    one record for each thing that is wrong
rle.py         masks as lengths of runs
clean.py       a COCO file without issues
labelled.py    labelled photos become a data set: from labelme.py, via.py, index_masks.py
photo.py       a photo of any kind as 8-bit RGB
transforms.py  what happens to a sample between the file and the network
loader.py      samples become a `Batch` of Paddle tensors
shapes.py      a small data set in COCO format, drawn by a program

Nothing is imported here, so that only ``loader`` needs Paddle.
"""
