"""Which clips a data set has: label files, layouts, media files."""
