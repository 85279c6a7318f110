"""The ready model on a video."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mosi_e2e.config import RunConfig
from mosi_e2e.data.streams import name_stream
from mosi_e2e.models import list_streams
from mosi_e2e.models.config import ModelConfig
from mosi_e2e.predict.evidence import Evidence, Grounds, read_evidence
from mosi_e2e.predict.members import Member, read_records
from mosi_e2e.predict.options import DEFAULTS, OnProgress, PredictOptions
from mosi_e2e.predict.predictor import Predictor
from mosi_e2e.predict.recording import OnShare, Recording
from mosi_e2e.predict.result import NEUTRAL, PersonResult, VideoResult
from mosi_e2e.predict.scoring import Scorer
from mosi_e2e.predict.windows import Stretch, WindowReader
from mosi_e2e.predict.words import signed
from mosi_e2e.ready.bases import check_bases
from mosi_e2e.ready.combining import StreamFacts, share_weights
from mosi_e2e.ready.folder import NAME, Ready, find_ready, is_ready, read_ready
from mosi_e2e.ready.language import LEAST, Language, find_language, name_language
from mosi_e2e.ready.scorers import PictureScorer, ReadyScorer, ValenceScorer
from mosi_e2e.runs.checkpoint import CacheFacts, load_model
from preprocessing.cache.store import Arrays
from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.hearing.heard import pack_heard
from preprocessing.hearing.listening import hear_words
from preprocessing.hearing.voice import Span, find_speech
from preprocessing.stages.recipes import describe_settings

LEAST_SPEECH_S = 0.2  # in a window; with less the voice has no say
APART = 1.5  # points between words and face or voice from which on it is reported


@dataclass(frozen=True)
class HeardRecording(Recording):
    """A recording with where somebody speaks, and in which language.

    Attributes:
        speech: where somebody speaks.
        language: None where the recogniser knows one alone.
        confidence: mean over the words that were heard then; None without words.
    """

    speech: list[Span] = field(default_factory=list)
    language: Language | None = None
    confidence: float | None = None


class SpeechReader(WindowReader):
    """Windows whose voice is there only where somebody speaks."""

    def read(self, stretch: Stretch, stage: str) -> Arrays:
        """As `WindowReader.read`."""
        if stage == "waveform" and not speaks(self.recording.speech, stretch.start_s, stretch.end_s):
            stretch = replace(stretch, has_voice=False)
        return super().read(stretch, stage)


class ReadyPredictor(Predictor):
    """Streams that were learned apart, combined (`combining`).

    Args:
        ready: what is known of them.
        scorer: their models.
        evidence: how good the words alone are on MOSI's test clips.
    """

    def __init__(self, ready: Ready, scorer: ReadyScorer, evidence: Evidence):
        facts = CacheFacts(
            {}, [], False, settings=describe_settings(ready.settings), train_seconds=ready.seconds
        )
        config = RunConfig(name=ready.name, model=ModelConfig(name=NAME))
        self.ready, self.known = ready, ready.streams
        super().__init__([Member(scorer, config, facts, ready.name, evidence)], ready.settings)

    @classmethod
    def open_ready(cls, folder: Path | None = None, fast: bool = False) -> "ReadyPredictor":
        """The ready model of a folder; by default the one that comes with the program, or its fast one.

        Raises:
            UserError: it is not there, or a checkpoint that it needs is not.
        """
        ready = read_ready(folder or find_ready(fast))
        check_bases(ready)
        parts = {name: open_part(ready, name, one) for name, one in ready.streams.items()}
        own = ready.folder / ready.streams["words"].folder if "words" in ready.streams else None
        evidence = read_evidence(read_records(own, "regression"), "regression") if own else Evidence()
        return cls(ready, ReadyScorer(parts, ready.streams), evidence)

    def hear(self, recording: Recording, config: PreprocessConfig, on_progress: OnShare) -> Recording:
        """As `Predictor.hear`; words of another language than the model's are not heard.

        A recogniser of English alone hears English words in any language, but is not sure of them: below a
        mean confidence of `LEAST` none of them counts.
        """
        speech = find_speech(recording.waveform) if len(recording.waveform) else []
        found = HeardRecording(**vars(recording), speech=speech)
        if "words" not in self.streams or not len(recording.waveform):
            return found
        language = find_language(recording.waveform, speech, config.words)
        found = replace(found, language=language)
        if language is not None and language.probability_of(self.ready.language) < LEAST:
            return found
        from preprocessing.hearing.models import load_recogniser  # here, since it imports transformers

        words = replace(config.words, language=self.ready.language if language else "")
        heard = hear_words(recording.waveform, load_recogniser(words), on_progress, speech)
        if language is None and heard:
            found = replace(found, confidence=float(np.mean([word.confidence for word in heard])))
            if found.confidence < LEAST:
                return found
        return replace(found, heard={"words": pack_heard(heard)})

    def describe(self) -> dict[str, Any]:
        """As `Predictor.describe`; the words' error is known for what was said, and here they are heard."""
        return super().describe() | {"test_mae": None}

    def make_reader(self, recording: Recording) -> WindowReader:
        """As `Predictor.make_reader`."""
        return SpeechReader(recording, self.config)

    def weigh(self, missing: Sequence[str], level: float) -> Grounds:
        """As `Predictor.weigh`: the interval is that of the stream that decides, if it knows opinions."""
        knows = [one for name, one in self.known.items() if one.opinion and name not in missing]
        if not knows:
            return Grounds(
                why_none="no class and no interval: there are no words that count, and face and voice show "
                "expression, not opinion"
            )
        one = min(knows, key=lambda one: one.sd)
        width = one.find_half_width(level)
        if width is None:
            highest = max(map(float, one.half_width))
            return Grounds(why_none=f"no class and no interval: levels are known up to {highest:g} %")
        method = f"conformal, from {one.tried_on}"
        return Grounds(width, True, "", "valid", one.people, method)

    def count_windows(self, missing: Sequence[list[str]]) -> np.ndarray:
        """As `Predictor.count_windows`: windows without opinions do not count where others have some."""
        knows = [name for name, one in self.known.items() if one.opinion]
        there = np.array([any(name not in lacks for name in knows) for lacks in missing], dtype=float)
        return there if there.any() else np.ones(len(missing))

    def score(
        self,
        recording: Recording,
        stretches: Sequence[Sequence[Stretch]],
        on_progress: OnProgress | None = None,
        options: PredictOptions = DEFAULTS,
    ) -> VideoResult:
        """As `Predictor.score`."""
        result = super().score(recording, stretches, on_progress, options)
        said = [*self._remark_on_language(recording), *map(self._remark_on_streams, result.people)]
        people = [replace(one, weight=self._weigh_streams(one)) for one in result.people]
        return replace(result, people=people, remarks=[*result.remarks, *filter(None, said)])

    def _weigh_streams(self, person: PersonResult) -> dict[str, float]:
        """How much each stream counts in a person's score: the mean over the windows that count."""
        there = [[name for name in self.known if name not in one.streams_missing] for one in person.timeline]
        counts = self.count_windows([one.streams_missing for one in person.timeline]) if there else []
        total = dict.fromkeys(person.by_stream, 0.0)
        for window, names, count in zip(person.timeline, there, counts, strict=True):
            shares = share_weights({name: self.known[name] for name in names})
            for name, share in shares.items():
                total[name] += share * float(count) * (window.end_s - window.start_s)
        whole = sum(total.values())
        return {name: value / whole for name, value in total.items()} if whole else {}

    def _remark_on_language(self, recording: Recording) -> list[str]:
        found, sure = (getattr(recording, name, None) for name in ("language", "confidence"))
        if sure is not None and sure < LEAST:
            return [
                f"the recogniser is unsure of the words ({100 * sure:.0f} % on average): it may not be "
                f"{name_language(self.ready.language)}, or is hard to hear, so the words do not count"
            ]
        if found is None or found.probability_of(self.ready.language) >= LEAST:
            return []
        code, sure = found.likeliest
        seems = "seems to be" if sure >= LEAST else "is in no clear language, most likely"
        return [
            f"the speech {seems} {name_language(code)} ({100 * sure:.0f} %): the model understands "
            f"{name_language(self.ready.language)} only, so the words do not count"
        ]

    def _remark_on_streams(self, person: PersonResult) -> str:
        """That face or voice and words say opposite things."""
        words = person.by_stream.get("words")
        if words is None:
            return ""
        others = {name: score for name, score in person.by_stream.items() if name != "words"}
        against = [
            f"{name_stream(name)} {signed(score)}"
            for name, score in others.items()
            if score * words < 0 and min(abs(score), abs(words)) > NEUTRAL and abs(score - words) > APART
        ]
        who = f"{person.name}: " if person.name and person.number > 1 else ""
        return (
            f"{who}{' and '.join(against)} against words {signed(words)}: it may be irony, which this model "
            "does not understand, or everyday talk and looks, which it never learned from"
            if against
            else ""
        )


