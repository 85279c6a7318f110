"""Scores of predictions: metrics, floors, intervals, comparisons, and the tables that they are read from."""
