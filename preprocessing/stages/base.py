"""What a stage of the cache is. Those of the program: `heard.py`, `seen.py`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from preprocessing.cache.store import Arrays, StageFiles
from preprocessing.config import PreprocessConfig

if TYPE_CHECKING:
    from preprocessing.stages.clip import Clip
    from preprocessing.stages.look import Person


@dataclass(frozen=True)
class StageResult:
    """One clip's result in one stage.

    Attributes:
        arrays: what is stored; empty sequences where the clip lacks the stream.
        state: `ok`, or why there is nothing: `no_audio`, `no_video`, `no_face`, `too_short`.
        facts: further entries of the stored status (numbers for the index, remarks).
    """

    arrays: Arrays
    state: str
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def status(self) -> dict[str, object]:
        """What is stored beside the arrays."""
        return {"state": self.state, **self.facts}


class Licence(NamedTuple):
    """The terms of one program or model."""

    part: str
    terms: str
    commercial: bool | None  # None: it depends


class Stage:
    """One stage of the cache: what it is called, what it depends on, and what it makes of a clip.

    A stage of your own derives from `SoundStage` (a function of the waveform), `PersonStage` (of the tracked
    face) or this class, and needs `name`, `keys` and one method: `measure`, `pack` or `extract`.

    Attributes:
        name: letters, digits, `_`; the stage's folder and its column of the index.
        version: raise it when the code changes results. Caches are then brought up to date.
        hears: whether it is made of the sound; the other stages are made of the picture.
        after: stages whose recipes are part of this one's: what it is made from.
        tools: installed packages whose versions `meta.json` records.
        features: arrays whose mean and standard deviation over the train split are kept in `stats.json`.
        row_key: what the names of its rows begin with: `<row_key>_time`, `<row_key>_valid`.
        is_evidence: a clip in which no such stage finds anything is refused.
        is_whole: a new video is worked on whole and its rows are cut into windows. So is every stage of the
            picture; of those of the sound, one whose rows depend on what was heard before.
    """

    name: str
    version: int = 1
    hears: bool = False
    after: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    is_evidence: bool = False
    is_whole: bool = False

    @property
    def row_key(self) -> str:
        """The stage's name, unless it says otherwise."""
        return self.name

    def wanted(self, config: PreprocessConfig) -> bool:
        """Whether a cache of these settings has it. One that is not wanted has no recipe and no column."""
        return True

    def source(self, config: PreprocessConfig) -> str:
        """Whose work it is. Stages of one source are made in one pass over the clip, and fail together."""
        return self.name

    def cost(self, config: PreprocessConfig) -> float:
        """Seconds of work per second of clip, for the estimate before anything was measured."""
        return 0.02

    def check(self, config: PreprocessConfig) -> None:
        """Find out before the first clip that a program or model is missing.

        Raises:
            UserError: it is.
        """

    def obstacle(self, config: PreprocessConfig) -> str:
        """Why it cannot be made of a new video, as the end of "the model reads ..."; empty if it can."""
        return ""

    def licence(self, options: Mapping[str, object]) -> Licence | None:
        """On what terms that may be used which the stage is made with, where it was made with `options`."""
        return None

    def options(self, config: PreprocessConfig) -> dict[str, object]:
        """The options that the result depends on, and nothing else: they are part of the recipe."""
        return {}

    def earlier(self, config: PreprocessConfig, recipes: Mapping[str, str]) -> list[object]:
        """What of the stages before it the result depends on; `recipes` holds theirs."""
        return [recipes[name] for name in self.after]

    def summarise(
        self, config: PreprocessConfig, files: StageFiles, clip_ids: Sequence[str]
    ) -> dict[str, object]:
        """What `summary.json` says of it besides: entries of its own.

        Args:
            config: of the cache.
            files: the stage's.
            clip_ids: clips that have something.
        """
        return {}

    def keys(self, config: PreprocessConfig) -> dict[str, dict]:
        """Per array its `unit` and, for rows of features, the names of its `columns`."""
        raise NotImplementedError

    def empty(self, config: PreprocessConfig) -> Arrays:
        """The arrays with zero rows, of a clip that lacks the stream."""
        arrays: Arrays = {}
        for key, entry in self.keys(config).items():
            arrays |= {key: np.zeros((0, len(entry["columns"])), np.float32), f"{key}_time": np.zeros(0)}
        return arrays

    def extract(self, clip: "Clip") -> StageResult:
        """Make the stage of one clip.

        Raises:
            MediaError, UserError: the clip cannot be used; the message is the reason.
        """
        raise NotImplementedError

    def absent(self, clip: "Clip", state: str, facts: dict[str, object] | None = None) -> StageResult:
        """The result of a clip that has nothing for this stage: the same arrays with no rows."""
        return StageResult(self.empty(clip.config), state, facts or {"duration_s": clip.duration_s})

    def cut(self, arrays: Arrays, start_s: float, end_s: float) -> Arrays:
        """The rows from `start_s` on and before `end_s`, their times counted from `start_s`."""
        time = f"{self.row_key}_time"
        rows = slice(*np.searchsorted(arrays[time], (start_s, end_s)))
        cut = {key: values[rows] for key, values in arrays.items()}
        return cut | {time: cut[time] - start_s}

    def hide(self, arrays: Arrays, start_s: float, end_s: float) -> Arrays:
        """The arrays with the rows in between marked as not valid."""
        time, valid = arrays[f"{self.row_key}_time"], f"{self.row_key}_valid"
        seen = arrays.get(valid, np.ones(len(time), dtype=bool))
        return arrays | {valid: seen & ((time < start_s) | (time >= end_s))}


class SoundStage(Stage):
    """A stage that is a function of the waveform."""

    hears = True

    def measure(self, waveform: np.ndarray, config: PreprocessConfig) -> Arrays | None:
        """The arrays of a waveform [S] int16, 16 kHz, of at least one sample; None where it is too short."""
        raise NotImplementedError

    def measure_whole(
        self, waveform: np.ndarray, config: PreprocessConfig, on_progress: Callable[[float], None]
    ) -> Arrays | None:
        """As `measure`, of all the sound of a long video; a slow stage tells the share that is done."""
        del on_progress
        return self.measure(waveform, config)

    def extract(self, clip: "Clip") -> StageResult:
        """As `Stage.extract`."""
        facts = clip.sound_facts
        if not len(clip.sound.waveform):
            return self.absent(clip, "no_audio")
        arrays = self.measure(clip.sound.waveform, clip.config)
        return StageResult(arrays, "ok", facts) if arrays else self.absent(clip, "too_short")


class PersonStage(Stage):
    """A stage that is made of the face of the clip's person in the sampled frames."""

    def pack(self, person: "Person") -> Arrays:
        """The arrays of a person who is seen in at least one frame, with `<row_key>_valid`."""
        raise NotImplementedError

    def source(self, config: PreprocessConfig) -> str:
        """As `Stage.source`: everything that is made of the tracked face shares one look at the frames."""
        return "mediapipe"

    def extract(self, clip: "Clip") -> StageResult:
        """As `Stage.extract`."""
        if not clip.info.has_video:
            return self.absent(clip, "no_video")
        person = clip.person
        if not person.is_seen:
            return self.absent(clip, "no_face", person.facts)
        arrays = self.pack(person)
        return StageResult(arrays, "ok" if arrays[f"{self.row_key}_valid"].any() else "no_face", person.facts)
