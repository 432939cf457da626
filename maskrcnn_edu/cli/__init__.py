"""The commands of ``maskrcnn-edu``: each module adds its options, and does its work."""
