"""A trained model in a form that `torch.export` can trace once for every batch size and length.

Nothing of the model's own code changes: a copy of it gets stand-ins for the places whose work depends on the
values of a batch, or on a length in a way that cannot be free. They compute the same.

- `FaceEncoder` runs only the frames that are there. `EveryFrame` runs all and blanks the others.
- `TextEncoder` and `WhisperSpeechEncoder` cut what is long into blocks. `OneBlock` and `OneWindow` take one
  block alone.
- `MaskedGroupNorm` goes from clip to clip. `MaskedArithmetic` does all clips at once.
- A length of one row is a special case to a tracer: broadcasting. `OneMoreRow` appends a row of padding,
  which has no influence on anything, so that no sequence has one row only.
"""

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from mosi_e2e.engine.losses import Objective
from mosi_e2e.export.whisper import OneWindow
from mosi_e2e.models.encoders.face import FaceEncoder
from mosi_e2e.models.encoders.speech import MaskedGroupNorm, SpeechEncoder
from mosi_e2e.models.encoders.text import TextEncoder
from mosi_e2e.models.encoders.whisper import WhisperSpeechEncoder
from mosi_e2e.models.layers import Tokens


class TraceableModel(nn.Module):
    """Inputs of a batch in, what is written down as a prediction out.

    Args:
        network: a trained model; it is copied.
        objective: of its task: a binary model's scores are probabilities of "positive".
        crop_size: side of the face crops in pixels, of the cache that it was trained on.
    """

    def __init__(self, network: nn.Module, objective: Objective, crop_size: int):
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.objective = objective
        encoders = {name: _replace_parts(part, crop_size) for name, part in self.network.encoders.items()}
        self.network.encoders = nn.ModuleDict(
            {name: OneMoreRow(encoder) for name, encoder in encoders.items()}
        )

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Score a batch.

        Args:
            batch: `<stream>`, `<stream>_time` and `<stream>_is_pad` of every stream (`mosi_e2e.data.batch`).

        Returns:
            `score` [b], and `score_<name>` [b] of each stream or submodel alone.
        """
        prediction = self.network(batch)
        named = {f"score_{name}": score for name, score in prediction.by_stream.items()}
        scores = {"score": prediction.score} | named
        return {name: self.objective.to_score(raw) for name, raw in scores.items()}


def _replace_parts(encoder: nn.Module, crop_size: int) -> nn.Module:
    if isinstance(encoder, FaceEncoder):
        return EveryFrame(encoder, crop_size)
    if isinstance(encoder, WhisperSpeechEncoder):
        return OneWindow(encoder)
    if isinstance(encoder, SpeechEncoder):
        return LongEnough(encoder)
    if isinstance(encoder, TextEncoder):
        return OneBlock(encoder)
    return encoder


def list_longest(network: nn.Module) -> dict[str, int]:
    """Most rows that a traced form takes of a stream, where there is a most: tokens or samples of a block."""
    longest = {}
    for name, encoder in network.encoders.items():
        if isinstance(encoder, TextEncoder):
            longest[name] = encoder.longest - 1  # one of padding follows
        elif isinstance(encoder, WhisperSpeechEncoder):
            longest[name] = encoder.longest * encoder.hop
    return longest


class OneMoreRow(nn.Module):
    """An encoder whose tokens are followed by one of padding."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder, self.width = encoder, encoder.width

    def forward(self, values: Tensor, time: Tensor, is_pad: Tensor) -> Tokens:
        """As the encoder's own."""
        tokens = self.encoder(values, time, is_pad)
        return Tokens(
            F.pad(tokens.values, (0, 0, 0, 1)),
            F.pad(tokens.time, (0, 1)),
            F.pad(tokens.is_pad, (0, 1), value=True),
        )


class EveryFrame(nn.Module):
    """`FaceEncoder` that runs frames of padding, too.

    Resizing is linear and goes over rows and columns one after the other, so it is two matrices: they are
    what `F.interpolate` makes of a picture with a single bright pixel in each place.
    """

    down: Tensor
    across: Tensor

    def __init__(self, encoder: FaceEncoder, crop_size: int):
        super().__init__()
        self.encoder, self.width = encoder, encoder.width
        self.resizes = encoder.size != (crop_size, crop_size)
        down, across = (_resize_matrix(crop_size, side, encoder.interpolation) for side in encoder.size)
        self.register_buffer("down", down)
        self.register_buffer("across", across.T.contiguous())

    def forward(
        self, values: UInt8[Tensor, "b t 3 h w"], time: Float[Tensor, "b t"], is_pad: Bool[Tensor, "b t"]
    ) -> Tokens:
        """As `FaceEncoder.forward`."""
        frames = values.flatten(0, 1).float()
        frames = F.pad(frames, (0, 0, 0, 0, 0, 0, 0, 1))  # never a single one, see the module's first lines
        if self.resizes:
            frames = (self.down @ frames @ self.across).clamp(0, 255)
        encoded = self.encoder.backbone((frames - self.encoder.mean) / self.encoder.std)[:-1]
        tokens = encoded.unflatten(0, is_pad.shape)  # [b * t, d] -> [b t d]
        return Tokens(tokens.masked_fill(is_pad[..., None], 0.0), time, is_pad)


