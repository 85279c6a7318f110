"""What a model says of the windows of one person → one result."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from mosi_e2e.predict.evidence import Grounds
from mosi_e2e.predict.pictures import PersonPictures
from mosi_e2e.predict.reading import Reading, average_readings
from mosi_e2e.predict.result import REACH, Interval, PersonResult, Spread, Window, name_class
from mosi_e2e.predict.windows import Stretch

# Half a step of the labels: MOSI's are means of five whole numbers. Less than this nobody could tell apart.
NOTICEABLE = 0.1
NOTICEABLE_SHARE = 0.1  # of the interval's half-width: less is lost in what the score may be off by
ABOVE_OTHERS = 2.0  # times the usual second


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
        grounds: what the model's record allows to say.
        words: per window those that are heard, for a model that reads them.
        counts: [W] how much a second of each window counts for the whole score; None: the same.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        missing: Sequence[list[str]],
        seconds: Sequence[np.ndarray],
        readings: Sequence[Reading],
        *,
        heads: dict[str, list[str]],
        level: float,
        task: str,
        grounds: Grounds,
        words: Sequence[Sequence[dict]] = (),
        counts: np.ndarray | None = None,
    ):
        self.stretches, self.missing, self.seconds = stretches, missing, seconds
        self.readings, self.heads, self.level, self.task = readings, heads, level, task
        self.grounds, self.words = grounds, words
        self.noticeable = max(NOTICEABLE, NOTICEABLE_SHARE * (grounds.half_width or 0.0))
        self.mean = readings[0] if len(readings) == 1 else average_readings(readings)
        self.length = np.array([one.seconds for one in stretches])
        weight = self.length if counts is None else self.length * counts
        self.weight = weight / weight.sum()

    def describe(
        self, number: int, portrait: PersonPictures, face_ratio: float | None, voice_ratio: float
    ) -> PersonResult:
        """The person's result."""
        score = float(self.weight @ self.mean.score)
        streams = list(self.mean.contribution)
        is_there = {name: np.array([name not in lacks for lacks in self.missing]) for name in streams}
        has_head = {
            head: np.any([is_there[name] for name in members], axis=0) for head, members in self.heads.items()
        }
        contribution = {name: float(self.weight @ values) for name, values in self.mean.contribution.items()}
        grounds = self.grounds
        return PersonResult(
            number=number,
            score=score,
            label_class=name_class(score, grounds.half_width, self.task) if grounds.has_class else None,
            probability=(score / REACH + 1) / 2 if self.task == "binary" else None,
            interval=self._find_interval(score),
            by_stream=self._average(self.mean.by_stream, has_head),
            alone=self._average(self.mean.alone, is_there),
            contribution=contribution,
            timeline=self._list_windows(has_head),
            deciding=self._find_deciding(),
            streams_missing=[name for name in streams if not is_there[name].any()],
            face_ratio=face_ratio,
            voice_ratio=voice_ratio,
            portrait=portrait,
            spread=self._find_spread(),
            leading_stream=find_leading(contribution, self.noticeable),
            why_none=grounds.why_none,
        )

    def _average(self, values: dict[str, np.ndarray], is_there: dict[str, np.ndarray]) -> dict[str, float]:
        """Mean over the windows where it is there; left out where it never is."""
        return {
            name: float(np.average(values[name][there], weights=self.length[there]))
            for name, there in is_there.items()
            if there.any()
        }

    def _list_windows(self, has_head: dict[str, np.ndarray]) -> list[Window]:
        windows = []
        for row, stretch in enumerate(self.stretches):
            low, high = self._reach(float(self.mean.score[row])) or (None, None)
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
                    words=self._list_words(row),
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

    def _list_words(self, row: int) -> list[dict]:
        if not self.words:
            return []
        effects = self.mean.words[row].tolist()
        return [word | {"effect": effect} for word, effect in zip(self.words[row], effects, strict=True)]

    def _find_deciding(self) -> dict[str, float] | None:
        """The second that the whole score rests on most; None where none stands out.

        It must matter, and move the score more than the usual second does: where all move it equally, the
        largest is the largest by chance.
        """
        found = [
            second | {"effect": float(second["effect"] * self.weight[row])}
            for row in range(len(self.stretches))
            for second in self._list_seconds(row)
        ]
        size = np.array([abs(second["effect"]) for second in found])
        first = int(size.argmax())
        if len(found) < 2:
            return None
        usual = float(np.median(np.delete(size, first)))
        if size[first] < max(self.noticeable, ABOVE_OTHERS * usual):
            return None
        return found[first]

    def _reach(self, score: float) -> tuple[float, float] | None:
        """Where the label of a clip with this score lies; a binary model's has no place on the scale."""
        width = self.grounds.half_width
        if width is None or self.task == "binary":
            return None
        return max(score - width, -REACH), min(score + width, REACH)

    def _find_interval(self, score: float) -> Interval | None:
        found = self._reach(score)
        if found is None:
            return None
        split, videos = self.grounds.split, self.grounds.videos
        method = self.grounds.method or (
            f"by the model's errors on the {videos} videos of its {split} split (conformal, by video)"
        )
        return Interval(*found, self.level, method, split, videos)

    def _find_spread(self) -> Spread | None:
        if len(self.readings) > 1:
            scores = np.array([self.weight @ one.score for one in self.readings])
            low, high = spread_of_runs(scores[:, None], self.level)
            count = len(self.readings)
            method = f"{count} training runs with other seeds: where one more run's score would lie (Student)"
            return Spread(float(low[0]), float(high[0]), self.level, method, float((scores > 0).mean()))
        if not len(self.mean.draws):
            return None
        low, high = spread_of_draws(self.mean.draws, self.mean.score, self.level)
        draws = self.mean.draws @ self.weight
        method = f"{len(draws)} dropout samples"
        return Spread(
            float(self.weight @ low), float(self.weight @ high), self.level, method, float((draws > 0).mean())
        )


def find_leading(contribution: dict[str, float], least: float) -> str | None:
    """The stream that moves the score by at least `least` more than any other does; None without one.

    >>> find_leading({"face": 0.5, "speech": -0.2}, 0.1), find_leading({"face": 0.01, "speech": 0.0}, 0.1)
    ('face', None)
    """
    ordered = sorted(contribution, key=lambda name: -abs(contribution[name]))
    sizes = [abs(contribution[name]) for name in ordered] + [0.0]
    return ordered[0] if sizes[0] - sizes[1] >= least else None


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
    """Scores within the range of labels."""
    return np.clip(scores, -REACH, REACH)
