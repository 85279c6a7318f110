"""Building blocks of the fusion: tokens in time, masked attention between them, pooling.

Shapes: b clips, t tokens (s of a source), w width, h heads, d features per head, p = d // 2 rotated
pairs. Everything is pre-norm, attends through `scaled_dot_product_attention` and drops out on residual
branches only: dropout of attention weights takes the fused kernel away on a CPU (five times slower,
measured on 16 clips, 10 heads, 500 x 375 tokens, forward and backward).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mosi_e2e.models.rotary import rotate, rotation

HEAD_MULTIPLE = 16
"""Attention pads its heads with zeros to a multiple of this, the size of the fused kernels' vectors.

Heads of 5 features so take 4.6 ns for each query and key, forward and backward, instead of 7.9 (one
AVX-512 core); on a GPU those kernels want a multiple of 8 anyway.
"""


class Tokens(NamedTuple):
    """One stream as an encoder returns it: a batch of padded sequences, each token with its time.

    What stands in padded rows, `nan` included, has no influence on anything.
    """

    values: Float[Tensor, "b t in_width"]
    time: Float[Tensor, "b t"]  # seconds, of each token's centre
    is_pad: Bool[Tensor, "b t"]  # True = padding; all of a row = the clip lacks this stream


class Place(NamedTuple):
    """Where a sequence's tokens are, in the form attention wants: computed once, used by every layer."""

    cos: Float[Tensor, "b h t p"]
    sin: Float[Tensor, "b h t p"]
    is_key: Bool[Tensor, "b t"]  # which tokens may be attended to


def place_tokens(time: Float[Tensor, "b t"], is_pad: Bool[Tensor, "b t"], heads: int, head_dim: int) -> Place:
    """Rotation angles and key mask of one sequence.

    A clip without a single token would leave the softmax nothing to sum to one, which some kernels answer
    with zeros and others with `nan`. All of its rows count as keys instead: the result is finite wherever
    it runs, and pooling ignores it.
    """
    is_key = ~is_pad | is_pad.all(dim=1, keepdim=True)
    return Place(*rotation(time, heads, head_dim), is_key)


def join_places(places: Sequence[Place]) -> Place:
    """The place of sequences that are concatenated along time."""
    cos, sin, is_key = zip(*places, strict=True)
    return Place(torch.cat(cos, dim=2), torch.cat(sin, dim=2), torch.cat(is_key, dim=1))


