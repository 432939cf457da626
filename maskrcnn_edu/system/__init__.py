"""This machine: device, processor, files, processes, downloads. Knows no detection."""
