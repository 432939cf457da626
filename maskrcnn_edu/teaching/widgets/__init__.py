"""Controls to move: scrubbers through frames, and microscopes over single steps of the model."""
