"""The notebooks' exercises, two each, and the checker that names a mistake."""
