"""Figures of the records: one function per figure (matplotlib's)."""
