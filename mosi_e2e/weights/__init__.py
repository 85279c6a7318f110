"""Pretrained checkpoints as local folders: from the model hub, or from packages where it is out of reach."""
