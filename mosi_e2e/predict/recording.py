"""One video, decoded once: its sound, and per person what the stages of the cache hold of them.

Frames and sound go through the functions that preprocessing uses for a clip of the cache.
"""

import itertools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mosi_e2e.predict.pictures import Album, PersonPictures
from preprocessing.cache.store import Arrays
from preprocessing.config import SAMPLE_RATE, PreprocessConfig
from preprocessing.faces.landmarks import Face
from preprocessing.faces.tracks import choose_speaker, list_tracks, measure_loudness
from preprocessing.media.decode import MediaError, check_duration, join_remarks
from preprocessing.stages import PersonStage, Stage, find_stage, list_stages
from preprocessing.stages.clip import Clip
from preprocessing.stages.look import Glance, Person, describe_track, look_at_clip, sample_frames

LEAST_SHARE, LEAST_S = 0.1, 1.0  # of the sampled frames and in sight: with less, nobody counts as a person
MOST_PEOPLE = 6
SILENT_PEAK = 8  # of 32768, 72 dB below full scale: what codecs make of digital silence
MOST_THREADS = 4  # that look for faces; each holds a model and two frames

OnShare = Callable[[float], None]  # share of the work that is done


@dataclass(frozen=True)
class Seen:
    """One person's arrays over the whole video, as the cache has them of a clip.

    Attributes:
        stages: per stage of the picture, its arrays; empty where no face was found.
        track: face per sampled frame; empty where another program looked at the frames.
    """

    stages: dict[str, Arrays]
    track: list[Face | None]


@dataclass(frozen=True)
class Recording:
    """What a video holds.

    Attributes:
        path: the file.
        duration_s: up to the end of what could be decoded.
        waveform: [S] int16, 16 kHz; empty without sound.
        has_video: whether there is a picture.
        people: at least one; the first is the person whom training would have chosen.
        time: [T] seconds of the sampled frames.
        loudness: [T], see `tracks.measure_loudness`; None without sound, or with a single person.
        album: pictures for the page.
        columns: of the behaviour tokens.
        remarks: what is odd about the file.
        heard: per stage of the sound that is made of all of it, its arrays.
    """

    path: Path
    duration_s: float
    waveform: np.ndarray
    has_video: bool
    people: list[Seen]
    time: np.ndarray
    loudness: np.ndarray | None
    album: Album
    columns: list[str]
    remarks: list[str]
    heard: dict[str, Arrays] = field(default_factory=dict)

    @property
    def is_silent(self) -> bool:
        """Whether there is a sound track, and nothing on it."""
        return len(self.waveform) > 0 and is_silent(self.waveform)

    def find_speaker(self, start_s: float, end_s: float) -> int | None:
        """Number of the person whose voice is heard in a window; None where that is not clear."""
        if len(self.people) < 2:
            return 0
        rows = slice(*np.searchsorted(self.time, (start_s, end_s)))
        loudness = None if self.loudness is None else self.loudness[rows]
        return choose_speaker([one.track[rows] for one in self.people], loudness)

    def without(self, start_s: float, end_s: float) -> "Recording":
        """As if nothing were seen or heard from `start_s` on and before `end_s`: silence, and no faces."""
        waveform = self.waveform.copy()
        waveform[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)] = 0
        end_s = math.inf if end_s >= self.duration_s else end_s  # a frame may stand at the very end
        people = [replace(one, stages=_hide_rows(one.stages, start_s, end_s)) for one in self.people]
        heard = _hide_rows(self.heard, start_s, end_s)
        return replace(self, waveform=waveform, people=people, heard=heard)

    def measure_faces(self, number: int) -> float | None:
        """Share of the sampled frames with the person's face; None without a look at faces."""
        stages = self.people[number].stages
        packed = [stage for stage in map(find_stage, stages) if isinstance(stage, PersonStage)]
        seen = [stages[stage.name][f"{stage.row_key}_valid"] for stage in packed]
        if any(map(len, seen)):
            return float(max(seen, key=len).mean())  # of the stage with most rows
        return None if not len(self.time) else 0.0

    def draw_portrait(self, number: int) -> PersonPictures:
        """What the page shows of a person."""
        stages = self.people[number].stages
        faces, behaviour = stages.get("faces"), stages.get("behaviour")
        portrait = PersonPictures(stills=self.album.stills, columns=self.columns)
        if faces is not None:
            box = np.where(faces["face_valid"][:, None], faces["face_box"], np.nan)
            portrait = replace(portrait, box=box, box_time=faces["face_time"])
        if behaviour is not None:
            rows = np.where(behaviour["behaviour_valid"][:, None], behaviour["behaviour"], np.nan)
            portrait = replace(portrait, behaviour=rows, behaviour_time=behaviour["behaviour_time"])
        return portrait


def is_silent(waveform: np.ndarray) -> bool:
    """Whether a waveform [S] int16 holds nothing: no microphone and no room is that quiet."""
    return not len(waveform) or max(int(waveform.max()), -int(waveform.min())) <= SILENT_PEAK


def _hide_rows(stages: dict[str, Arrays], start_s: float, end_s: float) -> dict[str, Arrays]:
    return {name: find_stage(name).hide(arrays, start_s, end_s) for name, arrays in stages.items()}


