"""A trained model that scores any video.

```python
predictor = Predictor.open("runs/crossmodal")
result = predictor.predict("clip.mp4")
print(result.score, result.contribution, result.timeline)
```
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mosi_e2e.data.streams import find_stream, name_stream
from mosi_e2e.predict.classes import ClassResult, classify
from mosi_e2e.predict.evidence import Grounds, weigh
from mosi_e2e.predict.members import Member, check_alike, find_settings, open_member
from mosi_e2e.predict.options import DEFAULTS, OnProgress, PredictOptions
from mosi_e2e.predict.people import name_people
from mosi_e2e.predict.reading import Reading, join_readings
from mosi_e2e.predict.recognising import (
    Listener,
    choose_listener,
    describe_context,
    hear_whole,
    hears_whole,
    read_context,
)
from mosi_e2e.predict.recording import OnShare, Recording, read_recording
from mosi_e2e.predict.remarks import list_remarks, list_warnings
from mosi_e2e.predict.result import PersonResult, VideoResult
from mosi_e2e.predict.scoring import cut_seconds
from mosi_e2e.predict.segments import TYPICAL, choose_cuts
from mosi_e2e.predict.summary import Summary
from mosi_e2e.predict.windows import Stretch, WindowReader, has_evidence, list_missing
from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.media.decode import MediaError

LOOKING, LISTENING = 0.5, 0.75  # shares of the progress that are done when frames, and when words, are


class Predictor:
    """One run, or several runs of one recipe whose scores are averaged.

    Args:
        members: their models; all were trained on the same kind of cache.
        config: settings by which a video is treated; None: those of the cache.

    Attributes:
        facts: of the first member's cache.
        streams: that the model reads.
        stages: of preprocessing that they come from.
    """

    def __init__(self, members: Sequence[Member], config: PreprocessConfig | None = None):
        self.members = list(members)
        first = members[0]
        self.facts, self.streams = first.facts, first.scorer.streams
        self.stages = frozenset(find_stream(name).stage for name in self.streams)
        self.task = first.config.task
        self.config = config or find_settings(first.facts, self.streams)
        names = [one.name for one in members]
        self.evidence = {
            one.name if names.count(one.name) == 1 else f"{one.name} ({number})": one.evidence
            for number, one in enumerate(members, start=1)
        }
        for other in members[1:]:
            check_alike(first, other)

    @classmethod
    def open(cls, path: str | Path) -> "Predictor":
        """A run folder, or a folder such as its `best/`.

        Raises:
            UserError: there is no model, or none that can read a new video.
        """
        return cls.open_many([path])

    @classmethod
    def open_many(cls, paths: Sequence[str | Path]) -> "Predictor":
        """Several runs of one recipe with other seeds: their mean, and an interval from their spread."""
        return cls([open_member(Path(path)) for path in paths])

    def use_int8(self) -> None:
        """Let the encoders multiply 8-bit numbers: faster on a processor, with slightly other scores."""
        for member in self.members:
            member.scorer.use_int8()

    def predict(
        self,
        video: str | Path,
        on_progress: OnProgress | None = None,
        options: PredictOptions = DEFAULTS,
    ) -> VideoResult | ClassResult:
        """Score a video of any length; a model of classes gives a `ClassResult`.

        Args:
            video: any file that FFmpeg reads.
            on_progress: told the share that is done and what is being done.
            options: of the windows and the interval.

        Raises:
            UserError: the file cannot be used; the message says why.
        """
        recording = self.read(video, on_progress, options)
        stretches = self.cut(recording, options)
        if self.task == "classes":
            return classify(self, recording, stretches, on_progress)
        return self.score(recording, stretches, on_progress, options)

    def score(
        self,
        recording: Recording,
        stretches: Sequence[Sequence[Stretch]],
        on_progress: OnProgress | None = None,
        options: PredictOptions = DEFAULTS,
    ) -> VideoResult:
        """Score what was read of a video.

        Args:
            recording: from `read`.
            stretches: from `cut`, or other ones; per person.
            on_progress: told the share that is done and what is being done.
            options: of the interval.
        """
        report = on_progress or (lambda share, what: None)
        people = []
        exact = options.exact_seconds
        quiet = [None if exact else one.scorer.hear_silence(recording.waveform) for one in self.members]
        work, begun = sum(map(len, stretches)), LISTENING if hears_whole(self.stages) else LOOKING
        done = 0
        for number, mine in enumerate(stretches):
            for person in self._score_person(recording, number, mine, quiet, options):
                if isinstance(person, PersonResult):
                    people.append(person)
                    continue
                done += person
                report(begun + (1 - begun) * done / max(work, 1), "scoring")
        names = name_people([person.portrait for person in people])
        people = [replace(person, name=name) for person, name in zip(people, names, strict=True)]
        report(1.0, "done")
        return VideoResult(
            video=recording.path.name,
            duration_s=recording.duration_s,
            people=people,
            score_absent=float(np.mean([one.scorer.absent for one in self.members])),
            remarks=list_remarks(
                recording,
                stretches,
                people,
                self.streams,
                self.task,
                {} if self.facts.synthetic else self.evidence,
            ),
            model=self.describe(),
            waveform=recording.waveform,
            warnings=list_warnings(self.evidence, self.facts.synthetic),
        )

    def describe(self) -> dict[str, Any]:
        """What the results say of the model."""
        first = self.members[0]
        known = [one for one in self.evidence.values() if one.key == "mae" and one.value is not None]
        tested = [one.value for one in known if one.split == "test"]
        return {
            "name": ", ".join(one.name for one in self.members),
            "kind": first.config.model.name,
            "task": self.task,
            "streams": self.streams,
            "synthetic": self.facts.synthetic,
            "test_mae": float(np.mean(tested)) if tested else None,
            "evidence": {name: one.to_dict() for name, one in self.evidence.items()},
        }

    def read(
        self,
        video: str | Path,
        on_progress: OnProgress | None = None,
        options: PredictOptions = DEFAULTS,
    ) -> Recording:
        """Decode a video and look at its faces; arguments and errors as of `predict`."""
        report = on_progress or (lambda share, what: None)
        report(0.0, "reading the file")
        listener = self.choose_listener(options)
        decode = replace(self.config.decode, max_missing=1.0, max_minutes=options.max_minutes)
        config = replace(listener.config, decode=decode)
        try:
            recording = read_recording(
                Path(video),
                config,
                self.stages,
                lambda share: report(LOOKING * share, "looking at the picture"),
            )
        except MediaError as error:
            reason = str(error).replace("decode.max_minutes=", "--max-minutes ")
            advice = "" if ";" in reason else "; give another video, or leave it out"
            raise UserError(f"{video} cannot be scored: {reason}{advice}") from error
        report(LOOKING, "listening")
        remarks = [*recording.remarks, *filter(None, [listener.remark, describe_context(self.facts)])]
        return self.hear(
            replace(recording, remarks=remarks),
            config,
            lambda share: report(LOOKING + (LISTENING - LOOKING) * share, "listening"),
        )

    def hear(self, recording: Recording, config: PreprocessConfig, on_progress: OnShare) -> Recording:
        """The recording with what is heard in all of its sound at once, by the stages it reads."""
        return hear_whole(recording, config, self.stages, on_progress)

    def make_reader(self, recording: Recording) -> WindowReader:
        """Reads the windows of a recording."""
        return WindowReader(recording, self.config, read_context(self.facts))

    def weigh(self, missing: Sequence[str], level: float) -> Grounds:
        """What may be said of a person without these streams."""
        lacking = [name_stream(one) for one in missing]
        return weigh(list(self.evidence.values()), self.facts.synthetic, level, lacking)

    def count_windows(self, missing: Sequence[list[str]]) -> np.ndarray:
        """[W] how much a second of each window counts, by the streams that each lacks."""
        return np.ones(len(missing))

    def choose_listener(self, options: PredictOptions) -> Listener:
        """Who hears the words, if the model reads any; errors as of `recognising.choose_listener`."""
        return choose_listener(self.config, self.facts, self.streams, options.words)

    def cut(self, recording: Recording, options: PredictOptions = DEFAULTS) -> list[list[Stretch]]:
        """The windows of each person."""
        cuts = choose_cuts(
            recording.waveform,
            recording.duration_s,
            options.choose_lengths(self.facts.train_seconds or TYPICAL),
        )
        speaker = [recording.find_speaker(*cut) for cut in cuts]
        return [
            [Stretch(number, *cut, speaker[row] == number) for row, cut in enumerate(cuts)]
            for number in range(len(recording.people))
        ]

    def _score_person(
        self,
        recording: Recording,
        number: int,
        stretches: Sequence[Stretch],
        quiet: Sequence[np.ndarray | None],
        options: PredictOptions,
    ) -> Iterator[int | PersonResult]:
        """Yield how many windows were dealt with, time and again; at last the result."""
        reader = self.make_reader(recording)
        kept: list[Stretch] = []
        missing: list[list[str]] = []
        readings: list[list[Reading]] = [[] for _ in self.members]
        words: list[list[dict]] = []
        for place, stretch in enumerate(stretches):  # one by one: several would be padded to the longest
            example = reader.read_example(stretch, self.streams, stretches[:place])
            if has_evidence(example):
                seconds = cut_seconds(stretch.seconds)
                draws = options.draws if len(self.members) == 1 else 0
                settings = (seconds, draws, options.seed + place)
                for reading, member, silence in zip(readings, self.members, quiet, strict=True):
                    reading.append(member.scorer.ask(example, silence, *settings))
                words += [reader.list_words(stretch)] if "words" in self.streams else []
                kept.append(stretch)
                missing.append(list_missing(example))
            yield 1
        face_ratio = recording.measure_faces(number)
        total = sum(one.seconds for one in stretches)
        voice = sum(one.seconds for one in stretches if one.has_voice) if len(recording.waveform) else 0.0
        portrait = recording.draw_portrait(number)
        if not kept:
            yield PersonResult(
                number + 1, None, None, None, None, {}, {}, dict.fromkeys(self.streams, 0.0), [], None,
                list(self.streams), face_ratio, voice / total, portrait,
                why_none="no score: nothing that the model reads was found",
            )  # fmt: skip
            return
        lacking = [one for one in self.streams if all(one in lacks for lacks in missing)]
        summary = Summary(
            kept,
            missing,
            [cut_seconds(one.seconds) for one in kept],
            [join_readings(one) for one in readings],
            heads=self.members[0].scorer.heads,
            level=options.level,
            task=self.task,
            grounds=self.weigh(lacking, options.level),
            words=words,
            counts=self.count_windows(missing),
        )
        yield summary.describe(number + 1, portrait, face_ratio, voice / total)
