"""What is said of a video."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from mosi_e2e.predict.pictures import Portrait

REACH = 3.0  # sentiment lies in [-REACH, REACH]
NEUTRAL = 0.5  # scores up to here, either way, round to 0


@dataclass(frozen=True)
class Interval:
    """How far the model disagrees with itself; it says nothing of how far the model is from the truth.

    Attributes:
        low, high: on the score's scale.
        level: share of the draws, or the claimed share of further training runs, that lie within.
        method: where it comes from, in words.
        share_above_zero: share of the draws, or of the runs, with a positive score.
    """

    low: float
    high: float
    level: float
    method: str
    share_above_zero: float


@dataclass(frozen=True)
class Window:
    """One stretch of the video.

    Attributes:
        start_s, end_s: on the video's clock.
        score: in [-3, 3].
        low, high: its interval; None where there is none.
        by_stream: what the model's head of each stream says.
        contribution: Shapley value of each stream; together they are `score` less the model's score of
            nothing at all.
        streams_missing: what the model reads and this stretch lacks.
        seconds: per second or so, {start_s, end_s, effect}: by how much the score of this window falls
            when what is seen and heard then is taken away.
    """

    start_s: float
    end_s: float
    score: float
    low: float | None
    high: float | None
    by_stream: dict[str, float]
    contribution: dict[str, float]
    streams_missing: list[str]
    seconds: list[dict[str, float]]


@dataclass(frozen=True)
class PersonResult:
    """One person.

    Attributes:
        number: 1 is the person whom training would have chosen; the others follow by size in the picture.
        score: mean of the windows' scores, each weighed by its length; None where nothing was seen or heard.
        label_class: positive above 0.5, negative below -0.5, else neutral: the nearest whole number's sign.
            A binary model knows no neutral: its classes part at 0.
        probability: of "positive"; binary models only.
        interval: of the score; None where the model gives none.
        by_stream: mean over the windows that have the stream.
        alone: the score with this stream alone, all others taken away; mean over those windows, too.
        contribution: as in `Window`, mean over all windows.
        timeline: windows with a score, in order.
        deciding: the second whose removal changes the whole score most, {start_s, end_s, effect}; `effect` in
            points of the whole score.
        streams_missing: what the model reads and the person lacks throughout.
        face_ratio: share of the sampled frames in which the face was found; None without a look at faces.
        voice_ratio: share of the video in which the voice counts as theirs.
        portrait: crops and boxes for the page; not in the JSON.
        name: who that is among several people, by place: `person 1 (left)`.
    """

    number: int
    score: float | None
    label_class: str | None
    probability: float | None
    interval: Interval | None
    by_stream: dict[str, float]
    alone: dict[str, float]
    contribution: dict[str, float]
    timeline: list[Window]
    deciding: dict[str, float] | None
    streams_missing: list[str]
    face_ratio: float | None
    voice_ratio: float
    portrait: Portrait = field(repr=False)
    name: str = ""

    def to_dict(self) -> dict[str, Any]:
        return _plain(self)


@dataclass(frozen=True)
class VideoResult:
    """One video: the first person's result, and everybody's.

    Attributes:
        video: file name.
        duration_s: of what could be decoded.
        people: one result per person, the first one's included.
        score_absent: the model's score of a clip with nothing in it, where the contributions start from.
        remarks: what whoever reads the score should know.
        model: name, task, whether it was trained on synthetic clips, its error on its own test split.
        waveform: [S] int16, 16 kHz, for the page; not in the JSON.
    """

    video: str
    duration_s: float
    people: list[PersonResult]
    score_absent: float
    remarks: list[str]
    model: dict[str, Any]
    waveform: Any = field(repr=False)

    # What the first person has, see `PersonResult`. Written out, so that type checkers and editors know it.

    @property
    def score(self) -> float | None:
        return self.people[0].score

    @property
    def label_class(self) -> str | None:
        return self.people[0].label_class

    @property
    def probability(self) -> float | None:
        return self.people[0].probability

    @property
    def interval(self) -> Interval | None:
        return self.people[0].interval

    @property
    def by_stream(self) -> dict[str, float]:
        return self.people[0].by_stream

    @property
    def alone(self) -> dict[str, float]:
        return self.people[0].alone

    @property
    def contribution(self) -> dict[str, float]:
        return self.people[0].contribution

    @property
    def timeline(self) -> list[Window]:
        return self.people[0].timeline

    @property
    def deciding(self) -> dict[str, float] | None:
        return self.people[0].deciding

    @property
    def streams_missing(self) -> list[str]:
        return self.people[0].streams_missing

    @property
    def face_ratio(self) -> float | None:
        return self.people[0].face_ratio

    @property
    def voice_ratio(self) -> float:
        return self.people[0].voice_ratio

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the first person's entries stand at the top, `people` has everybody's."""
        own = _plain(self)
        people = own.pop("people")
        first = {key: value for key, value in people[0].items() if key != "number"}
        return {"video": own.pop("video")} | first | own | {"people": people}


NOT_STORED = ("portrait", "waveform")


def name_class(score: float, task: str) -> str:
    """In words, see `PersonResult.label_class`.

    >>> name_class(0.5, "regression"), name_class(-0.6, "regression"), name_class(0.1, "binary")
    ('neutral', 'negative', 'positive')
    """
    edge = 0.0 if task == "binary" else NEUTRAL
    if score > edge:
        return "positive"
    return "negative" if score < -edge or task == "binary" else "neutral"


def _plain(value: Any) -> Any:
    """Dataclasses → dicts, without what is only for the page; numbers to four places."""
    if dataclasses.is_dataclass(value):
        names = (one.name for one in dataclasses.fields(value) if one.name not in NOT_STORED)
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return round(value, 4) + 0.0 if isinstance(value, float) else value  # + 0.0: no -0.0
