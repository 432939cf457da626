"""Detecting, evaluating, predicting, exporting."""
