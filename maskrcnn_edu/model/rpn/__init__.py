"""First storey: the region proposal network."""
