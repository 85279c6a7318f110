"""Tiny encoders of the real classes, batches for them, and what to ask of their gradients."""

from dataclasses import replace

import torch

from mosi_e2e.models.config import FaceConfig, SpeechConfig
from mosi_e2e.models.encoders import build_encoder

VIT = {"depth": 2, "embed_dim": 32, "num_heads": 2}
TINY_VIT = FaceConfig("vit_small_patch16_224", pretrained=False, kwargs=VIT, image_size=32, freeze="full")
GROUP_NORM = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "group",
}
LAYER_NORM = GROUP_NORM | {"feat_extract_norm": "layer", "do_stable_layer_norm": True}


def tiny_speech(**changes):
    defaults = {"model": "wav2vec2", "pretrained": False, "kwargs": GROUP_NORM, "freeze": "full"}
    return build_encoder("speech", SpeechConfig(**defaults | changes))


def tiny_face(**changes):
    return build_encoder("face", replace(TINY_VIT, **changes))


def mark_padding(lengths, total=None):
    return torch.arange(total or max(lengths)) >= torch.tensor(lengths)[:, None]


def waveforms(*lengths, total=None):
    """A padded batch of noise: values, time, is_pad."""
    is_pad = mark_padding(lengths, total)
    values = (0.1 * torch.randn(is_pad.shape) + 0.02).masked_fill(is_pad, 0.0)
    return values, torch.zeros(len(lengths), 1), is_pad


def crops(is_pad, size=32):
    """A batch of noise images, 5 per second: values, time, is_pad."""
    is_pad = torch.tensor(is_pad, dtype=torch.bool)
    values = torch.randint(0, 256, (*is_pad.shape, 3, size, size), dtype=torch.uint8)
    return values, torch.arange(is_pad.shape[1]).expand(is_pad.shape) / 5, is_pad


def rows(*lengths, n_columns=5, total=None):
    """A padded batch of token rows, 10 ms apart, NaN in padding: values, time, is_pad."""
    is_pad = mark_padding(lengths, total)
    values = torch.randn(*is_pad.shape, n_columns).masked_fill(is_pad[..., None], torch.nan)
    return values, torch.arange(is_pad.shape[1]).expand(is_pad.shape) * 0.01, is_pad


def take_clip(batch, clip, length):
    """One clip of a batch, without its padding."""
    return tuple(part[clip : clip + 1, :length] for part in batch)


def lacking_gradient(encoder):
    """Names of trainable parameters that a random loss on the last output did not reach."""
    return [
        name
        for name, p in encoder.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.isfinite().all() or not p.grad.any())
    ]


def backward(encoder, batch):
    encoder.zero_grad()
    values = encoder(*batch).values
    (values * torch.randn_like(values)).sum().backward()
