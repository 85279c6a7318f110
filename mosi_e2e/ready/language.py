"""Which language is spoken, as a Whisper model hears it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preprocessing.config import SAMPLE_RATE, WordsConfig
from preprocessing.hearing.listening import scale
from preprocessing.hearing.voice import Span, join_spans

LEAST = 0.5  # probability from which on a language counts as spoken; mean confidence from which on words do
MOST_PIECES = 2  # that are listened to, the longest first
NAMES = {
    **{"ar": "Arabic", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "hi": "Hindi"},
    **{"it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese"},
    **{"ru": "Russian", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese"},
}


@dataclass(frozen=True)
class Language:
    """Probabilities of languages, by code."""

    probability: dict[str, float]

    @property
    def likeliest(self) -> tuple[str, float]:
        """Code and probability."""
        return max(self.probability.items(), key=lambda item: item[1])

    def probability_of(self, code: str) -> float:
        """0 for a language that the model does not know."""
        return self.probability.get(code, 0.0)


def find_language(waveform: np.ndarray, speech: Sequence[Span], config: WordsConfig) -> Language | None:
    """The language of the longest pieces of speech; None without speech, or where nobody can tell.

    Args:
        waveform: [S] int16, 16 kHz.
        speech: where somebody speaks.
        config: who hears.
    """
    from preprocessing.hearing.models import load_recogniser

    if config.source != "whisper" or not speech:
        return None
    recogniser = load_recogniser(config)
    pieces = sorted(join_spans(speech), key=lambda span: span.start_s - span.end_s)[:MOST_PIECES]
    heard = []
    for span in pieces:
        first, last = (round(edge * SAMPLE_RATE) for edge in span)
        found = recogniser.weigh_languages(scale(waveform[first:last]))
        heard.append(({name: value * (last - first) for name, value in found.items()}, last - first))
    total = sum(size for _, size in heard)
    if not heard[0][0]:
        return None
    return Language({name: sum(one[name] for one, _ in heard) / total for name in heard[0][0]})


def name_language(code: str) -> str:
    """In English; else the code."""
    return NAMES.get(code, f"'{code}'")
