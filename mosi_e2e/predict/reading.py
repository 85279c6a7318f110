"""What models say of windows, and how readings of several windows or models become one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Reading:
    """What one model says of W windows.

    Attributes:
        score: [W] in [-3, 3].
        by_stream: [W] per head of the model.
        alone: [W] per stream: the score with that stream alone.
        contribution: [W] per stream: Shapley values, or weighted scores (`result.Window`).
        effect: per window [seconds]: by how much its score falls without that second.
        draws: [N, W] scores under dropout; N may be 0.
        words: per window [words]: by how much its score falls without that word.
    """

    score: np.ndarray
    by_stream: dict[str, np.ndarray]
    alone: dict[str, np.ndarray]
    contribution: dict[str, np.ndarray]
    effect: list[np.ndarray]
    draws: np.ndarray
    words: list[np.ndarray] = field(default_factory=list)


def join_readings(readings: Sequence[Reading]) -> Reading:
    """Readings of one model about windows that follow one another."""

    def join(pick: Callable[[Reading], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([pick(one)[name] for one in readings]) for name in pick(readings[0])}

    return Reading(
        score=np.concatenate([one.score for one in readings]),
        by_stream=join(lambda one: one.by_stream),
        alone=join(lambda one: one.alone),
        contribution=join(lambda one: one.contribution),
        effect=[effect for one in readings for effect in one.effect],
        draws=np.concatenate([one.draws for one in readings], axis=1),
        words=[effect for one in readings for effect in one.words],
    )


def average_readings(readings: Sequence[Reading]) -> Reading:
    """Readings of several models about the same windows; there are draws of each or of none."""

    def average(pick: Callable[[Reading], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.mean([pick(one)[name] for one in readings], axis=0) for name in pick(readings[0])}

    return Reading(
        score=np.mean([one.score for one in readings], axis=0),
        by_stream=average(lambda one: one.by_stream),
        alone=average(lambda one: one.alone),
        contribution=average(lambda one: one.contribution),
        effect=[np.mean(effects, axis=0) for effects in zip(*(one.effect for one in readings), strict=True)],
        draws=readings[0].draws[:0],
        words=[np.mean(effects, axis=0) for effects in zip(*(one.words for one in readings), strict=True)],
    )
