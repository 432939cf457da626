"""Our stages against numbers that PaddleDetection made: see README.md in this folder."""
