"""What the notebooks need: course, exercises, widgets, bugs, recorder, biography."""
