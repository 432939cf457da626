"""What Paddle lacks, or does slowly."""
