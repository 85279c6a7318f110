"""Rotary positions in seconds.

A rotary embedding (Su et al., "RoFormer", 2021) turns pairs of query and key features by an angle
proportional to their token's position, so that their product depends on the *difference* of the
positions. Here a position is a token's own time in seconds, not its index: streams of 5, 12.5 and 50
tokens a second meet at the same instant without resampling, and a gap in a stream is a gap in time.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

SHORTEST_S = 0.05
"""The finest lag that a whole radian separates.

Sound that leads the picture by 45 ms goes unnoticed (ITU-R BT.1359), so finer alignment of two streams
says nothing; tokens of a speech encoder, 20 ms apart, still differ by 0.4 radian. Every finer step
would make the result more sensitive to the rounding of times: float32 resolves 0.06 ms at 1000 s.
"""
LONGEST_S = 30.0
"""About the longest clip: the slowest pair of features turns by one radian over it."""


def rotary_frequencies(heads: int, head_dim: int, device: torch.device | None = None) -> Float[Tensor, "h p"]:
    """Angular frequencies in radians per second, one for each pair of features of each head.

    As in RoFormer, the fastest pair turns by a radian over the smallest step that matters (1/0.05 s, a
    period of 0.31 s), the slowest by a radian over a whole clip (1/30 s, a period of 188 s: it never
    repeats, so that far apart is never mistaken for near). The frequencies between them are spaced
    geometrically over the pairs of *all heads*, dealt out in turn: a head of 5 features has only two
    pairs, but ten such heads cover the range ten times as finely as one, and each head has slow and
    fast ones. The odd feature of an odd head is not rotated.

    They are computed where they are used, not kept as a buffer, because `module.to(torch.bfloat16)`
    would round a buffer and move every token in time.
    """
    pairs = head_dim // 2
    exponent = torch.linspace(-math.log(SHORTEST_S), -math.log(LONGEST_S), pairs * heads, device=device)
    return exponent.exp().view(pairs, heads).T  # [h p], neighbours in frequency sit in different heads


def rotation(
    time: Float[Tensor, "b t"], heads: int, head_dim: int
) -> tuple[Float[Tensor, "b h t p"], Float[Tensor, "b h t p"]]:
    """Cosine and sine of every token's angles, in float32 under any autocast.

    Args:
        time: seconds, finite also where a token is padding. Keep it small (subtract the clip's start):
            float32 resolves 0.06 ms at 1000 s, and 2 us at 30 s.
        heads: attention heads.
        head_dim: features per head.
    """
    frequency = rotary_frequencies(heads, head_dim, time.device)
    angle = time.float()[:, None, :, None] * frequency[:, None, :]  # [b h t p]
    return angle.cos(), angle.sin()


def rotate(
    x: Float[Tensor, "b h t d"],
    cos: Float[Tensor, "b h t p"],
    sin: Float[Tensor, "b h t p"],
    padding: int = 0,
) -> Float[Tensor, "b h t d+{padding}"]:
    """Turn the feature pairs (i, i + p) of each head, and append `padding` zeros to it.

    Computed in float32, returned in the type of `x`. The zeros come in the same pass because attention
    wants them (see `layers.HEAD_MULTIPLE`) and a second copy would cost as much as the rotation.
    """
    pairs = cos.shape[-1]
    first, second, rest = x.float().split((pairs, pairs, x.shape[-1] - 2 * pairs), dim=-1)
    turned = [first * cos - second * sin, first * sin + second * cos, rest]
    if padding:
        turned.append(rest.new_zeros(()).expand(*x.shape[:-1], padding))
    return torch.cat(turned, dim=-1).to(x.dtype)