def read_recording(
    path: Path, config: PreprocessConfig, stages: frozenset[str], on_progress: OnShare
) -> Recording:
    """Decode a video and look at its faces.

    Args:
        path: the file.
        config: the settings of the model's cache; what fails to decode is remarked, not refused.
        stages: those that the model reads.
        on_progress: told about the frames.

    Raises:
        MediaError: there is nothing in the file that can be used.
    """
    clip = Clip(path, config)
    media, sound = clip.media, clip.sound
    missing = check_duration("sound", media.info.audio_duration_s, sound.decoded_s, 1.0)
    remarks = [missing, sound.remark, media.info.remark]
    end_s = len(sound.waveform) / SAMPLE_RATE
    people, time, album = [Seen({}, [])], np.zeros(0), Album()
    seen = [stage for stage in map(find_stage, sorted(stages)) if not stage.hears]
    if seen and media.info.has_video:
        on_people = [stage for stage in seen if isinstance(stage, PersonStage)]
        if on_people and config.behaviour.backend == "mediapipe":
            people, time, remark = _look(clip, album, on_progress)
            remarks.append(remark)
        elif on_people:
            people, said = _run_openface(clip, on_people)
            remarks += said
        whole = _extract(clip, [stage for stage in seen if stage not in on_people])
        people = [replace(one, stages=one.stages | whole) for one in people]
        end_s = max(end_s, float(media.frames.time[0]) + media.frames.span_s)
    if end_s <= 0:
        raise MediaError("neither a picture nor a sound that this model reads can be decoded")
    loudness = measure_loudness(sound.waveform, time) if len(people) > 1 else None
    return Recording(
        path=path,
        duration_s=end_s,
        waveform=sound.waveform,
        has_video=media.info.has_video,
        people=people,
        time=time,
        loudness=loudness,
        album=album,
        columns=find_stage("behaviour").columns(config),
        remarks=[part for part in join_remarks(*remarks).split("; ") if part],
    )


def _look(clip: Clip, album: Album, on_progress: OnShare) -> tuple[list[Seen], np.ndarray, str]:
    """Everybody who is in sight steadily, the times of the frames, and what is missing of the picture."""
    media, config, reader = clip.media, clip.config, clip.frames
    count = len(sample_frames(reader.time, config))
    done = itertools.count(1)

    def follow(glance: Glance) -> None:
        if glance.is_cropped:
            album.offer(float(reader.time[glance.position]), glance.frame)
        on_progress(next(done) / count)

    look = look_at_clip(media, config, min(os.cpu_count() or 1, MOST_THREADS), follow)
    positions, detections, crop_rows = look.positions, look.detections, look.crop_rows
    if not positions:
        return [Seen({}, [])], np.zeros(0), "no frame of the picture can be decoded"
    remark = check_duration(
        "picture", media.info.video_duration_s, reader.span_s * len(positions) / count, 1.0
    )
    time = reader.time[positions]
    speaking = config.track.choose == "speaking" and max(map(len, detections)) > 1
    loudness = measure_loudness(media.sound.waveform, time) if speaking else None
    least = max(round(LEAST_S * config.track.rate), round(LEAST_SHARE * len(positions)))
    tracks = list_tracks(detections, loudness, least)[:MOST_PEOPLE]
    people = [Seen(_pack(Person(time, track, crop_rows)), track) for track in tracks]
    return (
        people or [Seen({}, [])],
        time,
        join_remarks(remark, reader.remark, *map(describe_track, tracks[:1])),
    )


def _pack(person: Person) -> dict[str, Arrays]:
    """All that is made of a person's face: the page shows it, too."""
    return {stage.name: stage.pack(person) for stage in list_stages() if isinstance(stage, PersonStage)}


def _extract(clip: Clip, stages: Sequence[Stage]) -> dict[str, Arrays]:
    """What stages of the whole picture find in it."""
    results = {stage.name: stage.extract(clip) for stage in stages}
    return {name: result.arrays for name, result in results.items() if result.state == "ok"}


def _run_openface(clip: Clip, stages: Sequence[Stage]) -> tuple[list[Seen], list[str]]:
    """The person whom OpenFace follows, since it tells nobody apart, and what is to be said of that."""
    results = {stage.name: stage.extract(clip) for stage in stages}
    found = {name: result.arrays for name, result in results.items() if result.state == "ok"}
    remark = next((str(result.facts.get("remark") or "") for result in results.values()), "")
    counts = [result.facts["people"] for result in results.values() if "people" in result.facts]
    return [Seen(found, [])], [remark, warn_of_others(max(counts, default=None)) if found else ""]


def warn_of_others(count: int | None) -> str:
    """What is to be said of people whom OpenFace does not tell apart.

    Args:
        count: most faces in one frame; None where nobody has counted them, which OpenFace does not.
    """
    if count == 1:
        return ""
    seen = "if several people are in the picture" if count is None else f"there are {count} faces in a frame"
    return (
        f"{seen}: OpenFace, by which this model sees expression, follows one face and tells nobody apart, so "
        "the result may mix people, and the voice counts as that one's throughout"
    )
