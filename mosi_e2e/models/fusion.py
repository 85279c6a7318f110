"""Fusion of encoded streams: directional cross-attention, attention bottlenecks, or plain concatenation.

Each stream is projected to one width, given a learned stream embedding and its place in time; a stream
that a clip lacks becomes one learned token. Then one of three mixers (`FusionConfig.kind`) lets the
streams see each other, and each stream is pooled to one vector. Streams are sorted by name wherever an
order could matter.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mosi_e2e.models.config import FusionConfig
from mosi_e2e.models.layers import AttentivePool, Block, Place, Tokens, join_places, place_tokens
from preprocessing.errors import UserError


class FusionOutput(NamedTuple):
    """One vector per stream, and all of them side by side in the order of the streams' names."""

    pooled: Float[Tensor, "b out_width"]
    by_stream: dict[str, Float[Tensor, "b w"]]


class Fusion(nn.Module):
    """Fuse encoded streams into one vector per stream.

    Args:
        streams: names, in any order: it changes nothing. They become part of the parameters' names.
        in_widths: features per token of each stream.
        config: kind and size.

    Attributes:
        streams: the names, sorted.
        out_width: features of `FusionOutput.pooled`, width times the number of streams.
    """

    def __init__(self, streams: Sequence[str], in_widths: Mapping[str, int], config: FusionConfig):
        super().__init__()
        self.streams = tuple(sorted(streams))
        if not streams or len(set(streams)) != len(streams):
            raise UserError(f"fusion needs at least one stream and each one once; found {list(streams)}")
        self.config = config
        self.out_width = config.width * len(streams)
        self.inputs = nn.ModuleDict({name: StreamInput(in_widths[name], config) for name in self.streams})
        mixer = {"crossmodal": CrossModal, "bottleneck": Bottleneck, "concat": Concat}[config.kind]
        self.mixer = mixer(self.streams, config)
        self.pools = nn.ModuleDict({name: AttentivePool(config.width) for name in self.streams})

    def forward(self, tokens: Mapping[str, Tokens]) -> FusionOutput:
        """Fuse a batch.

        Args:
            tokens: by stream. A stream that is all padding for a clip is replaced by its learned absent
                token; so is one, for the whole batch, that has no rows or is not in the mapping.
        """
        tokens = complete_tokens(tokens, {name: self.inputs[name].in_width for name in self.streams})
        origin = find_origin(tokens.values())
        x, place = {}, {}
        for name in self.streams:
            x[name], place[name] = self.inputs[name](tokens[name], origin)
        x = self.mixer(x, place)
        by_stream = {name: self.pools[name](x[name], ~place[name].is_key) for name in self.streams}
        return FusionOutput(torch.cat(list(by_stream.values()), dim=-1), by_stream)


def complete_tokens(tokens: Mapping[str, Tokens], in_widths: Mapping[str, int]) -> dict[str, Tokens]:
    """Give every stream at least one row, so that its absent token has a place to stand.

    Raises:
        UserError: none of the streams is in `tokens`, or one in `tokens` is unknown.
    """
    known = [name for name in in_widths if name in tokens]
    if not known or len(known) != len(tokens):
        raise UserError(f"this model fuses the streams {sorted(in_widths)}; found {sorted(tokens)}")
    like = tokens[known[0]]
    complete = {}
    for name, in_width in in_widths.items():
        if name in tokens and tokens[name].values.shape[1]:
            complete[name] = tokens[name]
            continue
        row = like.time.new_zeros(like.time.shape[0], 1)
        complete[name] = Tokens(row[..., None].expand(-1, -1, in_width), row, torch.ones_like(row).bool())
    return complete


def find_origin(streams: Iterable[Tokens]) -> Float[Tensor, " b"]:
    """Time of each clip's earliest real token in any stream; 0 for a clip without one."""
    first = [s.time.masked_fill(s.is_pad, torch.inf).amin(dim=1) for s in streams]  # [b] each
    origin = torch.stack(first).amin(dim=0)  # [b]
    return origin.masked_fill(origin.isinf(), 0.0)


class StreamInput(nn.Module):
    """Bring a stream to the common width, put it in its place, stand in for it where it is absent."""

    def __init__(self, in_width: int, config: FusionConfig):
        super().__init__()
        self.in_width = in_width
        self.heads, self.head_dim = config.heads, config.width // config.heads
        self.projection = nn.Linear(in_width, config.width, bias=False)  # the embedding is its bias
        nn.init.xavier_uniform_(self.projection.weight)
        self.embedding = nn.Parameter(0.02 * torch.randn(config.width))
        self.absent = nn.Parameter(torch.randn(config.width))  # the size of an ordinary token
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tokens, origin: Float[Tensor, " b"]) -> tuple[Float[Tensor, "b t w"], Place]:
        """Embed one stream's tokens, their times counted from `origin`.

        The absent token is the first row of a clip whose rows are all padding, at the clip's start. It
        is chosen by `where`, not by `if`: the graph is the same for every batch, and has every
        parameter.
        """
        values, time, is_pad = tokens
        values = values.masked_fill(is_pad[..., None], 0.0)  # selects, so that nan does not survive
        time = (time - origin[:, None]).masked_fill(is_pad, 0.0)  # [b t] seconds since the clip's start
        is_first = torch.arange(is_pad.shape[1], device=is_pad.device) == 0  # [t]
        is_absent = is_pad.all(dim=1, keepdim=True) & is_first  # [b t]
        x = torch.where(is_absent[..., None], self.absent, self.projection(values))  # [b t w]
        return self.dropout(x + self.embedding), place_tokens(
            time, is_pad & ~is_absent, self.heads, self.head_dim
        )


