"""The baseline: two submodels whose hidden vectors meet in a shallow network.

The visual one reads behaviour tokens, the acoustic one openSMILE features.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from mosi_e2e.data.streams import find_stream, known_streams
from mosi_e2e.models.config import LateFusionConfig, encoder_settings
from mosi_e2e.models.encoders import build_encoder
from mosi_e2e.models.layers import ScoreHead, StreamSummary, build_head
from mosi_e2e.models.prediction import Prediction, bound_score


def list_submodels(streams: Collection[str], own: Iterable[str]) -> dict[str, list[str]]:
    """The streams of each submodel, in the order of registration, those of `own` last."""
    submodels: dict[str, list[str]] = {}
    for name in dict.fromkeys((*known_streams(), *own)):
        if name in streams:
            submodels.setdefault(find_stream(name).submodel or name, []).append(name)
    return submodels


class LateFusion(nn.Module):
    """Two submodels, trained jointly.

    Args:
        config: what to build.
        n_columns: values per row of each stream.
        n_outputs: numbers that are predicted of a clip: 1, or one logit for each class.
    """

    takes_encoded: ClassVar[bool] = False  # its encoders are small, or read words

    def __init__(self, config: LateFusionConfig, n_columns: Mapping[str, int], n_outputs: int = 1):
        super().__init__()
        streams = sorted(config.streams)
        self.bound = config.bound
        self.submodels = list_submodels(streams, config.tokens)
        sections = {s: encoder_settings(config, s) for s in streams}
        self.encoders = nn.ModuleDict({s: build_encoder(s, sections[s], n_columns.get(s)) for s in streams})
        self.summaries = nn.ModuleDict(
            {s: StreamSummary(self.encoders[s].width, config.width, config.dropout) for s in streams}
        )
        self.merge = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(config.width * len(members), config.width), nn.GELU())
                for name, members in self.submodels.items()
            }
        )
        joint = config.width * len(self.submodels)
        self.head = build_head(joint, config.width, config.dropout, n_outputs)
        self.stream_heads = nn.ModuleDict(
            {name: ScoreHead(config.width, n_outputs) for name in self.submodels}
        )

    def forward(self, batch: Mapping[str, Tensor]) -> Prediction:
        """Score a batch (see `mosi_e2e.data.batch`); `by_stream` holds the submodels' scores."""
        summary = {}
        for name, encoder in self.encoders.items():
            tokens = encoder(batch[name], batch[f"{name}_time"], batch[f"{name}_is_pad"])
            summary[name] = self.summaries[name](tokens.values, tokens.is_pad)  # [b w]
        hidden = {
            name: self.merge[name](torch.cat([summary[s] for s in members], dim=-1))
            for name, members in self.submodels.items()
        }
        raw = {name: self.stream_heads[name](h) for name, h in hidden.items()}
        by_stream = {name: bound_score(score, self.bound) for name, score in raw.items()}
        joint = self.head(torch.cat(list(hidden.values()), dim=-1))
        return Prediction(bound_score(joint, self.bound), by_stream)
