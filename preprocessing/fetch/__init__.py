"""`python -m preprocessing.fetch`: a data set from the net or the disk → a folder to preprocess."""
