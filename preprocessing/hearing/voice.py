"""Where somebody speaks, and the pieces in which that is heard.

Silero's detector decides. What it takes for silence, music or noise is not shown to a recogniser, which
would invent words for it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from preprocessing.config import SAMPLE_RATE

LEAST_S = 0.15  # shorter speech is no word
PAUSE_S = 0.3  # that ends a run of speech
MARGIN_S = 0.2  # kept before and behind: soft beginnings and ends of words
LONGEST_S = 28.0  # of a piece; Whisper hears 30 s at once
APART_S = 2.0  # a longer pause parts two pieces


class Span(NamedTuple):
    """Seconds of a waveform."""

    start_s: float
    end_s: float


@cache
def load_detector() -> Any:
    """The detector, once per process."""
    import torch

    threads = torch.get_num_threads()
    import silero_vad  # which sets one thread for the whole process

    torch.set_num_threads(threads)
    return silero_vad.load_silero_vad()


def find_speech(waveform: np.ndarray) -> list[Span]:
    """Runs of speech in order, without overlap.

    Args:
        waveform: [S] int16, 16 kHz.
    """
    import torch
    from silero_vad import get_speech_timestamps

    detector = load_detector()
    found = get_speech_timestamps(
        torch.from_numpy(waveform.astype(np.float32) / 32768),
        detector,
        min_speech_duration_ms=round(1000 * LEAST_S),
        min_silence_duration_ms=round(1000 * PAUSE_S),
        max_speech_duration_s=LONGEST_S - 2 * MARGIN_S,
        speech_pad_ms=round(1000 * MARGIN_S),
    )
    return [Span(one["start"] / SAMPLE_RATE, one["end"] / SAMPLE_RATE) for one in found]


def join_spans(speech: Sequence[Span]) -> list[Span]:
    """Runs of speech joined over short pauses: a recogniser is better with what was said before.

    >>> join_spans([Span(0, 2), Span(3, 5), Span(9, 36), Span(37, 39)])
    [Span(start_s=0, end_s=5), Span(start_s=9, end_s=36), Span(start_s=37, end_s=39)]
    """
    pieces: list[Span] = []
    for span in speech:
        last = pieces[-1] if pieces else None
        if last and span.start_s - last.end_s <= APART_S and span.end_s - last.start_s <= LONGEST_S:
            pieces[-1] = Span(last.start_s, span.end_s)
        else:
            pieces.append(span)
    return pieces
