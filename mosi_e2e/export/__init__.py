"""A trained model for others: a folder that stands alone, ONNX, and `torch.export`."""
