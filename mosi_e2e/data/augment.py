"""Augmentation of one training clip.

Everything is drawn from a generator that belongs to (seed, epoch, clip): the same clip is augmented alike
however many processes and workers load it, and after a resume. Validation and test clips never come here.
"""

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
import torchaudio
import torchaudio.functional as audio

from preprocessing.settings import check_range

SPEED_STEPS = 20  # tempo changes by multiples of 1/20: few resamplers, each made once
Streams = dict[str, dict[str, np.ndarray]]  # stream → {"values": [T, ...], "time": [T]}


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of each augmentation; 0 switches one off, `enabled: false` all.

    Attributes:
        flip: probability that a clip's faces are mirrored (crops only: tokens keep their sides).
        affine: largest shift (share of the side) and zoom of the crops; rotation is 90 degrees times this.
        colour: largest relative change of brightness, contrast and saturation.
        blur: probability of a slight Gaussian blur.
        gain_db: largest change of loudness.
        noise_db: lowest signal-to-noise ratio of added white noise, drawn up to 20 dB above it.
        noise: probability of adding that noise.
        speed: largest relative change of tempo; pitch goes along, the times of all streams are rescaled.
        token_noise: standard deviation of noise on tokens, in training standard deviations.
        time_mask: largest share of a token stream's rows that one gap removes.
        stream_dropout: probability that a clip loses one stream; it never loses its last.
    """

    enabled: bool = True
    flip: float = 0.5
    affine: float = 0.08
    colour: float = 0.25
    blur: float = 0.1
    gain_db: float = 6.0
    noise_db: float = 10.0
    noise: float = 0.5
    speed: float = 0.1
    token_noise: float = 0.1
    time_mask: float = 0.2
    stream_dropout: float = 0.1

    def __post_init__(self):
        shares = ("flip", "colour", "blur", "noise", "time_mask", "stream_dropout")
        check_range("augment", self, *shares, low=0, high=1)
        check_range("augment", self, "affine", low=0, below=1)  # a zoom to nothing cannot be undone
        check_range("augment", self, "gain_db", low=0, high=100)  # thousands overflow
        check_range("augment", self, "noise_db", low=-100, high=100)
        check_range("augment", self, "speed", low=0, high=1 - 1 / SPEED_STEPS)  # at 1 it may stand still
        check_range("augment", self, "token_noise", low=0)


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
        if name == "face":
            return self._augment_crops(values, rng), time
        if name.endswith("_encoded"):
            return values, time
        if name == "speech":
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