def speaks(speech: Sequence[Span], start_s: float, end_s: float) -> bool:
    """Whether somebody speaks for long enough between two times."""
    inside = (min(span.end_s, end_s) - max(span.start_s, start_s) for span in speech)
    return sum(max(one, 0.0) for one in inside) >= min(LEAST_SPEECH_S, 0.5 * (end_s - start_s))


def open_model(paths: Sequence[Path], fast: bool = False) -> Predictor:
    """What a command means: runs, a ready model's folder, or without any the one that comes with the program.

    Raises:
        UserError: one of them cannot be used, or a ready model stands beside others.
    """
    if not any(map(is_ready, paths)):
        return Predictor.open_many(paths) if paths else ReadyPredictor.open_ready(fast=fast)
    if len(paths) > 1:
        raise UserError(f"{', '.join(map(str, paths))}: a ready model is used alone; name it and no run")
    return ReadyPredictor.open_ready(paths[0])


def open_part(ready: Ready, name: str, facts: StreamFacts) -> Scorer:
    """The model of one stream."""
    model, config, known = load_model(ready.folder / facts.folder)
    if list_streams(config.model) != [name]:
        raise UserError(f"{ready.folder / facts.folder} does not read {name} alone; get the folder again")
    if config.task != "classes":
        return Scorer(model, config.task, [name])
    kind = PictureScorer if name == "face" else ValenceScorer
    return kind(model, [name], known.classes, facts)
