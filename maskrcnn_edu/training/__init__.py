"""The loop, the run around it, checkpoints, mixed precision, several processes."""
