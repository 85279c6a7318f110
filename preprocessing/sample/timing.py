"""The variant `--cue timing`: what matters is when face and voice do something, not what or how often.

A clip has eight slots. In half of them the voice stresses its syllable, in half of them the face smiles; the
label is how many of the smiles fall on a stress, from none (-3) to all (+3). Given the label, either pattern
alone is any choice of four slots out of eight with equal probability, so neither stream alone says anything
about it, and neither does any summary of a stream that forgets when things happened. The jaw does not follow
the voice here: it would carry the voice into the face's stream.
"""

from typing import NamedTuple

import numpy as np

SLOTS = 8
SLOT_S = 0.34


class Events(NamedTuple):
    """In which slots the voice stresses and the face smiles; half of each are True."""

    voice: tuple[bool, ...]
    face: tuple[bool, ...]

    @property
    def label(self) -> float:
        """Sentiment in [-3, 3] by the share of smiles that fall on a stress."""
        together = sum(v and f for v, f in zip(self.voice, self.face, strict=True))
        return 6 * together / (SLOTS // 2) - 3


def deal_events(count: int, rng: np.random.Generator) -> list[Events]:
    """Events of `count` clips, every label equally often and in random order."""
    half = SLOTS // 2
    shared = rng.permutation([number % (half + 1) for number in range(count)])
    return [_draw_events(int(together), rng) for together in shared]


def _draw_events(together: int, rng: np.random.Generator) -> Events:
    half = SLOTS // 2
    slots = rng.permutation(SLOTS)
    stressed, unstressed = slots[:half], slots[half:]
    smiling = np.concatenate([rng.permutation(stressed)[:together], rng.permutation(unstressed)[together:]])
    return Events(*(tuple(slot in chosen for slot in range(SLOTS)) for chosen in (stressed, smiling)))


def place_slots(duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """Middle of each slot in seconds [slot]; the row of slots begins anywhere in the clip."""
    start = rng.uniform(0.05, duration_s - SLOTS * SLOT_S - 0.05)
    return start + (np.arange(SLOTS) + 0.5) * SLOT_S


def pulse(time: np.ndarray, centres: np.ndarray, chosen: tuple[bool, ...], width_s: float) -> np.ndarray:
    """A bump of height 1 at each chosen centre, [time]."""
    bumps = np.exp(-np.square((time[:, None] - centres[list(chosen)]) / width_s))
    return bumps.max(axis=1) if bumps.shape[1] else np.zeros(time.size)
