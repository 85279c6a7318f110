"""The cross-modal transformer: encoders per stream → fusion in time → one score."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from mosi_e2e.data.streams import encoded_name
from mosi_e2e.models.config import CrossModalConfig, encoder_settings
from mosi_e2e.models.encoders import build_encoder
from mosi_e2e.models.fusion import Fusion
from mosi_e2e.models.layers import ScoreHead, Tokens
from mosi_e2e.models.prediction import Prediction, bound_score


class CrossModalTransformer(nn.Module):
    """Scores clips from streams of tokens that meet by their times.

    Args:
        config: what to build.
        n_columns: values per row of each token stream.
    """

    takes_encoded: ClassVar[bool] = True  # a stream may come as its encoder's output (`data.encoded`)

    def __init__(self, config: CrossModalConfig, n_columns: Mapping[str, int]):
        super().__init__()
        self.encoders = nn.ModuleDict(
            {
                name: build_encoder(name, encoder_settings(config, name), n_columns.get(name))
                for name in sorted(config.streams)
            }
        )
        widths = {name: encoder.width for name, encoder in self.encoders.items()}
        self.bound = config.bound
        self.fusion = Fusion(config.streams, widths, config.fusion)
        width = config.fusion.width
        self.head = nn.Sequential(
            nn.Linear(self.fusion.out_width, width),
            nn.GELU(),
            nn.Dropout(config.head_dropout),
            ScoreHead(width),
        )
        self.stream_heads = nn.ModuleDict({name: ScoreHead(width) for name in self.encoders})

    def forward(self, batch: Mapping[str, Tensor]) -> Prediction:
        """Score a batch (see `mosi_e2e.data.batch`), of all streams or some; labels are not looked at."""
        given = {name: found for name in self.encoders if (found := find_stream(name, batch))}
        tokens = {}
        for name, (is_encoded, *stream) in given.items():
            tokens[name] = Tokens(*stream) if is_encoded else self.encoders[name](*stream)
        fused = self.fusion(tokens)
        raw = {name: head(fused.by_stream[name]) for name, head in self.stream_heads.items()}
        by_stream = {name: bound_score(score, self.bound) for name, score in raw.items()}
        return Prediction(bound_score(self.head(fused.pooled), self.bound), by_stream)


def find_stream(name: str, batch: Mapping[str, Tensor]) -> tuple[bool, Tensor, Tensor, Tensor] | None:
    """A stream's values, times and padding, and whether a frozen encoder has been over them; None: not there.

    Apart from the encoders, so that a compiled model does not carry the whole batch along, whose clip ids
    would make every batch a case of its own.
    """
    for key in (encoded_name(name), name):
        if key in batch:
            return key != name, batch[key], batch[f"{key}_time"], batch[f"{key}_is_pad"]
    return None