def _resize_matrix(source: int, target: int, mode: str) -> Float[Tensor, "target source"]:
    """What resizing does to a column of `source` pixels."""
    points = torch.eye(source)[None, None]  # one column for each place of the bright pixel
    return F.interpolate(points, (target, source), mode=mode, antialias=True)[0, 0]


class LongEnough(nn.Module):
    """`SpeechEncoder` for waveforms of any length from one sample on: two tokens of padding behind each."""

    def __init__(self, encoder: SpeechEncoder):
        super().__init__()
        self.encoder, self.width = encoder, encoder.width
        first = encoder.backbone.feature_extractor.conv_layers[0]
        if isinstance(getattr(first, "layer_norm", None), MaskedGroupNorm):
            first.layer_norm = MaskedArithmetic(first.layer_norm)
        self.padding = encoder.receptive_field + encoder.hop  # samples

    def forward(
        self, values: Float[Tensor, "b s"], time: Float[Tensor, "b 1"], is_pad: Bool[Tensor, "b s"]
    ) -> Tokens:
        """As `SpeechEncoder.forward`."""
        values = F.pad(values, (0, self.padding))
        return self.encoder(values, time, F.pad(is_pad, (0, self.padding), value=True))


class OneBlock(nn.Module):
    """`TextEncoder` for texts that its positions can hold, with one token of padding behind."""

    def __init__(self, encoder: TextEncoder):
        super().__init__()
        self.encoder, self.width = encoder, encoder.width

    def forward(
        self, values: Int[Tensor, "b t"], time: Float[Tensor, "b t"], is_pad: Bool[Tensor, "b t"]
    ) -> Tokens:
        """As `TextEncoder.forward`."""
        ids = F.pad(values.masked_fill(is_pad, self.encoder.pad), (0, 1), value=self.encoder.pad)
        is_key = F.pad(~is_pad, (0, 1)) | (torch.arange(ids.shape[1], device=ids.device) == 0)
        hidden = self.encoder.backbone(input_ids=ids, attention_mask=is_key.long())[0][:, :-1]
        return Tokens(hidden.masked_fill(is_pad[..., None], 0.0), time, is_pad)


class MaskedArithmetic(MaskedGroupNorm):
    """`MaskedGroupNorm` without a loop over clips."""

    def __init__(self, norm: MaskedGroupNorm):
        super().__init__(norm.num_groups, norm.num_channels, norm.eps)
        self.load_state_dict(norm.state_dict())

    def forward(self, hidden: Float[Tensor, "b c t"], n_valid: Int[Tensor, " b"]) -> Float[Tensor, "b c t"]:
        """As `MaskedGroupNorm.forward`."""
        is_valid = torch.arange(hidden.shape[2], device=hidden.device) < n_valid[:, None, None]  # [b 1 t]
        grouped = hidden.unflatten(1, (self.num_groups, -1))  # [b g c/g t]
        there = is_valid[:, None].to(hidden.dtype)  # [b 1 1 t]
        count = (n_valid.clamp(min=1) * grouped.shape[2])[:, None, None, None]
        mean = (grouped * there).sum((2, 3), keepdim=True) / count
        centred = grouped - mean
        variance = (centred.square() * there).sum((2, 3), keepdim=True) / count
        normal = (centred * (variance + self.eps).rsqrt()).flatten(1, 2)  # [b c t]
        return (normal * self.weight[:, None] + self.bias[:, None]).masked_fill(~is_valid, 0.0)


def list_inputs(streams: list[str]) -> list[str]:
    """Names of the tensors that a model of these streams reads, in order."""
    return [f"{name}{part}" for name in streams for part in ("", "_time", "_is_pad")]


def select_inputs(batch: Mapping[str, object], streams: list[str]) -> dict[str, Tensor]:
    """The tensors of a batch that the model reads, in order."""
    return {name: batch[name] for name in list_inputs(streams)}
