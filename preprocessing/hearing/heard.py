"""What a recogniser makes of a waveform."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from preprocessing.cache.store import Arrays
from preprocessing.cache.words import pack_words
from preprocessing.hearing.voice import Span


class Word(NamedTuple):
    """One word.

    Attributes:
        text: without blanks.
        start_s, end_s: seconds of the waveform.
        confidence: 0 to 1.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float


class Recogniser(Protocol):
    """Hears words in one piece of a waveform."""

    def hear(self, piece: np.ndarray) -> list[Word]:
        """The words of a piece [S] float32 in [-1, 1], 16 kHz; times count from its start."""


def place_words(words: Iterable[Word], within: Span) -> list[Word]:
    """Words of a piece on the waveform's clock: in order, without overlap, inside the piece."""
    placed: list[Word] = []
    reached = within.start_s
    for word in words:
        start = min(max(within.start_s + word.start_s, reached), within.end_s)
        reached = min(max(within.start_s + word.end_s, start), within.end_s)
        placed.append(word._replace(start_s=start, end_s=reached))
    return placed


def pack_heard(words: list[Word]) -> Arrays:
    """The arrays of the cache (`preprocessing.cache.words`)."""
    texts, starts, ends, confidence = zip(*words, strict=True) if words else ((), (), (), ())
    return pack_words(texts, np.array(starts, float), np.array(ends, float), np.array(confidence, float))


def spread_text(texts: Sequence[str], speech: Sequence[Span]) -> list[Word]:
    """Words over runs of speech, in proportion to their letters.

    >>> [tuple(word) for word in spread_text(["ab", "cd"], [Span(1, 2), Span(5, 6)])]
    [('ab', 1.0, 2.0, 1.0), ('cd', 5.0, 6.0, 1.0)]
    """
    sizes = np.array([len(text) + 1 for text in texts], float)
    spoken = np.cumsum([0.0, *(end - start for start, end in speech)])
    edges = np.cumsum([0.0, *sizes]) * (spoken[-1] / max(sizes.sum(), 1.0))
    words = []
    for text, first, last in zip(texts, edges[:-1], edges[1:], strict=True):
        begins = min(int(np.searchsorted(spoken, first + 1e-9, "right")) - 1, len(speech) - 1)
        ends = max(int(np.searchsorted(spoken, last - 1e-9, "left")) - 1, begins)
        start = speech[begins].start_s + first - spoken[begins]
        end = speech[ends].start_s + last - spoken[ends]
        words.append(Word(text, float(start), float(max(start, end)), 1.0))
    return words
