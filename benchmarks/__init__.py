"""How fast the package is here: by stage, beside PaddleDetection, and as the work grows."""
