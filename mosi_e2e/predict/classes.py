"""What a model of classes says of a video: probabilities over time, and what they rest on."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mosi_e2e.data.batch import collate, drop_stream
from mosi_e2e.data.streams import name_stream
from mosi_e2e.predict.evidence import remark_on_evidence
from mosi_e2e.predict.recording import Recording
from mosi_e2e.predict.remarks import list_warnings
from mosi_e2e.predict.result import to_plain
from mosi_e2e.predict.scoring import Scorer, join
from mosi_e2e.predict.windows import Stretch, WindowReader, has_evidence, list_missing
from preprocessing.cache.store import write_atomic
from preprocessing.config import PreprocessConfig

if TYPE_CHECKING:
    from mosi_e2e.predict.predictor import Predictor

PLACES = 4
NOTHING = "no class: nothing that the model reads was found"


@dataclass(frozen=True)
class ClassReading:
    """A model's answer to one window, or the mean of several.

    Attributes:
        whole: probability of each class [C].
        by_stream: the same of each head alone.
        without: the same with one stream taken away, by stream.
    """

    whole: np.ndarray
    by_stream: dict[str, np.ndarray]
    without: dict[str, np.ndarray]


@dataclass(frozen=True)
class ClassWindow:
    """One stretch of the video.

    Attributes:
        start_s, end_s: on the video's clock.
        label_class: the most probable class.
        score: probability of the person's class.
        probabilities: of each class.
        by_stream: the most probable class by each stream, or submodel, alone.
        contribution: by how much `score` falls without the stream.
        streams_missing: what the model reads and this stretch lacks.
    """

    start_s: float
    end_s: float
    label_class: str
    score: float
    probabilities: dict[str, float]
    by_stream: dict[str, str]
    contribution: dict[str, float]
    streams_missing: list[str]


@dataclass(frozen=True)
class ClassPerson:
    """One person; see `ClassWindow`. Of the windows each counts by its length."""

    number: int
    label_class: str | None
    score: float | None
    probabilities: dict[str, float]
    by_stream: dict[str, str]
    contribution: dict[str, float]
    timeline: list[ClassWindow]
    streams_missing: list[str]
    face_ratio: float | None
    why_none: str = ""


@dataclass(frozen=True)
class ClassResult:
    """One video: everybody's result, the first person's at the top.

    Attributes:
        video: file name.
        duration_s: of what could be decoded.
        classes: names of the classes.
        people: whom training would have chosen comes first.
        remarks: what the reader should know.
        model: name, task, whether it was trained on synthetic clips, how good it is.
        warnings: what stands first.
    """

    video: str
    duration_s: float
    classes: list[str]
    people: list[ClassPerson]
    remarks: list[str]
    model: dict[str, Any]
    warnings: list[str]

    @property
    def label_class(self) -> str | None:
        """The first person's class."""
        return self.people[0].label_class

    @property
    def probabilities(self) -> dict[str, float]:
        """The first person's probabilities."""
        return self.people[0].probabilities

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the first person's entries stand at the top, `people` has everybody's."""
        own = to_plain(self)
        people = own.pop("people")
        first = {key: value for key, value in people[0].items() if key != "number"}
        return {"video": own.pop("video")} | first | own | {"people": people}


def classify(
    predictor: "Predictor",
    recording: Recording,
    stretches: Sequence[Sequence[Stretch]],
    on_progress: Callable[[float, str], None] | None = None,
) -> ClassResult:
    """What a model of classes says of a video.

    Args:
        predictor: the model, or several runs of one recipe.
        recording: what was read of the video.
        stretches: per person the windows.
        on_progress: told the share that is done and what is being done.
    """
    facts, scorers, people = predictor.facts, [one.scorer for one in predictor.members], []
    for mine in stretches:
        people.append(classify_person(scorers, facts.classes, recording, predictor.config, mine))
        if on_progress:
            on_progress((1 + len(people) / len(stretches)) / 2, "scoring")
    remarks = [] if facts.synthetic else remark_on_evidence(predictor.evidence)
    return ClassResult(
        video=recording.path.name,
        duration_s=recording.duration_s,
        classes=list(facts.classes),
        people=people,
        remarks=[*recording.remarks, *remarks],
        model=predictor.describe(),
        warnings=list_warnings(predictor.evidence, facts.synthetic),
    )


def classify_person(
    scorers: Sequence[Scorer],
    classes: Sequence[str],
    recording: Recording,
    config: PreprocessConfig,
    stretches: Sequence[Stretch],
) -> ClassPerson:
    """The result of one person.

    Args:
        scorers: of the models, whose probabilities are averaged.
        classes: their names.
        recording: the video.
        config: of preprocessing.
        stretches: the windows of the person, at least one.
    """
    number, streams = stretches[0].person, scorers[0].streams
    reader = WindowReader(recording, config)
    kept, readings, missing = [], [], []
    for stretch in stretches:
        example = reader.read_example(stretch, streams)
        if has_evidence(example):
            readings.append(average([read_classes(one, example) for one in scorers], np.ones(len(scorers))))
            kept.append(stretch)
            missing.append(list_missing(example))
    face_ratio = recording.measure_faces(number)
    if not kept:
        none = dict.fromkeys(streams, 0.0)
        return ClassPerson(number + 1, None, None, {}, {}, none, [], list(streams), face_ratio, NOTHING)
    whole = average(readings, np.array([one.seconds for one in kept]))
    chosen = int(whole.whole.argmax())
    timeline = [
        ClassWindow(stretch.start_s, stretch.end_s, *tell(reading, classes, chosen), lacks)
        for stretch, reading, lacks in zip(kept, readings, missing, strict=True)
    ]
    lacking = [name for name in streams if all(name in lacks for lacks in missing)]
    return ClassPerson(number + 1, *tell(whole, classes, chosen), timeline, lacking, face_ratio)


@torch.inference_mode()
def read_classes(scorer: Scorer, example: dict) -> ClassReading:
    """Ask one model about one window: with everything, and without each stream in turn."""
    batch = collate([scorer.encode(example)])
    batches = [batch, *(drop_stream(batch, scorer.key(name)) for name in scorer.streams)]
    answer = scorer.model(join(batches))
    probability = answer.score.double().softmax(dim=-1).numpy()  # [1 + streams, C]
    heads = {name: raw[0].double().softmax(dim=-1).numpy() for name, raw in answer.by_stream.items()}
    return ClassReading(probability[0], heads, dict(zip(scorer.streams, probability[1:], strict=True)))


def average(readings: Sequence[ClassReading], weight: np.ndarray) -> ClassReading:
    """The weighted mean of readings of one model or person."""
    share = weight / weight.sum()

    def mix(values: Sequence[np.ndarray]) -> np.ndarray:
        return share @ np.stack(values)

    first = readings[0]
    return ClassReading(
        mix([one.whole for one in readings]),
        {name: mix([one.by_stream[name] for one in readings]) for name in first.by_stream},
        {name: mix([one.without[name] for one in readings]) for name in first.without},
    )


def tell(
    reading: ClassReading, classes: Sequence[str], chosen: int
) -> tuple[str, float, dict[str, float], dict[str, str], dict[str, float]]:
    """Class, score, probabilities, `by_stream` and `contribution` of `ClassWindow`."""
    probabilities = dict(zip(classes, reading.whole.tolist(), strict=True))
    heads = {name: classes[int(one.argmax())] for name, one in reading.by_stream.items()}
    score = float(reading.whole[chosen])
    shares = {name: score - float(one[chosen]) for name, one in reading.without.items()}
    return classes[int(reading.whole.argmax())], score, probabilities, heads, shares


def describe_classes(result: ClassResult) -> str:
    """The result in a few lines, for the console."""
    lines = [f"warning: {warning}" for warning in result.warnings]
    for person in result.people:
        who = f"person {person.number}: " if len(result.people) > 1 else ""
        lines.append(who + describe_person(person))
    lines += [f"note: {remark}" for remark in result.remarks]
    return "\n".join([f"{result.video}, {result.duration_s:.1f} s", *(f"  {line}" for line in lines)])


def describe_person(person: ClassPerson) -> str:
    """Classes by probability, and what the first of them rests on."""
    if person.label_class is None:
        return person.why_none
    ranked = sorted(person.probabilities.items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {value:.2f}" for name, value in ranked)
    shares = ", ".join(
        f"{name_stream(name)} {value:+.2f}"
        for name, value in person.contribution.items()
        if name not in person.streams_missing
    )
    return f"{person.label_class} ({told}); without a stream its probability falls by: {shares}"


def write_class_json(result: ClassResult, path: Path) -> None:
    """Everything."""
    text = json.dumps(result.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, (text + "\n").encode())


def write_class_csv(result: ClassResult, path: Path) -> None:
    """One line per person and window: the class, and the probability of each."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["person", "start_s", "end_s", "predicted", *(f"p_{name}" for name in result.classes)])
    for person in result.people:
        for one in person.timeline:
            edges = [f"{edge:.{PLACES}f}" for edge in (one.start_s, one.end_s)]
            shares = [f"{value:.{PLACES}f}" for value in one.probabilities.values()]
            writer.writerow([person.number, *edges, one.label_class, *shares])
    write_atomic(path, text.getvalue().encode())
