"""Feature files that others share → cache: `python -m preprocessing.import_features`.

MMSA's pickles and archives of arrays (`tables`), CMU's computational sequences (`sequences`); what is odd in
them is handled by named, counted rules (`rules`), and the result is written as any other cache (`write`).
"""
