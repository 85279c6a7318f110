"""The cross-modal transformer: each stream's own score, and what attention between the streams adds to it.

    score = mean of the streams' own scores + correction

A stream's own score reads its tokens before they meet the others', as the baseline does. The correction comes
from the fusion in time and starts small. It is linear in what the fusion says of each stream: behind a hidden
layer, or starting at zero, it was seen to miss what lies in timing alone (docs/results.md).
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mosi_e2e.data.streams import encoded_name
from mosi_e2e.models.config import CrossModalConfig, encoder_settings
from mosi_e2e.models.encoders import build_encoder
from mosi_e2e.models.fusion import Fusion, complete_tokens
from mosi_e2e.models.layers import ScoreHead, StreamSummary, Tokens, build_head
from mosi_e2e.models.prediction import Prediction, bound_score


class CrossModalTransformer(nn.Module):
    """Scores clips from streams of tokens that meet by their times.

    A clip with one stream has nothing to correct: its score is that stream's own. A model of one stream is
    built without the fusion.

    Args:
        config: what to build.
        n_columns: values per row of each token stream.
        n_outputs: numbers that are predicted of a clip: 1, or one logit for each class.
    """

    takes_encoded: ClassVar[bool] = True  # a stream may come as its encoder's output (`data.encoded`)

    def __init__(self, config: CrossModalConfig, n_columns: Mapping[str, int], n_outputs: int = 1):
        super().__init__()
        self.encoders = nn.ModuleDict(
            {
                name: build_encoder(name, encoder_settings(config, name), n_columns.get(name))
                for name in sorted(config.streams)
            }
        )
        self.widths = {name: encoder.width for name, encoder in self.encoders.items()}
        self.bound = config.bound
        width, dropout = config.fusion.width, config.head_dropout
        self.summaries = nn.ModuleDict(
            {name: StreamSummary(wide, width, dropout) for name, wide in self.widths.items()}
        )
        self.stream_heads = nn.ModuleDict(
            {name: build_head(width, width, dropout, n_outputs) for name in self.widths}
        )
        if len(self.widths) > 1:
            self.fusion = Fusion(config.streams, self.widths, config.fusion)
            self.correction = ScoreHead(self.fusion.out_width, n_outputs)
            self.scale = config.correction

    def forward(self, batch: Mapping[str, Tensor]) -> Prediction:
        """Score a batch (see `mosi_e2e.data.batch`), of all streams or some; labels are not looked at."""
        given = {name: found for name in self.encoders if (found := find_input(name, batch))}
        tokens = {}
        for name, (is_encoded, *stream) in given.items():
            encoder = self.encoders[name]
            tokens[name] = finish_tokens(encoder, Tokens(*stream)) if is_encoded else encoder(*stream)
        tokens = complete_tokens(tokens, self.widths)
        own = {
            name: head(self.summaries[name](tokens[name].values, tokens[name].is_pad))
            for name, head in self.stream_heads.items()
        }
        is_there = torch.stack([~tokens[name].is_pad.all(dim=1) for name in own])  # [s b]
        score = average_votes(torch.stack(list(own.values())), is_there)
        if len(own) > 1:
            correction = self.scale * self.correction(self.fusion(tokens).pooled)
            has_several = align(is_there.sum(dim=0) > 1, correction)
            score = score + torch.where(has_several, correction, 0.0)
        by_stream = {name: bound_score(raw, self.bound) for name, raw in own.items()}
        return Prediction(bound_score(score, self.bound), by_stream)


def finish_tokens(encoder: nn.Module, tokens: Tokens) -> Tokens:
    """What was kept of a frozen encoder, as far as it is still to be mixed of several layers."""
    return encoder.mix_layers(tokens) if hasattr(encoder, "mix_layers") else tokens


def align(flags: Tensor, values: Tensor) -> Tensor:
    """Flags of clips with the further axes of their values, where there are several values of a clip."""
    return flags.reshape(flags.shape + (1,) * (values.ndim - flags.ndim))


def average_votes(votes: Float[Tensor, "s b *c"], is_there: Bool[Tensor, "s b"]) -> Float[Tensor, " b *c"]:
    """Mean over the streams that a clip has; over all, where it has none."""
    counts = align(is_there | ~is_there.any(dim=0), votes).to(votes.dtype)
    return (votes * counts).sum(dim=0) / counts.sum(dim=0)


def find_input(name: str, batch: Mapping[str, Tensor]) -> tuple[bool, Tensor, Tensor, Tensor] | None:
    """A stream's values, times and padding, and whether a frozen encoder has been over them; None: not there.

    Apart from the encoders, so that a compiled model does not carry the whole batch along, whose clip ids
    would make every batch a case of its own.
    """
    for key in (encoded_name(name), name):
        if key in batch:
            return key != name, batch[key], batch[f"{key}_time"], batch[f"{key}_is_pad"]
    return None
