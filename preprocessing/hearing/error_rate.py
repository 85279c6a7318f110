"""Word-error rate of what was heard, where it is known what was said."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jiwer import process_words

NO_LETTER = re.compile(r"[^\w\s']|_")
LOOSE_QUOTE = re.compile(r"(?<!\w)'|'(?!\w)")


@dataclass(frozen=True)
class ErrorRate:
    """Errors in words: replaced, left out, put in.

    Attributes:
        errors: of all clips.
        words: that were said.
    """

    errors: int
    words: int

    @property
    def rate(self) -> float | None:
        """Errors per word that was said; None where none was."""
        return self.errors / self.words if self.words else None


def normalise_text(text: str) -> str:
    """Lower case, without punctuation, as word-error rates are counted; `it's` keeps its mark.

    >>> normalise_text("It's GREAT - 'really'!")
    "it's great really"
    """
    plain = NO_LETTER.sub(" ", text.lower().replace("’", "'"))
    return " ".join(LOOSE_QUOTE.sub(" ", plain).split())


def count_errors(said: Mapping[str, str], heard: Mapping[str, Sequence[str]]) -> ErrorRate:
    """Over the clips that both know, all words counted equally (not the mean of the clips' rates)."""
    errors, words = 0, 0
    for clip_id in said.keys() & heard.keys():
        truth, guess = normalise_text(said[clip_id]), normalise_text(" ".join(heard[clip_id]))
        words += len(truth.split())
        if not truth:
            errors += len(guess.split())
            continue
        found = process_words(truth, guess)
        errors += found.substitutions + found.deletions + found.insertions
    return ErrorRate(errors, words)
