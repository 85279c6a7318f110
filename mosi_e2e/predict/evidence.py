"""How good a model is known to be: its metrics against trivial baselines, its errors on held-out clips."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mosi_e2e.runs import calibration
from mosi_e2e.runs.calibration import Calibration

KEYS = {"regression": "mae", "binary": "acc", "classes": "uar"}  # by which a model must beat its baselines
NAMES = {"mae": "mean error", "acc": "accuracy", "uar": "unweighted average recall"}
BASELINES = {
    "train_mean": "always answering the mean of the training labels",
    "zero": "always answering 0",
    "random": "answering a random training label",
    "train_rate": "always answering the training clips' share of positives",
    "majority": "always answering the more frequent class",
    "always_negative": "always answering negative",
}


@dataclass(frozen=True)
class Evidence:
    """A model's record on clips that it was not trained on.

    Attributes:
        split: test, else valid, where only that was scored; None where nothing is known.
        key: of the metric: mae | acc.
        value: the model's.
        interval: 95 %, low and high; None where there is none.
        baseline: the best trivial baseline, by name; None where it is not known.
        baseline_value: its metric.
        calibration: errors on held-out clips.
    """

    split: str | None = None
    key: str = "mae"
    value: float | None = None
    interval: tuple[float, float] | None = None
    baseline: str | None = None
    baseline_value: float | None = None
    calibration: Calibration | None = None

    @property
    def beats_baseline(self) -> bool | None:
        """None where it is not known."""
        if self.value is None or self.baseline_value is None:
            return None
        return self._is_better(self.value)

    @property
    def beats_clearly(self) -> bool | None:
        """Whether the metric's whole interval is better than the baseline."""
        if self.beats_baseline is None or self.interval is None:
            return None
        return all(self._is_better(edge) for edge in self.interval)

    def _is_better(self, value: float) -> bool:
        return value < self.baseline_value if self.key == "mae" else value > self.baseline_value

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, without the errors themselves."""
        return {
            "split": self.split,
            "metric": self.key,
            "value": self.value,
            "baseline": self.baseline,
            "baseline_value": self.baseline_value,
            "beats_baseline": self.beats_baseline,
            "videos": None if self.calibration is None else self.calibration.videos,
        }

    def compare(self) -> str:
        """Both numbers, in words."""
        baseline = BASELINES.get(self.baseline, self.baseline)
        return (
            f"its {NAMES[self.key]} on the {self.split} split is {self.value:.2f}, {baseline} has "
            f"{self.baseline_value:.2f}"
        )


def read_evidence(records: Mapping[str, bytes], task: str) -> Evidence:
    """Of a run's or a model folder's files `metrics_<split>.json` and `calibration.json`, by name."""
    kept = records.get(calibration.NAME)
    errors = None if kept is None else calibration.read(kept)
    key = KEYS[task]
    for split in calibration.SPLITS:
        scores = json.loads(records.get(f"metrics_{split}.json", b"null"))
        if scores and scores["metrics"].get(key) is not None:
            baseline, value = find_baseline(scores, key)
            interval = scores["interval"].get(key)
            return Evidence(
                split, key, scores["metrics"][key], interval and tuple(interval), baseline, value, errors
            )
    return Evidence(key=key, calibration=errors)


def find_baseline(scores: Mapping[str, Any], key: str) -> tuple[str | None, float | None]:
    """The trivial baseline that is hardest to beat."""
    known = {name: row[key] for name, row in scores["floors"].items() if row.get(key) is not None}
    if not known:
        return None, None
    name = (min if key == "mae" else max)(known, key=lambda one: known[one])
    return name, known[name]


def join_calibrations(evidence: Sequence[Evidence]) -> Calibration | None:
    """The errors of the runs' mean; None where one of them has none, or they are of other clips."""
    found = [one.calibration for one in evidence if one.calibration is not None]
    return calibration.average(found) if found and len(found) == len(evidence) else None


def warn_of_baseline(evidence: Mapping[str, Evidence]) -> list[str]:
    """What must be said first of runs, by name, that are no better than a trivial baseline."""
    return [
        f"the model {name} does not beat a trivial baseline: {one.compare()}. Its scores say nothing"
        for name, one in evidence.items()
        if one.beats_baseline is False
    ]


def remark_on_evidence(evidence: Mapping[str, Evidence]) -> list[str]:
    """What should be said besides: a doubtful lead over the baseline, or that nothing is known."""
    remarks = []
    for name, one in evidence.items():
        if one.beats_baseline and one.beats_clearly is False:
            remarks.append(f"the model {name} may be no better than a trivial baseline: {one.compare()}")
        if one.beats_baseline is None:
            remarks.append(
                f"the model {name} has no metrics, so nobody knows how good it is; "
                "score the run with python -m mosi_e2e.evaluate"
            )
    return remarks


@dataclass(frozen=True)
class Grounds:
    """What a model's record allows to say of one person's score.

    Attributes:
        half_width: how far around the score the label lies; None where that is not known.
        has_class: whether a class may be named.
        why_none: why not, or why there is no interval; else empty.
        split, videos: where the half-width comes from.
        method: the same in words, where it is not by video.
    """

    half_width: float | None = None
    has_class: bool = False
    why_none: str = ""
    split: str = ""
    videos: int = 0
    method: str = ""


def weigh(evidence: Sequence[Evidence], is_synthetic: bool, level: float, missing: Sequence[str]) -> Grounds:
    """What may be said.

    Args:
        evidence: of each run.
        is_synthetic: whether the training clips were generated.
        level: of the interval.
        missing: streams, in words, that the model reads and the person lacks throughout.
    """
    if is_synthetic:
        return Grounds(why_none="no class and no interval: the model was trained on synthetic clips")
    if missing:
        lacks = " and ".join(missing)
        return Grounds(
            why_none=f"no class and no interval: {lacks} missing here, and the model's errors are known only "
            "for clips that have everything it reads"
        )
    errors = join_calibrations(evidence)
    if errors is None:
        why = "the errors of the model on held-out clips are not known"
        if all(one.calibration for one in evidence):
            why = "the runs were not scored on the same clips"
        return Grounds(
            why_none=f"no class and no interval: {why}; score them: python -m mosi_e2e.evaluate RUN"
        )
    width = errors.half_width(level)
    if width is None:
        return Grounds(why_none=f"no class and {errors.explain_lack(level)}")
    if any(one.beats_baseline is False for one in evidence):
        why = "no class: the model does not beat a trivial baseline"
        return Grounds(width, False, why, errors.split, errors.videos)
    return Grounds(width, True, "", errors.split, errors.videos)
