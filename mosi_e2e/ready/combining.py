"""How the streams' scores become one: by inverse variance, those that know opinions first.

No set of data has the face, the voice and the words of the same people with their opinions. So nothing is
learned about how streams go together: each has an error of its own, measured on people it never saw, and the
precise ones count more. A stream that learned something else than opinions, such as acted emotions, has no
say where one is present that learned opinions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

ABSENT = 0.0  # the score where nothing is seen or heard


@dataclass(frozen=True)
class StreamFacts:
    """What is known of one stream.

    Attributes:
        folder: of its model, below the folder of the ready model.
        opinion: how much it counts beside others that know opinions; 0: it has learned something else.
        sd: root mean square error of its scores on held-out people, on the scale of -3 to 3.
        half_width: level, in percent → how far around a score that share of held-out labels lies.
        data: names of the sets that it learned from.
        terms: on which its weights may be used.
        tried_on: which clips `sd` and `half_width` come from, in words.
        clips, people: how many of them there were; speakers, where they are known, else videos.
        scores: further metrics on clips that were not used to choose anything, by key.
        valence: class → sentiment, for a model of classes; None leaves a class out.
        weight: class → by what its probability is multiplied, so that negative, neutral and positive ones
            are equally likely before anything is known.
        grey: whether it learned from pictures without colour.
    """

    folder: str
    opinion: float
    sd: float
    half_width: dict[str, float]
    data: list[str]
    terms: str
    tried_on: str
    clips: int
    people: int
    scores: dict[str, float | None] = field(default_factory=dict)
    valence: dict[str, float | None] = field(default_factory=dict)
    weight: dict[str, float] = field(default_factory=dict)
    grey: bool = False

    def find_half_width(self, level: float) -> float | None:
        """Of the lowest level that is known and not below the one asked for; None above all."""
        known = sorted((float(percent), width) for percent, width in self.half_width.items())
        return next((width for percent, width in known if percent >= 100 * level - 1e-9), None)


def share_weights(facts: Mapping[str, StreamFacts]) -> dict[str, float]:
    """The weights of streams that are there together; they add up to 1.

    >>> one = StreamFacts("", 1, 0.9, {}, [], "", "", 0, 0)
    >>> other = StreamFacts("", 0, 0.5, {}, [], "", "", 0, 0)
    >>> share_weights({"words": one, "face": other}), share_weights({"face": other})
    ({'words': 1.0, 'face': 0.0}, {'face': 1.0})
    """
    knows = any(one.opinion for one in facts.values())
    precision = {name: (one.opinion if knows else 1.0) / one.sd**2 for name, one in facts.items()}
    total = sum(precision.values())
    return {name: value / total for name, value in precision.items()}


def combine(scores: Mapping[str, float], facts: Mapping[str, StreamFacts]) -> float:
    """One score of the streams that are there; `ABSENT` of none."""
    weights = share_weights({name: facts[name] for name in scores})
    return float(sum(weights[name] * score for name, score in scores.items())) if scores else ABSENT


def balance_classes(valence: Mapping[str, float | None], likely: Mapping[str, float]) -> dict[str, float]:
    """What each class's probability is multiplied by (`StreamFacts.weight`).

    Args:
        valence: class → sentiment; a class of None is left out.
        likely: class → how likely it was before anything was known: its share of the training clips, or
            equal ones where the loss was balanced.

    >>> balance_classes({"sad": -2, "angry": -2, "happy": 2}, {"sad": 0.25, "angry": 0.25, "happy": 0.5})
    {'sad': 1.0, 'angry': 1.0, 'happy': 1.0}
    """
    signs = {name: np.sign(value) for name, value in valence.items() if value is not None}
    groups = len(set(signs.values()))
    same = {name: list(signs.values()).count(sign) for name, sign in signs.items()}
    return {name: float(1 / (groups * same[name] * likely[name])) for name in signs}


def score_classes(
    probability: np.ndarray,
    classes: list[str],
    valence: Mapping[str, float | None],
    weight: Mapping[str, float],
) -> np.ndarray:
    """The mean sentiment of classes under probabilities [N, C] → [N]."""
    weights = np.array([weight.get(name, 0.0) for name in classes])
    values = np.array([valence.get(name) or 0.0 for name in classes])
    shares = probability * weights
    return shares @ values / np.maximum(shares.sum(axis=1), 1e-9)
