"""A cache as examples and batches: streams, splits, samplers, loaders."""
