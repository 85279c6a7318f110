"""How a video is scored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SHORTEST_S = 0.5  # of a stretch, whatever the training clips were
LONGEST_S = 15.0  # bounds memory and the time of attention

OnProgress = Callable[[float, str], None]


@dataclass(frozen=True)
class PredictOptions:
    """How a video is scored.

    Attributes:
        draws: of MC dropout for the interval; 0 gives none. Not used with several runs.
        level: of the interval.
        window_s: usual length of a window; 0 = the training clips' median.
        max_minutes: longer videos are refused: memory grows with what is kept of them.
        seed: of the draws.
        exact_seconds: mute each second before the speech encoder instead of behind it, see `docs/predict.md`:
            the voice then costs as many times as much as its window has seconds, and once more.
        words: who hears them, for a model that reads them: `whisper`, `whisper:MODEL` or `ctc:MODEL`; empty:
            who heard those that it learned from.
    """

    draws: int = 20
    level: float = 0.9
    window_s: float = 0.0
    max_minutes: float = 120.0
    seed: int = 0
    exact_seconds: bool = False
    words: str = ""

    def choose_lengths(self, typical: Sequence[float]) -> tuple[float, float, float]:
        """Shortest, usual and longest window in seconds; `typical`: the training clips'."""
        shortest, usual, longest = typical
        if self.window_s:
            shortest, usual, longest = 0.5 * self.window_s, self.window_s, 2 * self.window_s
        longest = float(np.clip(longest, 2 * SHORTEST_S, LONGEST_S))
        usual = min(usual, longest)
        return float(np.clip(shortest, SHORTEST_S, usual)), usual, longest


DEFAULTS = PredictOptions()
