"""Pictures of the records: one function per picture, each returning a matplotlib figure."""
