"""Speech through a wav2vec 2.0, HuBERT, WavLM, data2vec-audio or Whisper model: one token per 20 ms."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mosi_e2e.models.config import SpeechConfig
from mosi_e2e.models.encoders.pretrained import PretrainedEncoder
from mosi_e2e.models.layers import Tokens
from mosi_e2e.models.strides import average_tokens
from preprocessing.config import SAMPLE_RATE
from preprocessing.errors import UserError

SMALLEST_SPREAD = 1e-3  # of a number that is the same throughout, and says nothing
FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "whisper")


class MaskedGroupNorm(nn.GroupNorm):
    """Group normalisation over the valid part of each clip, with `nn.GroupNorm`'s weights.

    Checkpoints with `feat_extract_norm: group` (wav2vec2-base, hubert-base, wavlm-base) begin with a
    normalisation of each channel over the whole clip, so that zeros behind a clip change all of its
    tokens.
    """

    @torch.compiler.disable  # a graph for every list of lengths: recompiled with nearly every batch
    def forward(self, hidden: Float[Tensor, "b c t"], n_valid: Int[Tensor, " b"]) -> Float[Tensor, "b c t"]:
        """Normalise the first `n_valid` frames of each clip; the others become 0.

        Clip by clip through the library's kernel: half the time of masked arithmetic over the batch, and
        no float32 temporary as large as the batch. A single frame has no variance and leads to no token.
        """
        output = torch.zeros_like(hidden)
        for clip, n_frames in enumerate(n_valid.tolist()):
            if n_frames > 1:
                output[clip, :, :n_frames] = super().forward(hidden[clip : clip + 1, :, :n_frames])[0]
        return output


class SpeechEncoder(PretrainedEncoder):
    """Encode a waveform into hidden states of a pretrained speech model: the last, or a mean of all layers'.

    A clip gives the same tokens alone and in a padded batch, whatever the family: statistics, attention
    and positional convolutions see its own samples only. A clip shorter than one receptive field has no
    token.
    """

    config_class: ClassVar[type] = SpeechConfig

    def __init__(self, config: SpeechConfig, n_columns: int | None = None):
        # Here, since transformers takes seconds to import, and reading a config should not.
        from mosi_e2e.models.encoders.speech_checkpoint import load_speech_model

        del n_columns  # a waveform has no columns
        backbone = load_speech_model(config.model, config.pretrained, config.kwargs)
        super().__init__(backbone, 0)
        self.config = config
        self.width = self._prepare(config)
        if config.gradient_checkpointing:
            backbone.activation_checkpointing_enable()
        if config.layers == "weighted":
            # One for what enters the first layer and one for what leaves each; equal at the start.
            count = 1 + self._count_layers()
            self.layer_weight = nn.Parameter(torch.zeros(count))
            self.register_buffer("layer_mean", torch.zeros(count, self.width))
            self.register_buffer("layer_std", torch.ones(count, self.width))
        self._mask_padding()
        self._freeze()

    @classmethod
    def choose(cls, config: SpeechConfig) -> type["SpeechEncoder"]:
        """The class for a checkpoint's family."""
        from mosi_e2e.models.encoders.checkpoints import read_settings
        from mosi_e2e.models.encoders.speech_checkpoint import SPEECH
        from mosi_e2e.models.encoders.whisper import WhisperSpeechEncoder

        family = read_settings(SPEECH, config.model, config.pretrained, config.kwargs).model_type
        return WhisperSpeechEncoder if family == "whisper" else cls

    def _prepare(self, config: SpeechConfig) -> int:
        """Note what depends on the family; returns the length of a token."""
        from mosi_e2e.models.encoders.speech_checkpoint import read_normalisation

        settings = self.backbone.config
        self.normalise = read_normalisation(config.model) if config.normalise is None else config.normalise
        self.hop = math.prod(settings.conv_stride)  # samples from one token to the next
        self.receptive_field = receptive_field(settings.conv_kernel, settings.conv_stride)  # samples
        self.first_centre = self.receptive_field / 2  # samples
        return settings.hidden_size

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        """All parameters: convolutional stem, projection with positions, then each transformer layer."""
        encoder = self.backbone.encoder
        layers = [list(layer.parameters()) for layer in encoder.layers]
        entry = [*self.backbone.feature_projection.parameters(), *encoder.pos_conv_embed.parameters()]
        # Models with `do_stable_layer_norm` normalise after the last layer, the others before the first.
        neighbour = layers[-1] if getattr(self.backbone.config, "do_stable_layer_norm", False) else entry
        neighbour.extend(encoder.layer_norm.parameters())
        return [list(self.backbone.feature_extractor.parameters()), entry, *layers]

    def standalone_config(self) -> SpeechConfig:
        """A config that rebuilds this network without hub or folder, for weights saved elsewhere."""
        from mosi_e2e.models.encoders.checkpoints import stand_alone
        from mosi_e2e.models.encoders.speech_checkpoint import SPEECH

        return stand_alone(SPEECH, self.config, self.backbone.config, normalise=self.normalise)

    def forward(
        self, values: Float[Tensor, "b s"], time: Float[Tensor, "b 1"], is_pad: Bool[Tensor, "b s"]
    ) -> Tokens:
        """Encode the waveforms of a batch.

        Args:
            values: in [-1, 1], 16 kHz.
            time: seconds, start of the first sample.
            is_pad: True = padding, which follows the clip.

        Returns:
            Tokens whose time is the centre of what their convolutions see.
        """
        return self.mix_layers(self.encode_layers(values, time, is_pad))

    def mix_layers(self, tokens: Tokens) -> Tokens:
        """The learned mean of all layers, where there is one; mixed tokens stay as they are."""
        if self.config.layers == "last" or tokens.values.shape[-1] == self.width:
            return tokens
        layers = tokens.values.unflatten(-1, (-1, self.width))  # [b t l d]
        layers = (layers - self.layer_mean) / self.layer_std
        share = self.layer_weight.softmax(dim=0)[:, None]
        mixed = (layers * share).sum(dim=-2).masked_fill(tokens.is_pad[..., None], 0.0)
        return tokens._replace(values=mixed)

    def set_layer_statistics(self, mean: Float[Tensor, " n"], std: Float[Tensor, " n"]) -> None:
        """Standardise each number of each layer by what it is in train.

        Frozen layers have a few numbers that are many times as large as all others, in which what is asked
        for does not lie; a head that learns at one rate for all would take long to look beyond them.

        Args:
            mean, std: of `encode_layers`' values [l * d] over train.
        """
        self.layer_mean.copy_(mean.view_as(self.layer_mean))
        self.layer_std.copy_(std.clamp(min=SMALLEST_SPREAD).view_as(self.layer_std))

    def encode_layers(
        self, values: Float[Tensor, "b s"], time: Float[Tensor, "b 1"], is_pad: Bool[Tensor, "b s"]
    ) -> Tokens:
        """As `forward`, before the layers are mixed: their tokens one behind the other [b t l * d].

        Each layer is standardised token by token: the sizes of layers differ a hundredfold in models that
        normalise before each layer, as Whisper's.
        """
        n_samples = (~is_pad).sum(1)  # [b]
        waveform = values.float().masked_fill(is_pad, 0.0)
        waveform = standardise(waveform, ~is_pad) if self.normalise else waveform
        waveform = F.pad(waveform, (0, max(0, self.receptive_field - waveform.shape[1])))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.stem_frozen):
            features = self._run_stem(waveform, n_samples)  # [b s] -> [b t c]
        n_tokens = self._count_tokens(n_samples)  # [b]
        is_token = mark_first(n_tokens, features.shape[1])  # [b t]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            # An absent clip attends to its first frame: a softmax over nothing would be NaN.
            is_key = mark_first(n_tokens.clamp(min=1), features.shape[1])  # [b t]
            hidden = self._run_transformer(features, is_key)  # [b t d], or of all layers [b t l d]
            if hidden.ndim > 3:
                hidden = F.layer_norm(hidden, hidden.shape[-1:]).flatten(2)
        position = torch.arange(hidden.shape[1], device=time.device)
        centre = (self.hop * position + self.first_centre) / SAMPLE_RATE  # [t] seconds
        tokens = Tokens(hidden.masked_fill(~is_token[..., None], 0.0), time + centre, ~is_token)
        return average_tokens(tokens, self.config.stride)

    def _count_tokens(self, n_samples: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        return self.backbone._get_feat_extract_output_lengths(n_samples).clamp(min=0)

    def _run_stem(
        self, waveform: Float[Tensor, "b s"], n_samples: Int[Tensor, " b"]
    ) -> Float[Tensor, "b t c"]:
        first, *others = self.backbone.feature_extractor.conv_layers
        hidden = waveform[:, None]  # [b 1 s]
        if isinstance(getattr(first, "layer_norm", None), MaskedGroupNorm):
            kernel, stride = first.conv.kernel_size[0], first.conv.stride[0]
            n_frames = (n_samples - kernel).div(stride, rounding_mode="floor") + 1
            hidden = first.activation(first.layer_norm(first.conv(hidden), n_frames))
        else:
            hidden = first(hidden)
        for layer in others:
            hidden = layer(hidden)
        return hidden.transpose(1, 2)

    def _run_transformer(
        self, features: Float[Tensor, "b t c"], is_key: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b t *l d"]:
        projected = self.backbone.feature_projection(features)
        hidden = projected[0] if isinstance(projected, tuple) else projected  # HuBERT returns one tensor
        self._is_key = is_key
        self._passed = []
        hidden = self.backbone.encoder(hidden, attention_mask=is_key).last_hidden_state
        self._is_key, passed, self._passed = None, self._passed, None
        # The model may normalise behind its last layer, so what leaves that one is what leaves the model.
        return torch.stack([*passed, hidden], dim=2) if self.config.layers == "weighted" else hidden

    def _count_layers(self) -> int:
        return len(self.backbone.encoder.layers)

    def _mask_padding(self) -> None:
        """Make every layer that looks along time take the end of a clip for the end of the batch.

        transformers zeroes padding once, before the positional convolution. That is not enough for the
        group normalisation in the stem, for several positional convolutions in a row (data2vec), or for
        a batch normalisation before them (HuBERT with `conv_pos_batch_norm`).
        """
        first = self.backbone.feature_extractor.conv_layers[0]
        norm = getattr(first, "layer_norm", None)
        if isinstance(norm, nn.GroupNorm):
            first.layer_norm = MaskedGroupNorm(norm.num_groups, norm.num_channels, norm.eps)
            first.layer_norm.load_state_dict(norm.state_dict())
        self._is_key: Tensor | None = None
        self._passed: list[Tensor] | None = None
        for module in self.backbone.encoder.pos_conv_embed.modules():
            if isinstance(module, nn.Conv1d):
                module.register_forward_pre_hook(self._zero_padding)
        for layer in self.backbone.encoder.layers:
            layer.attention.register_forward_pre_hook(_broadcast_mask, with_kwargs=True)
            if self.config.layers == "weighted":
                layer.register_forward_pre_hook(self._note_layer, with_kwargs=True)

    def _note_layer(self, layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Any]) -> None:
        """Before a transformer layer: keep what enters it, but not when it is recomputed backwards."""
        del layer
        if self._passed is not None:
            self._passed.append(inputs[0] if inputs else named["hidden_states"])

    def _zero_padding(self, module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        """Before a positional convolution: [b d t] with zeros in padding."""
        return (inputs[0] * self._is_key[:, None],)

    def _freeze(self) -> None:
        stem, entry, *layers = self.parameter_layers()
        last_n = self.config.last_n
        if self.config.freeze == "last_n" and last_n > len(layers):
            raise UserError(f"speech.last_n is at most this model's {len(layers)} layers; found {last_n}")
        n_full = len(layers) + 1 + (not self.config.freeze_stem)
        n_trainable = {"frozen": 0, "last_n": last_n, "full": n_full}[self.config.freeze]
        self.freeze_layers([stem, entry, *layers], n_trainable)
        self.stem_frozen = not any(parameter.requires_grad for parameter in stem)


def _broadcast_mask(
    attention: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Any]
) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    """Every query sees the same keys: a row per clip says what transformers' [b 1 t t] says.

    `torch.compile` with varying lengths takes the strides of that square, and of any mask that is not in
    the type of the sums already, for constants (PyTorch 2.11, on a processor).
    """
    mask = named.get("attention_mask")
    if mask is not None and mask.ndim == 4 and mask.dtype == torch.bool:
        is_key = mask[:, :, :1]  # [b 1 1 t]
        bias = torch.zeros(is_key.shape, dtype=inputs[0].dtype, device=mask.device)
        named = {**named, "attention_mask": bias.masked_fill(~is_key, -torch.inf)}
    return inputs, named


def mark_first(count: Int[Tensor, " b"], length: int) -> Bool[Tensor, "b length"]:
    """True in the first `count` of `length` places."""
    return torch.arange(length, device=count.device) < count[:, None]


def standardise(waveform: Float[Tensor, "b s"], is_valid: Bool[Tensor, "b s"]) -> Float[Tensor, "b s"]:
    """Zero mean and unit variance over each clip's valid samples, zero elsewhere.

    As transformers' `Wav2Vec2FeatureExtractor` does, epsilon included, but on the device.

    Args:
        waveform: zero where not valid.
        is_valid: True = a sample of the clip.
    """
    count = is_valid.sum(1, keepdim=True).clamp(min=1)
    centred = (waveform - waveform.sum(1, keepdim=True) / count).masked_fill(~is_valid, 0.0)
    variance = centred.square().sum(1, keepdim=True) / count
    return centred * (variance + 1e-7).rsqrt()


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Input samples that one output of a chain of convolutions sees; 400 in published models."""
    field_size, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field_size += (kernel - 1) * hop
        hop *= stride
    return field_size
