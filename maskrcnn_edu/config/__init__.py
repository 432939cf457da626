"""The document's YAML, from file to constructor calls."""
