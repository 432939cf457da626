"""Annotations of other tools, as COCO."""
