"""A trained model for others: a folder that stands alone, and ONNX."""
