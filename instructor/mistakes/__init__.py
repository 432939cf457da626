"""Mistakes by notebook: words for each, and the words of the answer that it changes."""
