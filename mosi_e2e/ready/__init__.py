"""The model that is there without training: streams learned apart, combined by their errors."""
