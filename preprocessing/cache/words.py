"""Words with times as arrays of a cache, and back.

words             [T, W] uint8    each word in UTF-8, zeros behind it; W: bytes of the clip's longest
words_time        [T] float64     seconds on the clip's clock, middle of each word
words_length      [T] float32     seconds
words_confidence  [T] float32     0 to 1
"""

from collections.abc import Sequence

import numpy as np

from preprocessing.cache.store import Arrays

LONGEST_WORD = 255  # bytes; what is longer is cut there
CONTEXT_END = "|"  # stands between the sentences before a clip and its own words
WORDS_PER_SECOND = 2.5  # of a clip whose length is not known: conversational English, roughly


def pack_words(
    words: Sequence[str], starts: np.ndarray, ends: np.ndarray, confidence: np.ndarray | None = None
) -> Arrays:
    """The arrays of a clip's words.

    Args:
        words: each without blanks.
        starts: [T] seconds.
        ends: [T] seconds, not before `starts`.
        confidence: [T]; None: not known, 1.
    """
    coded = [cut_word(word) for word in words]
    matrix = np.zeros((len(words), max(map(len, coded), default=1)), np.uint8)
    for row, word in zip(matrix, coded, strict=True):
        row[: len(word)] = np.frombuffer(word, np.uint8)
    certain = np.ones(len(words)) if confidence is None else confidence
    return {
        "words": matrix,
        "words_time": (np.asarray(starts, float) + np.asarray(ends, float)) / 2,
        "words_length": np.subtract(ends, starts).astype(np.float32),
        "words_confidence": np.asarray(certain, np.float32),
    }


def cut_word(word: str) -> bytes:
    """A word in UTF-8, cut between characters where it is too long."""
    return word.encode()[:LONGEST_WORD].decode(errors="ignore").encode()


def unpack_words(matrix: np.ndarray) -> list[str]:
    """The words of an array [T, W] uint8.

    >>> unpack_words(pack_words(["a", "film"], [0, 1], [1, 2])["words"])
    ['a', 'film']
    """
    return [bytes(row).rstrip(b"\0").decode() for row in matrix]


def spread_words(text: str, duration_s: float | None = None) -> tuple[Arrays, float]:
    """Words of a text without times, spread over a clip in proportion to their letters.

    Args:
        text: any; blanks separate words.
        duration_s: of the clip; None: not known, then `WORDS_PER_SECOND` gives one.

    Returns:
        The arrays, and the seconds they are spread over.
    """
    words = text.split()
    seconds = len(words) / WORDS_PER_SECOND if duration_s is None else duration_s
    edges = np.cumsum([0, *(len(word) + 1 for word in words)])
    edges = edges * (seconds / max(edges[-1], 1))
    return pack_words(words, edges[:-1], edges[1:]), seconds


def put_before(words: Sequence[str], arrays: Arrays) -> Arrays:
    """Words that were said before the clip, in front of its own: at its beginning, with no length."""
    zeros = np.zeros(len(words))
    earlier = pack_words(words, zeros, zeros)
    width = max(one["words"].shape[1] for one in (earlier, arrays))
    joined = {name: np.concatenate([earlier[name], arrays[name]]) for name in arrays if name != "words"}
    both = (np.pad(one["words"], ((0, 0), (0, width - one["words"].shape[1]))) for one in (earlier, arrays))
    return {"words": np.concatenate(list(both)), **joined}
