"""What a model says of the windows of one person → one result."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from mosi_e2e.predict.pictures import Portrait
from mosi_e2e.predict.result import REACH, Interval, PersonResult, Window, name_class
from mosi_e2e.predict.scoring import Reading, average_readings
from mosi_e2e.predict.windows import Stretch


class Summary:
    """The windows of one person, summed up.

    Args:
        stretches: [W] the windows.
        missing: per window the streams that it lacks.
        seconds: per window the edges of its seconds.
        readings: one per model.
        heads: which streams each head of the model reads.
        level: of the intervals.
        task: regression | binary.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        missing: Sequence[list[str]],
        seconds: Sequence[np.ndarray],
        readings: Sequence[Reading],
        heads: dict[str, list[str]],
        level: float,
        task: str,
    ):
        self.stretches, self.missing, self.seconds = stretches, missing, seconds
        self.readings, self.heads, self.level, self.task = readings, heads, level, task
        self.mean = readings[0] if len(readings) == 1 else average_readings(readings)
        length = np.array([one.seconds for one in stretches])
        self.weight = length / length.sum()

    def describe(
        self, number: int, portrait: Portrait, face_ratio: float | None, voice_ratio: float
    ) -> PersonResult:
        """The person's result."""
        score = float(self.weight @ self.mean.score)
        streams = list(self.mean.contribution)
        is_there = {name: np.array([name not in lacks for lacks in self.missing]) for name in streams}
        has_head = {
            head: np.any([is_there[name] for name in members], axis=0) for head, members in self.heads.items()
        }
        return PersonResult(
            number=number,
            score=score,
            label_class=name_class(score, self.task),
            probability=(score / REACH + 1) / 2 if self.task == "binary" else None,
            interval=self._find_interval(),
            by_stream=self._average(self.mean.by_stream, has_head),
            alone=self._average(self.mean.alone, is_there),
            contribution={
                name: float(self.weight @ values) for name, values in self.mean.contribution.items()
            },
            timeline=self._list_windows(has_head),
            deciding=self._find_deciding(),
            streams_missing=[name for name in streams if not is_there[name].any()],
            face_ratio=face_ratio,
            voice_ratio=voice_ratio,
            portrait=portrait,
        )

    def _average(self, values: dict[str, np.ndarray], is_there: dict[str, np.ndarray]) -> dict[str, float]:
        """Mean over the windows where it is there; left out where it never is."""
        return {
            name: float(np.average(values[name][there], weights=self.weight[there]))
            for name, there in is_there.items()
            if there.any()
        }

    def _list_windows(self, has_head: dict[str, np.ndarray]) -> list[Window]:
        spans = self._spread_windows()
        windows = []
        for row, stretch in enumerate(self.stretches):
            low, high = (None, None) if spans is None else (float(edge[row]) for edge in spans)
            windows.append(
                Window(
                    start_s=stretch.start_s,
                    end_s=stretch.end_s,
                    score=float(self.mean.score[row]),
                    low=low,
                    high=high,
                    by_stream={
                        name: float(values[row])
                        for name, values in self.mean.by_stream.items()
                        if has_head[name][row]
                    },
                    contribution={
                        name: float(values[row]) for name, values in self.mean.contribution.items()
                    },
                    streams_missing=self.missing[row],
                    seconds=self._list_seconds(row),
                )
            )
        return windows

    def _list_seconds(self, row: int) -> list[dict[str, float]]:
        start, edges = self.stretches[row].start_s, self.seconds[row].copy()
        edges[-1] = self.stretches[row].seconds
        return [
            {"start_s": float(start + a), "end_s": float(start + b), "effect": float(effect)}
            for a, b, effect in zip(edges[:-1], edges[1:], self.mean.effect[row], strict=True)
        ]

    def _find_deciding(self) -> dict[str, float]:
        """The second that the whole score rests on most."""
        found = [
            second | {"effect": float(second["effect"] * self.weight[row])}
            for row in range(len(self.stretches))
            for second in self._list_seconds(row)
        ]
        return max(found, key=lambda second: abs(second["effect"]))

    def _spread_windows(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Lower and upper ends [W] of the windows' intervals."""
        if len(self.readings) > 1:
            return spread_of_runs(np.array([one.score for one in self.readings]), self.level)
        if len(self.mean.draws):
            return spread_of_draws(self.mean.draws, self.mean.score, self.level)
        return None

    def _find_interval(self) -> Interval | None:
        if len(self.readings) > 1:
            scores = np.array([self.weight @ one.score for one in self.readings])
            low, high = spread_of_runs(scores[:, None], self.level)
            count = len(self.readings)
            method = f"{count} training runs with other seeds: where one more run's score would lie (Student)"
            return Interval(float(low[0]), float(high[0]), self.level, method, float((scores > 0).mean()))
        spans = self._spread_windows()
        if spans is None:
            return None
        low, high = (float(self.weight @ edge) for edge in spans)
        draws = np.sort(self.mean.draws, axis=0) @ self.weight
        method = f"MC dropout: {len(draws)} draws of the fusion's dropout, the encoders kept still"
        return Interval(low, high, self.level, method, float((draws > 0).mean()))


def spread_of_draws(draws: np.ndarray, score: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Intervals [W] around the scores [W], as wide as the draws [N, W] are spread around their own mean.

    Dropout draws a new mask for each window, so that the errors of windows would seem to cancel out, which
    those of one model do not. Windows are therefore taken to err together: the whole video's interval is the
    mean of theirs.
    """
    low, high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2), axis=0) - draws.mean(axis=0)
    return clip(score + np.minimum(low, 0)), clip(score + np.maximum(high, 0))


def spread_of_runs(scores: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Where one more run's score would lie, given those of R runs [R, W] (Student's prediction interval)."""
    count = len(scores)
    reach = stdtrit(count - 1, (1 + level) / 2) * scores.std(axis=0, ddof=1) * np.sqrt(1 + 1 / count)
    mean = scores.mean(axis=0)
    return clip(mean - reach), clip(mean + reach)


def clip(scores: np.ndarray) -> np.ndarray:
    return np.clip(scores, -REACH, REACH)
