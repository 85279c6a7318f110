"""Whisper's encoder in a form that can be traced and written as ONNX."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mosi_e2e.models.encoders.speech import mark_first
from mosi_e2e.models.encoders.whisper import HOP, QUIETEST, RANGE, WINDOW, WhisperSpeechEncoder
from mosi_e2e.models.layers import Tokens


class OneWindow(WhisperSpeechEncoder):
    """`WhisperSpeechEncoder` for clips of one block (30 s), with two tokens of padding behind each.

    The spectrum is a convolution with windowed waves: ONNX programs know no complex numbers. The padding
    lets a clip have any length from one sample on; it is not attended to, and has positions of its own.

    Args:
        encoder: whose parts it takes over.
    """

    waves: Tensor
    positions: Tensor

    def __init__(self, encoder: WhisperSpeechEncoder):
        nn.Module.__init__(self)  # no weights are made: they are those of the encoder
        vars(self).update(vars(encoder))
        turn = 2 * torch.pi / WINDOW * torch.arange(WINDOW, dtype=torch.float64)
        angle = turn * torch.arange(1 + WINDOW // 2)[:, None]  # [frequencies, samples]
        waves = torch.cat([angle.cos(), angle.sin()]) * encoder.window.double()
        self.register_buffer("waves", waves.float()[:, None], persistent=False)
        self.padding = self.receptive_field + self.hop  # samples
        positions = F.pad(encoder.backbone.embed_positions.weight.detach(), (0, 0, 0, 2))
        self.register_buffer("positions", positions, persistent=False)

    def forward(
        self, values: Float[Tensor, "b s"], time: Float[Tensor, "b 1"], is_pad: Bool[Tensor, "b s"]
    ) -> Tokens:
        """As `WhisperSpeechEncoder.forward`."""
        values = F.pad(values, (0, self.padding))
        return super().forward(values, time, F.pad(is_pad, (0, self.padding), value=True))

    def _log_mel(self, waveform: Float[Tensor, "b s"], n_frames: Int[Tensor, " b"]) -> Float[Tensor, "b m f"]:
        """As `WhisperSpeechEncoder._log_mel`."""
        half = WINDOW // 2
        mirrored = waveform[:, 1 : half + 1].flip(1)  # in front, as `torch.stft` does
        padded = torch.cat([mirrored, F.pad(waveform, (0, half + HOP))], dim=1)
        real, imaginary = F.conv1d(padded[:, None], self.waves, stride=HOP).chunk(2, dim=1)
        power = real.square() + imaginary.square()  # [b 201 f], with f = s // HOP + 2
        bands = F.linear(power.transpose(1, 2), self.mel).transpose(1, 2)
        log = bands.clamp(min=QUIETEST).log10()  # [b m f]
        is_frame = mark_first(n_frames, log.shape[2])[:, None]  # [b 1 f]
        loudest = log.masked_fill(~is_frame, -torch.inf).amax((1, 2), keepdim=True)
        floor = (loudest - RANGE).clamp(min=-10.0 - RANGE)
        return (torch.maximum(log.masked_fill(~is_frame, -torch.inf), floor) + 4.0) / 4.0

    def _run_stem(
        self, waveform: Float[Tensor, "b s"], n_samples: Int[Tensor, " b"]
    ) -> Float[Tensor, "b t c"]:
        """As `WhisperSpeechEncoder._run_stem`."""
        network = self.backbone
        hidden = F.gelu(network.conv1(self._log_mel(waveform, n_samples // HOP)))
        return F.gelu(network.conv2(hidden))[:, :, :-1].transpose(1, 2)

    def _run_transformer(
        self, features: Float[Tensor, "b t c"], is_key: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b t *l d"]:
        """As `WhisperSpeechEncoder._run_transformer`, of one block."""
        hidden = features + self.positions[: features.shape[1]]
        bias = torch.zeros(is_key.shape, dtype=hidden.dtype, device=hidden.device)
        bias = bias.masked_fill(~is_key, -torch.inf)[:, None, None]  # [b 1 1 t]
        found = [hidden]
        for layer in self.backbone.layers:
            hidden = layer(hidden, bias)
            found.append(hidden)
        found[-1] = self.backbone.layer_norm(hidden)
        return torch.stack(found, dim=2) if self.config.layers == "weighted" else found[-1]
