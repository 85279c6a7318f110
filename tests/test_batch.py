"""Padding, the one place that knows it."""

import doctest

import numpy as np
import torch

from mosi_e2e.data import batch as batch_module
from mosi_e2e.data.batch import collate, drop_stream


def example(index, **lengths):
    """A clip whose values tell which clip and row they are."""
    make = {
        "face": lambda n: np.full((n, 4, 6, 3), 10 * index + 1, np.uint8) + np.arange(3, dtype=np.uint8),
        "speech": lambda n: np.full(n, index + 0.5, np.float32),
        "behaviour": lambda n: np.arange(2.0 * n, dtype=np.float32).reshape(n, 2) + 100 * index,
    }
    streams = {}
    for name, count in lengths.items():
        time = np.full(1, 0.25, np.float32) if name == "speech" else np.arange(count, dtype=np.float32) / 5
        streams[name] = {"values": make[name](count), "time": time}
    return {"index": index, "clip_id": f"v_{index}", "label": 0.5 * index, "weight": 0.5, "streams": streams}


def test_docstring_example():
    assert doctest.testmod(batch_module).failed == 0


def test_shapes_types_and_masks():
    batch = collate([example(1, face=2, speech=30, behaviour=4), example(2, face=3, speech=20, behaviour=1)])
    assert batch["clip_id"] == ["v_1", "v_2"]
    assert batch["index"].tolist() == [1, 2] and batch["index"].dtype == torch.int64
    assert batch["label"].tolist() == [0.5, 1.0] and batch["weight"].tolist() == [0.5, 0.5]
    assert batch["face"].shape == (2, 3, 3, 4, 6) and batch["face"].dtype == torch.uint8
    assert batch["face"][1, 2, :, 0, 0].tolist() == [21, 22, 23]  # red, green, blue
    assert batch["speech"].shape == (2, 30) and batch["speech_time"].tolist() == [[0.25], [0.25]]
    assert batch["behaviour"].shape == (2, 4, 2) and batch["behaviour"].dtype == torch.float32
    for name, counts in {"face": [2, 3], "speech": [30, 20], "behaviour": [4, 1]}.items():
        is_pad = batch[f"{name}_is_pad"]
        assert is_pad.dtype == torch.bool and (~is_pad).sum(1).tolist() == counts
        assert (is_pad.long().diff(dim=1) >= 0).all()  # padding is at the end
        assert not batch[name][is_pad].any()
        assert batch[f"{name}_time"].dtype == torch.float32
    assert batch["behaviour"][0, 3].tolist() == [106, 107]
    torch.testing.assert_close(batch["behaviour_time"][0], torch.arange(4) / 5)


def test_a_lacking_stream_is_all_padding_and_at_least_one_row_long():
    batch = collate([example(1, face=0, behaviour=0), example(2, face=0, behaviour=3)])
    assert batch["face"].shape[:3] == (2, 1, 3) and batch["face_is_pad"].all()
    assert batch["behaviour_is_pad"].tolist() == [[True] * 3, [False] * 3]
    lonely = collate([example(1, speech=0, behaviour=0)])
    assert lonely["speech"].shape == (1, 1) and lonely["behaviour"].shape == (1, 1, 2)
    assert lonely["speech_is_pad"].all() and lonely["behaviour_is_pad"].all()


def test_dropping_a_stream_only_masks_it():
    batch = collate([example(1, face=2, behaviour=4)])
    without = drop_stream(batch, "face")
    assert without["face_is_pad"].all() and not batch["face_is_pad"].any()
    assert all(without[key] is batch[key] for key in batch if key != "face_is_pad")
