"""Pretrained checkpoints on this machine, and whether the hub answers."""
