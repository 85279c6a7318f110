"""What is said of a video."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mosi_e2e.predict.pictures import PersonPictures

REACH = 3.0  # sentiment lies in [-REACH, REACH]
NEUTRAL = 0.5  # scores up to here, either way, round to 0


def choose_reach(seconds: Iterable[Mapping[str, float]]) -> int:
    """Where the scale of the seconds ends: 1 point, or 3 where one of them moves its window's score more."""
    highest = max((abs(second["effect"]) for second in seconds), default=0.0)
    return 1 if highest <= 1 else int(REACH)


@dataclass(frozen=True)
class Interval:
    """Where a person's label of such a clip lies, by the model's errors on held-out clips.

    Attributes:
        low, high: on the score's scale.
        level: share of the clips of new videos, if those are like the held-out ones, whose label lies within.
        method: where it comes from, in words.
        split: whose errors they are: test | valid.
        videos: how many of them there were.
    """

    low: float
    high: float
    level: float
    method: str
    split: str
    videos: int


@dataclass(frozen=True)
class Spread:
    """How far the model disagrees with itself; it says nothing of how far it errs: no prediction interval.

    Attributes:
        low, high: on the score's scale.
        level: share of the samples, or the claimed share of further training runs, that lie within.
        method: of what, in words.
        share_above_zero: share of the samples, or of the runs, with a positive score.
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
        low, high: its interval, as wide as the whole score's; None where there is none.
        by_stream: the stream's own score, from itself alone; of `late_fusion` its submodels'.
        contribution: Shapley value of each stream, or its own score times its weight, of a model that
            combines by fixed weights; together they are `score` less the model's score of nothing at all.
        streams_missing: what the model reads and this stretch lacks.
        seconds: per second or so, {start_s, end_s, effect}: by how much the score of this window falls
            when what is seen and heard then is taken away.
        words: that are heard, {word, start_s, end_s, confidence, effect}: by how much the score of this
            window falls without that word, the rest of the text read anew.
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
    words: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class PersonResult:
    """One person.

    Attributes:
        number: 1 is the person whom training would have chosen; the others follow by size in the picture.
        score: mean of the windows' scores, each weighed by its length; None where nothing was seen or heard.
        label_class: positive, negative or neutral where the interval allows nothing else, else undecided; see
            `name_class`. None where there is no evidence for any class.
        probability: of "positive"; binary models only.
        interval: of the score, from errors on held-out clips; None where there is none.
        by_stream: mean over the windows that have the stream.
        alone: the score with this stream alone, all others taken away; mean over those windows, too.
        contribution: as in `Window`, mean over all windows.
        timeline: windows with a score, in order.
        deciding: the second whose removal changes the whole score most, {start_s, end_s, effect}; `effect` in
            points of the whole score. None where no second stands out.
        streams_missing: what the model reads and the person lacks throughout.
        face_ratio: share of the sampled frames in which the face was found; None without a look at faces.
        voice_ratio: share of the video in which the voice counts as theirs.
        portrait: crops and boxes for the page; not in the JSON.
        name: who that is among several people, by place: `person 1 (left)`.
        spread: of dropout samples or of several runs; None without either.
        leading_stream: the stream that most of the score rests on; None where none stands out.
        why_none: why there is no score, no class, or no interval; empty where there are all.
        weight: of each stream that is there in the score, of a model that combines their scores by fixed
            weights; else empty.
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
    portrait: PersonPictures = field(repr=False)
    name: str = ""
    spread: Spread | None = None
    leading_stream: str | None = None
    why_none: str = ""
    weight: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values, as in the JSON file."""
        return to_plain(self)


@dataclass(frozen=True)
class VideoResult:
    """One video: the first person's result, and everybody's.

    Attributes:
        video: file name.
        duration_s: of what could be decoded.
        people: one result per person, the first one's included.
        score_absent: the model's score of a clip with nothing in it, where the contributions start from.
        remarks: what the reader of the score should know.
        model: name, task, whether it was trained on synthetic clips, its error against a trivial baseline's.
        waveform: [S] int16, 16 kHz, for the page; not in the JSON.
        warnings: what stands first wherever the result is shown: scores that say nothing about people.
    """

    video: str
    duration_s: float
    people: list[PersonResult]
    score_absent: float
    remarks: list[str]
    model: dict[str, Any]
    waveform: Any = field(repr=False)
    warnings: list[str] = field(default_factory=list)

    # What the first person has, see `PersonResult`. Written out, so that type checkers and editors know it.

    @property
    def score(self) -> float | None:
        """The score of the first person; None where there is none."""
        return self.people[0].score

    @property
    def label_class(self) -> str | None:
        """The class of the first person."""
        return self.people[0].label_class

    @property
    def probability(self) -> float | None:
        """The probability of the positive class, for the first person."""
        return self.people[0].probability

    @property
    def interval(self) -> Interval | None:
        """The interval of the first person's score."""
        return self.people[0].interval

    @property
    def spread(self) -> Spread | None:
        """Of dropout samples or of several runs, for the first person."""
        return self.people[0].spread

    @property
    def leading_stream(self) -> str | None:
        """The stream on which most rests, for the first person."""
        return self.people[0].leading_stream

    @property
    def why_none(self) -> str:
        """Why the first person has no score, class or interval."""
        return self.people[0].why_none

    @property
    def by_stream(self) -> dict[str, float]:
        """Each stream's own score, for the first person."""
        return self.people[0].by_stream

    @property
    def alone(self) -> dict[str, float]:
        """The score with one stream alone, per stream, for the first person."""
        return self.people[0].alone

    @property
    def contribution(self) -> dict[str, float]:
        """What each stream adds to the first person's score."""
        return self.people[0].contribution

    @property
    def weight(self) -> dict[str, float]:
        """The weight of each stream in the first person's score, of a model that combines by weights."""
        return self.people[0].weight

    @property
    def timeline(self) -> list[Window]:
        """The windows of the first person."""
        return self.people[0].timeline

    @property
    def deciding(self) -> dict[str, float] | None:
        """The second whose removal changes the first person's score most."""
        return self.people[0].deciding

    @property
    def streams_missing(self) -> list[str]:
        """Streams that the first person lacks."""
        return self.people[0].streams_missing

    @property
    def face_ratio(self) -> float | None:
        """The share of sampled frames with the first person's face."""
        return self.people[0].face_ratio

    @property
    def voice_ratio(self) -> float:
        """The share of the video in which the voice counts as the first person's."""
        return self.people[0].voice_ratio

    def list_words(self) -> list[dict[str, Any]]:
        """What the first person says, word by word; see `Window`."""
        return [word for window in self.timeline for word in window.words]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the first person's entries stand at the top, `people` has everybody's."""
        own = to_plain(self)
        people = own.pop("people")
        first = {key: value for key, value in people[0].items() if key not in ("number", "name")}
        return {"video": own.pop("video")} | first | own | {"people": people}


NOT_STORED = ("portrait", "waveform")


def name_class(score: float, half_width: float, task: str) -> str:
    """The class that is left when all are excluded that the errors on held-out clips do not exclude.

    Args:
        score: in [-3, 3].
        half_width: how far around it its label lies.
        task: regression | binary. A binary model's labels are the two ends of the scale.

    >>> [name_class(*case, "regression") for case in ((1.5, 1.2), (-1.5, 2.0), (0.1, 0.3))]
    ['positive', 'undecided', 'neutral']
    >>> name_class(2.0, 1.5, "binary"), name_class(-0.5, 3.5, "binary")
    ('positive', 'undecided')
    """
    low, high = score - half_width, score + half_width
    if task == "binary":
        is_positive, is_negative = high >= REACH, low <= -REACH
    else:
        if max(abs(low), abs(high)) <= NEUTRAL:
            return "neutral"
        is_positive, is_negative = high > 0, low < 0
    if is_positive == is_negative:
        return "undecided"
    return "positive" if is_positive else "negative"


def to_plain(value: Any) -> Any:
    """Dataclasses → dicts, without what is only for the page; numbers to four places."""
    if dataclasses.is_dataclass(value):
        names = (one.name for one in dataclasses.fields(value) if one.name not in NOT_STORED)
        return {name: to_plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: to_plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [to_plain(one) for one in value]
    return round(value, 4) + 0.0 if isinstance(value, float) else value  # + 0.0: no -0.0
