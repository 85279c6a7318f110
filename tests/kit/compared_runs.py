"""Two training runs, compared."""

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

UNSTEADY = ["seconds", "clips_per_s"]  # columns of the history that no two runs share


def read_history(run):
    return pd.read_csv(run / "history.csv").drop(columns=UNSTEADY)


def read_predictions(run, split="valid"):
    return pd.read_csv(run / f"predictions_{split}.csv", dtype={"clip_id": str, "video_id": str})


def assert_equal_to_the_bit(a, b):
    pd.testing.assert_frame_equal(read_history(a), read_history(b), check_exact=True)
    first, second = (load_file(run / "best" / "model.safetensors") for run in (a, b))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    pd.testing.assert_frame_equal(read_predictions(a), read_predictions(b), check_exact=True)


def assert_alike(a, b):
    """The same run but for the order of sums."""
    losses = [read_history(run)[["train_loss", "valid_loss", "valid_mae"]] for run in (a, b)]
    np.testing.assert_allclose(*losses, atol=1e-4)
    first, second = read_predictions(a), read_predictions(b)
    assert first.clip_id.tolist() == second.clip_id.tolist() and first.clip_id.is_unique
    np.testing.assert_allclose(first.score, second.score, atol=1e-4)
