"""Looks for faces in the sampled frames of a clip, and for the person whose clip it is."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from preprocessing.config import PreprocessConfig
from preprocessing.faces.covers import describe_covers
from preprocessing.faces.landmarks import Face, load_landmarker
from preprocessing.faces.small_faces import Square, find_squares, look_at_squares, spread_looks
from preprocessing.faces.tracks import choose_track, measure_loudness
from preprocessing.media.decode import MediaError, check_duration, join_remarks
from preprocessing.media.file import Media
from preprocessing.media.frames import pick_frames


@dataclass(frozen=True)
class Glance:
    """One sampled frame and the faces in it.

    Attributes:
        position: of the frame in `FrameReader.time`.
        frame: [H, W, 3] uint8 RGB.
        faces: cut out where `is_cropped`.
        is_cropped: whether it belongs to the crops, which may come less often than behaviour tokens.
    """

    position: int
    frame: np.ndarray
    faces: list[Face]
    is_cropped: bool


@dataclass
class Look:
    """What was seen in a clip; frames that do not decode are left out.

    Attributes:
        positions: of the frames in `FrameReader.time`.
        detections: the faces in each.
        crop_rows: which of these frames belong to the crops.
    """

    positions: list[int] = field(default_factory=list)
    detections: list[list[Face]] = field(default_factory=list)
    crop_rows: list[int] = field(default_factory=list)

    def add(self, glance: Glance) -> None:
        """Take in what was seen in one frame."""
        if glance.is_cropped:
            self.crop_rows.append(len(self.positions))
        self.positions.append(glance.position)
        self.detections.append(glance.faces)


@dataclass(frozen=True)
class Person:
    """One person in the sampled frames of a clip.

    Attributes:
        time: [T] seconds of the frames.
        track: [T] their face in each, or None.
        crop_rows: which of these frames belong to the crops.
        facts: what is stored beside whatever is made of them.
    """

    time: np.ndarray
    track: list[Face | None]
    crop_rows: list[int]
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def is_seen(self) -> bool:
        """Whether their face is in at least one frame."""
        return any(face is not None for face in self.track)


def look_at_clip(
    media: Media,
    config: PreprocessConfig,
    threads: int = 1,
    on_glance: Callable[[Glance], None] = lambda glance: None,
) -> Look:
    """Look for faces in the sampled frames, and closer where the whole clip shows none.

    Args:
        media: the clip.
        config: of the cache.
        threads: that look for faces, each with a model of its own, while frames are decoded; what they find
            does not depend on their number.
        on_glance: told of each frame in order.
    """
    look = Look()
    for glance in look_at_frames(media, config, threads):
        look.add(glance)
        on_glance(glance)
    if any(look.detections) or not look.positions:
        return look
    frames = (frame for _, frame in media.frames.frames(spread_looks(np.array(look.positions))))
    squares = find_squares(frames, load_landmarker(config.track), config.track.max_faces)
    if squares:
        look = Look()
        for glance in look_at_frames(media, config, threads, squares):
            look.add(glance)
    return look


def look_at_frames(
    media: Media, config: PreprocessConfig, threads: int = 1, squares: Sequence[Square] = ()
) -> Iterator[Glance]:
    """The sampled frames in order, looked at as a whole, or in `squares` where these are given."""
    reader = media.frames
    index = sample_frames(reader.time, config)
    cropped = set(index[pick_frames(reader.time[index], config.faces.rate)].tolist())

    def look(position: int, frame: np.ndarray) -> Glance:
        is_cropped = position in cropped
        landmarker, crop = load_landmarker(config.track), config.faces if is_cropped else None
        faces = look_at_squares(frame, squares, landmarker, crop) if squares else landmarker(frame, crop)
        return Glance(position, frame, faces, is_cropped)

    return map_in_order(look, reader.frames(index), threads)


def map_in_order(
    work: Callable[..., Glance], items: Iterable[tuple[int, np.ndarray]], threads: int
) -> Iterator[Glance]:
    """`work(*item)` of every item, by several threads; twice as many items as threads are held at most."""
    if threads < 2:
        yield from itertools.starmap(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[Glance]] = deque()
        for item in items:
            begun.append(pool.submit(work, *item))
            if len(begun) == 2 * threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def sample_frames(time: np.ndarray, config: PreprocessConfig) -> np.ndarray:
    """Positions of the frames that are looked at, of all whose times [N] are given."""
    return pick_frames(time, config.track.rate)


def find_person(media: Media, config: PreprocessConfig) -> Person:
    """Look at a clip and choose the person whose clip it is.

    Raises:
        MediaError: no frame decodes, or too little of the picture.
    """
    reader = media.frames
    look = look_at_clip(media, config)
    positions, detections = look.positions, look.detections
    decoded_s = reader.span_s * len(positions) / len(sample_frames(reader.time, config))
    missing = check_duration("picture", media.info.video_duration_s, decoded_s, config.decode.max_missing)
    if not detections:
        raise MediaError("no frame of the video stream can be decoded")
    time = reader.time[positions]
    track = choose_track(detections, _loudness(media, detections, time, config))
    facts = {
        "duration_s": round(media.info.duration_s, 3),
        "n_frames": len(reader.time),
        "face_ratio": round(sum(face is not None for face in track) / len(track), 4),
        "people": max(map(len, detections)),
        "remark": join_remarks(missing, reader.remark, media.info.remark, describe_track(track)),
    }
    return Person(time, track, look.crop_rows, facts)


def describe_track(track: list[Face | None]) -> str:
    """What is to be remarked of a person's face; empty if nothing."""
    return describe_covers(face.detail for face in track if face)


def _loudness(
    media: Media, detections: list[list[Face]], time: np.ndarray, config: PreprocessConfig
) -> np.ndarray | None:
    """The sound is decoded for this only where there are several people to choose from."""
    if config.track.choose != "speaking" or max(map(len, detections)) < 2:
        return None
    return measure_loudness(media.sound.waveform, time)
