"""The report: run folders → one page, its Markdown twin and its figures.

Nothing is copied from what runs say about themselves: every score is recomputed from the predictions.
"""
