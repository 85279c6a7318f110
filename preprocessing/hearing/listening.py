"""The words of a waveform: heard by a recogniser, or of a known text, placed in time."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from preprocessing.config import SAMPLE_RATE
from preprocessing.hearing.heard import Recogniser, Word, place_words, spread_text
from preprocessing.hearing.voice import Span, find_speech, join_spans

if TYPE_CHECKING:
    from preprocessing.hearing.ctc import CtcRecogniser


def hear_words(
    waveform: np.ndarray,
    recogniser: Recogniser,
    on_progress: Callable[[float], None] | None = None,
    speech: Sequence[Span] | None = None,
) -> list[Word]:
    """The words in a waveform; none where nobody speaks.

    Args:
        waveform: [S] int16, 16 kHz.
        recogniser: who hears them.
        on_progress: told the share of the sound that is done, after each piece of speech.
        speech: where somebody speaks, if that is known.
    """
    words: list[Word] = []
    for piece in join_spans(find_speech(waveform) if speech is None else speech):
        first, last = (round(edge * SAMPLE_RATE) for edge in piece)
        words += place_words(recogniser.hear(scale(waveform[first:last])), piece)
        if on_progress:
            on_progress(min(last / len(waveform), 1.0))
    return words


def scale(waveform: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] of a waveform [S] int16."""
    return waveform.astype(np.float32) / 32768


def align_text(text: str, waveform: np.ndarray, aligner: "CtcRecogniser | None") -> tuple[list[Word], bool]:
    """The words of a known text, where they are said.

    Args:
        text: any; blanks separate words.
        waveform: [S] int16, 16 kHz.
        aligner: None where there is none; the words are then spread over the speech.

    Returns:
        The words, and whether they are aligned.
    """
    texts = text.split()
    whole = Span(0.0, len(waveform) / SAMPLE_RATE)
    found = aligner.align(texts, scale(waveform)) if aligner and texts else None
    if found is not None:
        return place_words(found, whole), True
    return spread_text(texts, find_speech(waveform) or [whole]), False
