"""Arrays to models and back: files, folders, published weights."""
