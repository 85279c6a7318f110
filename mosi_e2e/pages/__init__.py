"""Self-contained pages, and the figures, tables and tracks that stand on them."""
