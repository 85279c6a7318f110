"""Speech through the encoder of a Whisper model: one token per 20 ms, in the clip's own length."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mosi_e2e.models.config import SpeechConfig
from mosi_e2e.models.encoders.speech import SpeechEncoder, mark_first
from preprocessing.config import SAMPLE_RATE

WINDOW, HOP = 400, 160  # samples: 25 and 10 ms
RANGE = 8.0  # decades below a clip's loudest band that are kept
QUIETEST = 1e-10  # power


class WhisperSpeechEncoder(SpeechEncoder):
    """Encode a waveform into hidden states of Whisper's encoder.

    Whisper hears windows of 30 s that are filled up with silence (Radford et al. 2023, section 2.2). Here a
    clip is encoded in its own length: its frames have the positions that they would have there, and silence
    behind them is not attended to, which costs a fraction of the time. Longer clips are encoded in blocks of
    30 s, as Whisper itself does.
    """

    mel: Tensor
    window: Tensor

    def _prepare(self, config: SpeechConfig) -> int:
        from transformers.audio_utils import mel_filter_bank

        settings = self.backbone.config
        filters = mel_filter_bank(
            1 + WINDOW // 2,
            settings.num_mel_bins,
            0.0,
            8000.0,
            SAMPLE_RATE,
            norm="slaney",
            mel_scale="slaney",
        )
        self.register_buffer("mel", torch.from_numpy(filters).float().T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.normalise = bool(config.normalise)
        self.hop, self.receptive_field, self.first_centre = 2 * HOP, 2 * HOP, 0.0  # samples
        self.longest = settings.max_source_positions  # tokens of one block
        return settings.d_model

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        """All parameters: both convolutions, positions, then each transformer layer."""
        network = self.backbone
        layers = [list(layer.parameters()) for layer in network.layers]
        layers[-1].extend(network.layer_norm.parameters())
        stem = [*network.conv1.parameters(), *network.conv2.parameters()]
        return [stem, list(network.embed_positions.parameters()), *layers]

    def _count_tokens(self, n_samples: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        return (n_samples // HOP + 1) // 2

    def _run_stem(
        self, waveform: Float[Tensor, "b s"], n_samples: Int[Tensor, " b"]
    ) -> Float[Tensor, "b t c"]:
        frames = self._log_mel(waveform, n_samples // HOP)  # [b m f]
        network = self.backbone
        hidden = F.gelu(network.conv1(frames))
        hidden = F.gelu(network.conv2(hidden))
        return hidden[:, :, : (frames.shape[2] - 1) // 2].transpose(1, 2)

    def _log_mel(self, waveform: Float[Tensor, "b s"], n_frames: Int[Tensor, " b"]) -> Float[Tensor, "b m f"]:
        """Whisper's spectrogram, with two frames of silence behind the longest clip.

        As transformers' `WhisperFeatureExtractor`, on the device; silence is what each clip's own floor
        makes of it, so that the convolutions hear the same behind a clip whatever the batch.
        """
        with torch.autocast(waveform.device.type, enabled=False):
            padded = F.pad(waveform, (0, WINDOW + 2 * HOP))
            spectrum = torch.stft(padded, WINDOW, HOP, window=self.window, return_complex=True)
            spectrum = spectrum[..., : waveform.shape[1] // HOP + 2]
            log = (self.mel @ spectrum.abs().square()).clamp(min=QUIETEST).log10()  # [b m f]
        is_frame = mark_first(n_frames, log.shape[2])[:, None]  # [b 1 f]
        floor = log.masked_fill(~is_frame, -torch.inf).amax((1, 2), keepdim=True) - RANGE
        floor = floor.clamp(min=-10.0 - RANGE)  # of a clip without a frame
        return (torch.maximum(log.masked_fill(~is_frame, -torch.inf), floor) + 4.0) / 4.0

    def _run_transformer(
        self, features: Float[Tensor, "b t c"], is_key: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b t *l d"]:
        n_tokens, block = features.shape[1], min(features.shape[1], self.longest)
        more = -n_tokens % block
        hidden = F.pad(features, (0, 0, 0, more)).unflatten(1, (-1, block)).flatten(0, 1)  # [b * k, block, c]
        is_key = F.pad(is_key, (0, more)).unflatten(1, (-1, block)).flatten(0, 1)
        is_key = is_key | (torch.arange(block, device=is_key.device) == 0)  # a softmax over nothing is NaN
        hidden = hidden + self.backbone.embed_positions.weight[:block]
        bias = torch.zeros(is_key.shape, dtype=hidden.dtype, device=hidden.device)
        bias = bias.masked_fill(~is_key, -torch.inf)[:, None, None]  # [b * k, 1, 1, block]
        found = [hidden]
        for layer in self.backbone.layers:
            hidden = layer(hidden, bias)
            found.append(hidden)
        found[-1] = self.backbone.layer_norm(hidden)
        hidden = torch.stack(found, dim=2) if self.config.layers == "weighted" else found[-1]
        return hidden.unflatten(0, (features.shape[0], -1)).flatten(1, 2)[:, :n_tokens]

    def _count_layers(self) -> int:
        return len(self.backbone.layers)

    def _mask_padding(self) -> None:
        """Nothing to do: no layer of Whisper's looks beyond what it is given."""
