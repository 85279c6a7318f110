"""What a batch is: the one place that says shapes, units and padding.

A batch is a flat dict, B clips:

    clip_id            list of B strings
    index              [B] int64      number of the clip in its dataset
    label              [B] float32    sentiment in [-3, 3]; NaN = unlabelled
    weight             [B] float32    in the loss; 0 = filler, to be ignored everywhere
    face               [B, T, 3, H, W] uint8   RGB crops
    speech             [B, S] float32          waveform in [-1, 1], 16 kHz
    behaviour, acoustics, functionals   [B, T, D] float32   raw units
    <stream>_encoded   [B, T, D] float32   instead of a stream: the output of its frozen encoder
    <stream>_time      [B, T] float32 seconds on the clip's clock, centre of each row; speech: [B, 1], of the
                       first sample
    <stream>_is_pad    [B, T] bool    True = padding; speech: [B, S]. All True = the clip lacks the stream

Padding is at the end and zero. T is at least 1.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mosi_e2e.data.streams import find_stream

Batch = dict[str, Tensor | list[str]]


def collate(examples: Sequence[dict]) -> Batch:
    """Pad examples of `ClipDataset` into a batch.

    >>> rows = lambda n: {"values": np.ones((n, 2), np.float32), "time": np.arange(n, dtype=np.float32)}
    >>> one = {"index": 0, "clip_id": "a_1", "label": 1.0, "weight": 1.0, "streams": {"behaviour": rows(1)}}
    >>> batch = collate([one, one | {"streams": {"behaviour": rows(3)}}])
    >>> batch["behaviour"].shape, batch["behaviour_is_pad"].tolist()
    (torch.Size([2, 3, 2]), [[False, True, True], [False, False, False]])
    """
    batch: Batch = {
        "clip_id": [example["clip_id"] for example in examples],
        "index": torch.tensor([example["index"] for example in examples]),
        "label": torch.tensor([example["label"] for example in examples], dtype=torch.float32),
        "weight": torch.tensor([example["weight"] for example in examples], dtype=torch.float32),
    }
    for name in examples[0]["streams"]:
        batch |= pad_stream(name, [example["streams"][name] for example in examples])
    return batch


def pad_stream(name: str, clips: Sequence[dict[str, np.ndarray]]) -> Batch:
    """The three tensors of one stream."""
    values = [clip["values"] for clip in clips]
    length = max(1, *(len(v) for v in values))
    shape = next((v.shape[1:] for v in values if len(v)), values[0].shape[1:])
    dtype = values[0].dtype
    padded = np.zeros((len(clips), length, *shape), dtype)
    is_pad = np.ones((len(clips), length), dtype=bool)
    times = np.zeros((len(clips), 1 if find_stream(name).kind == "waveform" else length), np.float32)
    for row, clip in enumerate(clips):
        count = len(clip["values"])
        if count:
            padded[row, :count] = clip["values"]
            is_pad[row, :count] = False
            times[row, : len(clip["time"])] = clip["time"]
    values = torch.from_numpy(padded)
    if find_stream(name).kind == "crops":
        values = values.movedim(-1, 2)  # [B, T, H, W, 3] -> [B, T, 3, H, W]
    return {
        name: values,
        f"{name}_time": torch.from_numpy(times),
        f"{name}_is_pad": torch.from_numpy(is_pad),
    }


def drop_stream(batch: Batch, name: str) -> Batch:
    """The batch as if no clip had the stream."""
    return batch | {f"{name}_is_pad": torch.ones_like(batch[f"{name}_is_pad"])}