def build_blocks(count: int, config: FusionConfig) -> nn.ModuleList:
    """A stack of `count` layers of the configured size."""
    blocks = (Block(config.width, config.heads, config.ffn_mult, config.dropout) for _ in range(count))
    return nn.ModuleList(blocks)


class CrossModal(nn.Module):
    """Directional cross-attention, every ordered pair of streams (Tsai et al., ACL 2019, section 3).

    For each pair a stack of its own lets the target stream gather from the source stream as it was
    before fusion. What a target gathered from its sources is joined token by token (a linear map back
    to one width, where Tsai et al. go on at a multiple of it) and goes through self-attention.
    """

    def __init__(self, streams: Sequence[str], config: FusionConfig):
        super().__init__()
        sources = {target: [name for name in streams if name != target] for target in streams}
        self.cross = nn.ModuleDict()  # [target][source]
        for target in streams:
            stacks = {source: build_blocks(config.layers, config) for source in sources[target]}
            self.cross[target] = nn.ModuleDict(stacks)
        # A single stream has nothing to gather from: it is left with its self-attention.
        gathering = [name for name in streams if sources[name]]
        self.source_norm = nn.ModuleDict({name: nn.LayerNorm(config.width) for name in gathering})
        self.join = nn.ModuleDict(
            {name: nn.Linear(config.width * len(sources[name]), config.width) for name in gathering}
        )
        self.own = nn.ModuleDict({name: build_blocks(config.self_layers, config) for name in streams})

    def forward(self, x: dict[str, Tensor], place: dict[str, Place]) -> dict[str, Tensor]:
        """Enrich every stream, [b t w] each, by all others."""
        source = {name: norm(x[name]) for name, norm in self.source_norm.items()}  # once for all its readers
        return {target: self._enrich(target, x[target], source, place) for target in x}

    def _enrich(
        self, target: str, x: Float[Tensor, "b t w"], source: dict[str, Tensor], place: dict[str, Place]
    ) -> Float[Tensor, "b t w"]:
        gathered = []
        for name, stack in self.cross[target].items():
            y = x
            for block in stack:
                y = block(y, place[target], source[name], place[name])
            gathered.append(y)
        if gathered:
            x = self.join[target](torch.cat(gathered, dim=-1))  # [b t w]
        for block in self.own[target]:
            x = block(x, place[target])
        return x


class Bottleneck(nn.Module):
    """Streams exchange through a few shared tokens only (Nagrani et al., NeurIPS 2021, section 3.2).

    In each layer every stream attends to itself and to the bottleneck tokens; the streams' versions of
    those tokens are then averaged. The `self_layers` come before, on each stream alone ("mid fusion",
    section 3.3). The tokens stand at the clip's start.
    """

    def __init__(self, streams: Sequence[str], config: FusionConfig):
        super().__init__()
        self.heads, self.head_dim = config.heads, config.width // config.heads
        self.tokens = nn.Parameter(torch.randn(config.bottleneck_tokens, config.width))
        self.own = nn.ModuleDict({name: build_blocks(config.self_layers, config) for name in streams})
        self.shared = nn.ModuleDict({name: build_blocks(config.layers, config) for name in streams})
        self.layers = config.layers

    def forward(self, x: dict[str, Tensor], place: dict[str, Place]) -> dict[str, Tensor]:
        """Mix the streams, [b t w] each."""
        x = dict(x)
        for name, blocks in self.own.items():
            for block in blocks:
                x[name] = block(x[name], place[name])
        clips = next(iter(x.values())).shape[0]
        shared = self.tokens.expand(clips, -1, -1)  # [b n w]
        start = torch.zeros(shared.shape[:2], device=shared.device)  # [b n] seconds
        shared_place = place_tokens(start, start.bool(), self.heads, self.head_dim)
        joint_place = {name: join_places([shared_place, place[name]]) for name in x}
        for layer in range(self.layers):
            versions = []
            for name, blocks in self.shared.items():
                joint = blocks[layer](torch.cat((shared, x[name]), dim=1), joint_place[name])
                version, x[name] = joint.tensor_split((shared.shape[1],), dim=1)  # [b n w], [b t w]
                versions.append(version)
            shared = torch.stack(versions).mean(dim=0)  # [b n w]
        return x


class Concat(nn.Module):
    """One transformer over the tokens of all streams: the early fusion that both papers compare with."""

    def __init__(self, streams: Sequence[str], config: FusionConfig):
        super().__init__()
        self.blocks = build_blocks(config.layers + config.self_layers, config)

    def forward(self, x: dict[str, Tensor], place: dict[str, Place]) -> dict[str, Tensor]:
        """Mix the streams, [b t w] each."""
        joint, joint_place = torch.cat(list(x.values()), dim=1), join_places(list(place.values()))
        for block in self.blocks:
            joint = block(joint, joint_place)
        parts = joint.split([part.shape[1] for part in x.values()], dim=1)
        return dict(zip(x, parts, strict=True))
