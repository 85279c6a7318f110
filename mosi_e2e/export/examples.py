"""Made-up batches: to trace a model with, and to hold its exported forms against it."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mosi_e2e.data.streams import find_stream
from mosi_e2e.export.traceable import select_inputs


def make_batch(
    network: nn.Module,
    streams: Sequence[str],
    crop_size: int,
    seconds: Sequence[float],
    seed: int = 0,
    absent: Mapping[str, Sequence[int]] | None = None,
    single: int = 1,
) -> dict[str, Tensor]:
    """Noise in the range of each stream's real values, padded to the longest clip.

    Args:
        network: its encoders know the range of each token stream.
        streams: the model's.
        crop_size: side of the face crops, pixels.
        seconds: length of each clip.
        seed: of the noise.
        absent: by stream, the numbers of the clips that lack it.
        single: rows of the streams that have one row per clip.
    """
    random = torch.Generator().manual_seed(seed)
    batch = {}
    for name in streams:
        rate = find_stream(name).rate
        counts = torch.tensor([max(1, round(length * rate)) if rate else single for length in seconds])
        is_pad = torch.arange(int(counts.max())) >= counts[:, None]  # [b t]
        is_pad[list((absent or {}).get(name, ()))] = True
        values, time = _make_rows(network, name, is_pad, rate, crop_size, random)
        batch |= {name: values, f"{name}_time": time, f"{name}_is_pad": is_pad}
    return select_inputs(batch, list(streams))


def _make_rows(
    network: nn.Module, name: str, is_pad: Tensor, rate: float, crop_size: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    clips, length = is_pad.shape
    time = ((torch.arange(length) + 0.5) / (rate or 10)).expand(clips, -1).masked_fill(is_pad, 0.0)
    kind = find_stream(name).kind
    if kind == "crops":
        shape = (clips, length, 3, crop_size, crop_size)
        values = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
        return values.masked_fill(is_pad[..., None, None, None], 0), time
    if kind == "waveform":
        values = 0.1 * torch.randn(clips, length, generator=random)
        return values.masked_fill(is_pad, 0.0), torch.zeros(clips, 1)
    encoder = network.encoders[name]
    if kind == "words":
        most = encoder.backbone.config.vocab_size
        values = torch.randint(encoder.pad + 1, most, (clips, length), generator=random)
        return values.masked_fill(is_pad, encoder.pad), time
    noise = torch.randn(clips, length, len(encoder.mean), generator=random)
    return (encoder.mean + encoder.std * noise).masked_fill(is_pad[..., None], 0.0), time


def make_trials(network: nn.Module, streams: Sequence[str], crop_size: int) -> list[dict[str, Tensor]]:
    """Batches unlike the traced one: one clip, unequal lengths, one row only, each stream absent."""
    lengths = [[0.7], [1.6, 0.4, 1.1], [0.05]]
    trials = [
        make_batch(network, streams, crop_size, seconds, seed) for seed, seconds in enumerate(lengths, 1)
    ]
    for seed, name in enumerate(streams, 10):
        trials.append(make_batch(network, streams, crop_size, [0.9, 0.5], seed, {name: [0]}))
    lacking = {name: [0, 1] for name in streams[1:]}
    trials.append(make_batch(network, streams, crop_size, [0.6, 0.8], 30, lacking))
    return trials
