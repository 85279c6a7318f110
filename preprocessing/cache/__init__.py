"""The cache's format, read and written."""
