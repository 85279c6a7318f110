"""Augmentation of one training clip.

Everything is drawn from a generator that belongs to (seed, epoch, clip): the same clip gets the same
augmentation however many processes and workers load it, and after a resume. Validation and test clips never
come here.
"""

import os
from functools import cached_property, lru_cache

import numpy as np
import torch
import torchaudio
import torchaudio.functional as audio

from mosi_e2e.config import SPEED_STEPS, AugmentConfig
from mosi_e2e.data.streams import find_stream

Streams = dict[str, dict[str, np.ndarray]]  # stream → {"values": [T, ...], "time": [T]}


class Augmenter:
    """Augments the streams of one clip.

    Args:
        config: strengths.
        spread: standard deviation per column of each token stream, from the train split.
    """

    def __init__(self, config: AugmentConfig, spread: dict[str, np.ndarray]):
        self.config = config
        self.spread = spread

    @cached_property
    def pictures(self):
        """The albumentations pipeline, made when the first face comes: other models need none."""
        # Without it the import asks the network whether there is a newer version.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        from mosi_e2e.data.pictures import build_picture_transform

        return build_picture_transform(self.config)

    def __call__(self, streams: Streams, key: tuple[int, ...]) -> Streams:
        """Return augmented streams; empty ones stay empty.

        Args:
            streams: one clip's.
            key: what the draws depend on, such as (seed, epoch, number of the clip).
        """
        rng = np.random.default_rng(key)
        present = [name for name, stream in streams.items() if len(stream["values"])]
        dropped = self._draw_dropped(present, rng)
        factor = draw_speed(self.config.speed, rng)
        augmented = {}
        for name, stream in streams.items():
            values, time = stream["values"], stream["time"] / factor
            if name == dropped:
                values, time = values[:0], time[:0]
            elif len(values):  # a generator of its own: leaving out a stream changes no other's draws
                values, time = self._augment(
                    name, values, time, factor, np.random.default_rng([*key, *name.encode()])
                )
            augmented[name] = {"values": values, "time": time}
        return augmented

    def _draw_dropped(self, present: list[str], rng: np.random.Generator) -> str | None:
        drop, which = rng.random(), rng.random()
        if len(present) < 2 or drop >= self.config.stream_dropout:
            return None
        return sorted(present)[int(which * len(present))]

    def _augment(self, name, values, time, factor, rng):
        kind = find_stream(name).kind
        if kind == "crops":
            return self._augment_crops(values, rng), time
        if kind == "words" or name.endswith("_encoded"):
            return values, time
        if kind == "waveform":
            return augment_waveform(values, factor, self.config, rng), time
        noise = rng.standard_normal(values.shape, dtype=np.float32) * self.config.token_noise
        kept = draw_gap(len(values), self.config.time_mask, rng)
        return (values + noise * self.spread.get(name, 0.0))[kept].astype(np.float32), time[kept]

    def _augment_crops(self, crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One draw of parameters for all crops [T, H, W, 3] of the clip."""
        self.pictures.set_random_seed(int(rng.integers(2**31)))
        return self.pictures(images=crops)["images"]


def augment_waveform(
    waveform: np.ndarray, factor: float, config: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    """Tempo, loudness and noise of a waveform [S] float32 → [S / factor]."""
    sound = torch.from_numpy(waveform)
    if factor != 1.0:
        sound = change_speed(sound, factor)
    if config.gain_db:
        sound = audio.gain(sound, float(rng.uniform(-config.gain_db, config.gain_db)))
    if rng.random() < config.noise and sound.abs().max() > 0:
        noise = torch.from_numpy(rng.standard_normal(len(sound), dtype=np.float32))
        ratio = torch.tensor(rng.uniform(config.noise_db, config.noise_db + 20), dtype=torch.float32)
        sound = audio.add_noise(sound, noise, ratio)
    return sound.clamp(-1.0, 1.0).numpy()


def draw_speed(limit: float, rng: np.random.Generator) -> float:
    """A tempo factor in steps of a twentieth: few different ones, so that their resamplers are kept."""
    steps = round(limit * SPEED_STEPS)
    return 1.0 + rng.integers(-steps, steps + 1) / SPEED_STEPS if steps else 1.0


def change_speed(waveform: torch.Tensor, factor: float) -> torch.Tensor:
    """Play a waveform [S] `factor` times as fast."""
    return _resampler(round(factor * SPEED_STEPS))(waveform)


@lru_cache(maxsize=64)
def _resampler(twentieths: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(twentieths, SPEED_STEPS)


def draw_gap(count: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which of `count` rows stay when one gap of up to `share` of them is cut out; at least one stays."""
    width = int(rng.uniform(0, share) * count)
    start = int(rng.integers(0, count - width + 1))
    kept = np.ones(count, dtype=bool)
    kept[start : start + width] = False
    return kept
