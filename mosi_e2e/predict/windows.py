"""A stretch of a recording as one example, its rows taken as those of a clip of the cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mosi_e2e.data.dataset import take_rows
from mosi_e2e.data.streams import Stream, find_stream
from mosi_e2e.predict.recording import Recording, is_silent
from preprocessing.cache.store import Arrays
from preprocessing.cache.words import CONTEXT_END, pack_words, unpack_words
from preprocessing.config import SAMPLE_RATE, PreprocessConfig
from preprocessing.stages import SoundStage, Stage, find_stage

JUST_BEFORE_S = -1e-6  # the time of earlier words: at the window's start, and in none of its seconds


@dataclass(frozen=True)
class Stretch:
    """Part of one person's recording.

    Attributes:
        person: number of the person.
        start_s, end_s: on the video's clock.
        has_voice: whether the sound is theirs.
    """

    person: int
    start_s: float
    end_s: float
    has_voice: bool

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end_s - self.start_s


def describe_voices(stretches: Sequence[Sequence[Stretch]], has_voice: bool) -> str:
    """What the reader of several people's results should know about whose voice was heard.

    Args:
        stretches: per person the same windows.
        has_voice: whether there is a sound that the model reads.
    """
    text = (
        f"{len(stretches)} people were found, each with a result of their own; training would use the first"
    )
    if not has_voice:
        return text
    text += (
        ". In each window the voice counts for the only person in sight, or for the one who clearly speaks "
        "(the mouth moves with the sound)"
    )
    windows = list(zip(*stretches, strict=True))
    unclear = sum(not any(one.has_voice for one in window) for window in windows)
    if not unclear:
        return text
    part = "the only window" if len(windows) == 1 else f"{unclear} of {len(windows)} windows"
    return f"{text}. In {part} nobody clearly speaks: there the voice counts for nobody"


class WindowReader:
    """Reads stretches of a recording as examples. Nothing is kept.

    Times count from the stretch's start, as those of a training clip do.

    Args:
        recording: the video.
        config: by which it was read.
        context: how many stretches before it stand in front of each one's words.
    """

    def __init__(self, recording: Recording, config: PreprocessConfig, context: int = 0):
        self.recording, self.config, self.context = recording, config, context

    def read_example(self, stretch: Stretch, streams: list[str], earlier: Sequence[Stretch] = ()) -> dict:
        """The stretch for `data.batch.collate`.

        Args:
            stretch: which one.
            streams: that the model reads.
            earlier: all stretches before it of the same person.

        Returns:
            Besides the usual: `silent`, the streams that are there and hold nothing; `n_before`, how many of
            the words were said before.
        """
        rows = {name: self._read_rows(stretch, find_stream(name)) for name in streams}
        silent = {name for name in streams if is_heard(name) and self._is_silent(stretch)}
        before = self._list_before(earlier) if len(rows.get("words", {}).get("values", ())) else []
        if before:
            rows["words"] = put_before(before, rows["words"])
        return {
            "index": 0, "clip_id": "", "label": np.nan, "weight": 1.0, "streams": rows, "silent": silent,
            "n_before": len(before),
        }  # fmt: skip

    def _read_rows(self, stretch: Stretch, stream: Stream) -> dict[str, np.ndarray]:
        return take_rows(self.read(stretch, stream.stage), stream)

    def _list_before(self, earlier: Sequence[Stretch]) -> list[str]:
        """What was said before, up to the mark that parts it from a stretch's own words."""
        near = earlier[max(len(earlier) - self.context, 0) :]
        said = [word["word"] for stretch in near for word in self.list_words(stretch)]
        return [*said, CONTEXT_END] if said else []

    def _is_silent(self, stretch: Stretch) -> bool:
        return is_silent(self._cut_sound(stretch))

    def _cut_sound(self, stretch: Stretch) -> np.ndarray:
        first, last = (round(edge * SAMPLE_RATE) for edge in (stretch.start_s, stretch.end_s))
        return self.recording.waveform[first:last]

    def read(self, stretch: Stretch, stage: str) -> Arrays:
        """The arrays of a stage, as the cache would have them of the stretch."""
        found = find_stage(stage)
        find = (self._hear_all if found.is_whole else self._hear) if found.hears else self._see
        arrays = find(stretch, found)
        return found.empty(self.config) if arrays is None else arrays

    def _hear(self, stretch: Stretch, stage: SoundStage) -> Arrays | None:
        piece = self._cut_sound(stretch)
        return stage.measure(piece, self.config) if stretch.has_voice and len(piece) else None

    def list_words(self, stretch: Stretch) -> list[dict[str, Any]]:
        """The words of its example: {word, start_s, end_s, confidence}, seconds of the video."""
        rows = self.read(stretch, "words")
        half = rows["words_length"] / 2
        edges = [stretch.start_s + rows["words_time"] + sign * half for sign in (-1, 1)]
        columns = zip(unpack_words(rows["words"]), *edges, rows["words_confidence"], strict=True)
        kept = rows.get("words_valid", np.ones(len(half), dtype=bool))
        return [
            {"word": word, "start_s": max(float(start), 0.0), "end_s": float(end), "confidence": float(sure)}
            for (word, start, end, sure), is_kept in zip(columns, kept, strict=True)
            if is_kept
        ]

    def _hear_all(self, stretch: Stretch, stage: Stage) -> Arrays | None:
        arrays = self.recording.heard.get(stage.name) if stretch.has_voice else None
        return None if arrays is None else self._cut(arrays, stretch, stage)

    def _see(self, stretch: Stretch, stage: Stage) -> Arrays | None:
        arrays = self.recording.people[stretch.person].stages.get(stage.name)
        return None if arrays is None else self._cut(arrays, stretch, stage)

    def _cut(self, arrays: Arrays, stretch: Stretch, stage: Stage) -> Arrays:
        is_last = stretch.end_s >= self.recording.duration_s  # a frame may stand at the very end
        return stage.cut(arrays, stretch.start_s, np.inf if is_last else stretch.end_s)


def put_before(words: Sequence[str], rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Earlier words in front of a stretch's own, as `preprocessing.import_words` puts them."""
    earlier = pack_words(words, np.zeros(len(words)), np.zeros(len(words)))["words"]
    width = max(earlier.shape[1], rows["values"].shape[1])
    both = [np.pad(one, ((0, 0), (0, width - one.shape[1]))) for one in (earlier, rows["values"])]
    time = np.full(len(words), JUST_BEFORE_S, rows["time"].dtype)
    return {"values": np.concatenate(both), "time": np.concatenate([time, rows["time"]])}


def has_evidence(example: dict) -> bool:
    """Whether anything is seen or heard: silence alone cannot be scored."""
    there = {name for name, rows in example["streams"].items() if len(rows["values"])}
    return bool(there - example["silent"])


def list_missing(example: dict) -> list[str]:
    """Streams of an example without rows."""
    return [name for name, rows in example["streams"].items() if not len(rows["values"])]


def is_heard(stream: str) -> bool:
    """Whether a stream is made of the sound."""
    return find_stage(find_stream(stream).stage).hears
