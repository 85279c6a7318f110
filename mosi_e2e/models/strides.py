"""Several rows of a stream that become one token: fewer tokens, each of a longer time."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mosi_e2e.models.layers import Tokens


def missing_rows(n_rows: int, stride: int) -> int:
    """Rows that are missing from the last, incomplete token."""
    return (n_rows + stride - 1) // stride * stride - n_rows  # whole numbers: a length may be a symbol


def join_times(
    time: Float[Tensor, "b t"], is_pad: Bool[Tensor, "b t"], stride: int
) -> tuple[Float[Tensor, "b u"], Bool[Tensor, "b u"]]:
    """Times and mask of the tokens that `stride` rows each become."""
    missing = missing_rows(time.shape[1], stride)
    is_pad = F.pad(is_pad, (0, missing), value=True).unflatten(1, (-1, stride))
    time = F.pad(time, (0, missing)).unflatten(1, (-1, stride)).masked_fill(is_pad, 0.0)  # [b u stride]
    time = time.sum(2) / (~is_pad).sum(2).clamp(min=1)
    return time, is_pad.all(2)


def average_tokens(tokens: Tokens, stride: int) -> Tokens:
    """Means of `stride` tokens each; the last one is the mean of those that are left."""
    if stride == 1:
        return tokens
    values, _, is_pad = tokens
    missing = missing_rows(values.shape[1], stride)
    there = F.pad(~is_pad, (0, missing)).unflatten(1, (-1, stride))[..., None]  # [b u stride 1]
    values = F.pad(values, (0, 0, 0, missing)).unflatten(1, (-1, stride)).where(there, 0.0)
    mean = values.sum(2) / there.sum(2).clamp(min=1)
    return Tokens(mean, *join_times(tokens.time, is_pad, stride))