class Attention(nn.Module):
    """Multi-head attention with rotary positions; to the sequence itself, or to another one.

    Biases stay: after rotation the product of the two biases depends on the time between query and key
    alone, so a head can learn "look at the same instant" in whatever the tokens say.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.padding = -self.head_dim % HEAD_MULTIPLE
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        x: Float[Tensor, "b t w"],
        place: Place,
        source: Float[Tensor, "b s w"] | None = None,
        source_place: Place | None = None,
    ) -> Float[Tensor, "b t w"]:
        """What each token of `x` gathers from `source`, or from `x` itself where no source is given."""
        q, k, v = self._project(x, source)  # [b h t d], [b h s d], [b h s d]
        source_place = source_place or place
        q = rotate(q, place.cos, place.sin, self.padding)
        k = rotate(k, source_place.cos, source_place.sin, self.padding)
        if self.padding:
            v = F.pad(v, (0, self.padding))
        # Broadcast over heads and queries, the mask costs no memory. Features of zero change no
        # product, and the scale is that of the true head.
        mask = source_place.is_key[:, None, None, :]  # [b 1 1 s]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=self.head_dim**-0.5)
        mixed = mixed[..., : self.head_dim].transpose(1, 2)  # [b t h d]
        return self.out(mixed.flatten(2))  # [b t w]

    def _project(self, x: Tensor, source: Tensor | None) -> list[Float[Tensor, "b h _ d"]]:
        if source is None:
            parts = self.qkv(x).chunk(3, dim=-1)  # [b t w] each
        else:
            weight, bias, w = self.qkv.weight, self.qkv.bias, x.shape[-1]
            q = F.linear(x, weight[:w], bias[:w])  # [b t w]
            parts = (q, *F.linear(source, weight[w:], bias[w:]).chunk(2, dim=-1))  # [b s w] twice
        return [part.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2) for part in parts]


class Block(nn.Module):
    """One pre-norm transformer layer: attention (to itself or a normalised source), then feed-forward.

    ReLU, because its output is all that the backward pass needs: half of what GELU would keep.
    """

    def __init__(self, width: int, heads: int, ffn_mult: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = nn.Sequential(
            nn.Linear(width, ffn_mult * width), nn.ReLU(), nn.Linear(ffn_mult * width, width)
        )
        self.attention_dropout = nn.Dropout(dropout)
        self.ffn_dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "b t w"],
        place: Place,
        source: Float[Tensor, "b s w"] | None = None,
        source_place: Place | None = None,
    ) -> Float[Tensor, "b t w"]:
        """Same arguments as `Attention.forward`."""
        x = x + self.attention_dropout(self.attention(self.attention_norm(x), place, source, source_place))
        return x + self.ffn_dropout(self.ffn(self.ffn_norm(x)))


class ScoreHead(nn.Linear):
    """A linear map to one number, or to one of each class.

    In float32 under any autocast: bfloat16 knows 64 numbers from 2 to 3.
    """

    def __init__(self, width: int, n_outputs: int = 1):
        super().__init__(width, n_outputs)

    def forward(self, x: Float[Tensor, "b w"]) -> Float[Tensor, " b *c"]:
        """Not a matrix product: autocast would make it a half-precision one."""
        if self.out_features == 1:
            return (x.float() * self.weight[0]).sum(dim=-1) + self.bias
        return (x.float()[:, None] * self.weight).sum(dim=-1) + self.bias


def build_head(in_width: int, width: int, dropout: float, n_outputs: int = 1) -> nn.Sequential:
    """A shallow network from one vector of a clip to `n_outputs` numbers."""
    hidden = nn.Linear(in_width, width)  # made first: the order of random weights is that of the layers
    return nn.Sequential(hidden, nn.GELU(), nn.Dropout(dropout), ScoreHead(width, n_outputs))


class AttentivePool(nn.Module):
    """Weighted mean over a sequence's real tokens, the weights a softmax of a learned score.

    The score starts at zero: an untrained pool is the plain masked mean.
    """

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1, bias=False)  # a bias would cancel in the softmax
        nn.init.zeros_(self.score.weight)

    def forward(self, x: Float[Tensor, "b t w"], is_pad: Bool[Tensor, "b t"]) -> Float[Tensor, "b w"]:
        """Pool each clip; one that is all padding gives the mean of its rows, finite but meaningless."""
        x = self.norm(x)
        hidden = is_pad & ~is_pad.all(dim=1, keepdim=True)
        score = self.score(x).squeeze(-1).float().masked_fill(hidden, float("-inf"))  # [b t]
        weight = score.softmax(dim=1)[..., None]  # [b t 1]
        return (weight * x).sum(dim=1)  # not a matrix product: autocast would make it a half-precision one


class StreamSummary(nn.Module):
    """One stream → one vector: attentive mean, mean and standard deviation of its tokens.

    A clip without the stream gets a learned vector instead.
    """

    def __init__(self, in_width: int, width: int, dropout: float):
        super().__init__()
        self.pool = AttentivePool(in_width)
        self.project = nn.Sequential(
            nn.LayerNorm(3 * in_width), nn.Linear(3 * in_width, width), nn.GELU(), nn.Dropout(dropout)
        )
        self.absent = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "b t d"], is_pad: Bool[Tensor, "b t"]) -> Float[Tensor, "b w"]:
        """Summarise the real tokens of each clip."""
        there = (~is_pad).unsqueeze(-1).to(x.dtype)  # [b t 1]
        count = there.sum(dim=1).clamp(min=1)
        mean = (x * there).sum(dim=1) / count  # [b d]
        variance = ((x - mean[:, None]).square() * there).sum(dim=1) / count
        summary = torch.cat([self.pool(x, is_pad), mean, (variance + 1e-6).sqrt()], dim=-1)  # [b 3d]
        return torch.where(is_pad.all(dim=1, keepdim=True), self.absent, self.project(summary))
