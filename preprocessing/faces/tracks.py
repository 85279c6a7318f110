"""Faces of all sampled frames → the one person whose clip it is.

A smaller face takes the place of the largest where it clearly speaks instead: its mouth is the one that moves
while it is loud. Measured on real speaking people, two by two: `docs/clips.md`.
"""

import numpy as np

from preprocessing.config import SAMPLE_RATE
from preprocessing.faces.behaviour import BLENDSHAPES
from preprocessing.faces.landmarks import Face
from preprocessing.faces.small_faces import overlap

MIN_OVERLAP = 0.3  # intersection over union of one face in neighbouring sampled frames
MAX_SCALE, MAX_DISTANCE = 2.0, 1.5  # of one face before and after a jump cut; the latter in face heights
JAW = BLENDSHAPES.index("jawOpen")
MARGIN_S = 0.1  # sound before and after a step between two frames that counts to it: lips and sound differ
CLEARLY = 2.0  # times as much as anybody else must somebody speak
LEAST_SPEAKING = 0.002  # the tracking noise of a silent face makes less: docs/clips.md


def list_tracks(
    detections: list[list[Face]], loudness: np.ndarray | None, least: int
) -> list[list[Face | None]]:
    """Everybody who is in sight steadily: the person that `choose_track` chooses, then the others by size.

    Args:
        detections, loudness: as for `choose_track`.
        least: sampled frames that a further person is in sight in; less is a passer-by or a false alarm.

    Returns:
        Per person the face per sampled frame, or None; no person at all where no face was found.
    """
    chosen = choose_track(detections, loudness)
    taken = {id(face) for face in chosen if face}
    others = [
        track for track in _link_faces(detections) if not any(id(face) in taken for face in track.values())
    ]
    steady = [track for track in others if len(track) >= least]
    steady.sort(key=lambda track: -sum(map(_height, track.values())))
    people = [chosen] if taken else []
    return people + [[track.get(number) for number in range(len(detections))] for track in steady]


def choose_speaker(people: list[list[Face | None]], loudness: np.ndarray | None) -> int | None:
    """Whose voice it is: that of the only person in sight, or of the one who clearly speaks.

    Args:
        people: per person the face per sampled frame, as from `list_tracks`, or a part of that.
        loudness: [T] of the same frames; None where the sound is even, which tells nothing.

    Returns:
        Number of the person; the first one where nobody is in sight, None where several are and none of them
        clearly speaks.
    """
    tracks = [{number: face for number, face in enumerate(track) if face} for track in people]
    seen = [person for person, track in enumerate(tracks) if track]
    if len(seen) < 2:
        return seen[0] if seen else 0
    if loudness is None:
        return None
    score = {person: measure_speaking(tracks[person], loudness) for person in seen}
    best, second = sorted(seen, key=lambda person: -score[person])[:2]
    return best if speaks_clearly(score[best], score[second]) else None


def choose_track(detections: list[list[Face]], loudness: np.ndarray | None = None) -> list[Face | None]:
    """One person through the clip.

    Faces of neighbouring frames belong to one track where their boxes overlap; the track with the largest
    sum of face heights over its frames wins, so neither a passer-by close to the camera nor a small face
    in the background does. With sound, it gives way to somebody who is in sight together with it and speaks
    clearly (`speaks_clearly`) instead. After a jump cut, as vlogs have, the person is somewhere else in the
    picture: another track goes on for the chosen one where nobody else is ever in sight with either of them
    and the face keeps its place and size roughly. Otherwise a lost face stays lost: those rows are None.

    Args:
        detections: faces per sampled frame.
        loudness: [T] see `measure_loudness`; None where there is no sound, or it is not to count.

    Returns:
        The chosen face per sampled frame, or None.
    """
    tracks = _link_faces(detections)
    if not tracks:
        return [None] * len(detections)
    chosen = max(tracks, key=lambda t: sum(map(_height, t.values())))
    if loudness is not None:
        chosen = _prefer_speaker(chosen, tracks, loudness)
    alone = [t for t in tracks if all(len(detections[number]) == 1 for number in t)]
    for other in alone if chosen in alone else ():
        if other is not chosen and _same_place(chosen, other):
            chosen = chosen | other
    return [chosen.get(number) for number in range(len(detections))]


def measure_loudness(waveform: np.ndarray, time: np.ndarray) -> np.ndarray | None:
    """How loud it is while the picture goes from one sampled frame to the next.

    Args:
        waveform: [S] int16, 16 kHz.
        time: [T] seconds of the frames.

    Returns:
        [T] root mean square between the frame before (less `MARGIN_S`) and this one (plus `MARGIN_S`), of
        mean 0 and deviation 1 over the clip; None where it is always equally loud, as silence is.
    """
    if not len(waveform) or len(time) < 2:
        return None
    edges = np.stack([np.concatenate([time[:1], time[:-1]]) - MARGIN_S, time + MARGIN_S])
    edges = np.clip((edges * SAMPLE_RATE).astype(np.int64), 0, len(waveform))
    pieces = (waveform[start:end].astype(np.float64) for start, end in edges.T)  # [T] one by one: memory
    loud = np.array([np.sqrt(piece @ piece / max(len(piece), 1)) for piece in pieces])
    return (loud - loud.mean()) / loud.std() if loud.std() > 0 else None


def measure_speaking(track: dict[int, Face], loudness: np.ndarray) -> float:
    """How much more the jaw moves where it is loud than where it is not; about 0 for a listener."""
    return sum(
        loudness[number] * abs(face.blendshapes[JAW] - track[number - 1].blendshapes[JAW])
        for number, face in track.items()
        if number - 1 in track
    ) / len(loudness)


def speaks_clearly(score: float, other: float) -> bool:
    """Whether somebody's `measure_speaking` tells that it is they who speak, and not somebody else."""
    return score > max(LEAST_SPEAKING, CLEARLY * other)


def _prefer_speaker(
    largest: dict[int, Face], tracks: list[dict[int, Face]], loudness: np.ndarray
) -> dict[int, Face]:
    together = [track for track in tracks if track is not largest and track.keys() & largest.keys()]
    best = max(together, key=lambda track: measure_speaking(track, loudness), default=largest)
    scores = measure_speaking(best, loudness), measure_speaking(largest, loudness)
    return best if speaks_clearly(*scores) else largest


def _link_faces(detections: list[list[Face]]) -> list[dict[int, Face]]:
    """Tracks {frame number: face}: each face joins the track whose last box it overlaps most.

    Tracks that reach to the frame before come first: somebody who walks through the place where another one
    was lost goes on as themselves.
    """
    tracks: list[dict[int, Face]] = []
    for number, faces in enumerate(detections):
        recent = [track for track in tracks if _last(track) == number - 1]
        rest = _join_tracks(number, faces, recent)
        if rest:
            rest = _join_tracks(number, rest, [track for track in tracks if _last(track) < number - 1])
        tracks += [{number: face} for face in rest]
    return tracks


def _join_tracks(number: int, faces: list[Face], tracks: list[dict[int, Face]]) -> list[Face]:
    """Add faces to tracks, the best fitting pair first; return those that fit none."""
    boxes = [track[_last(track)].box for track in tracks]
    pairs = [(overlap(face.box, box), f, t) for f, face in enumerate(faces) for t, box in enumerate(boxes)]
    placed, taken = set(), set()
    for common, f, t in sorted(pairs, reverse=True):
        if common > MIN_OVERLAP and f not in placed and t not in taken:
            tracks[t][number] = faces[f]
            placed.add(f)
            taken.add(t)
    return [face for f, face in enumerate(faces) if f not in placed]


def _last(track: dict[int, Face]) -> int:
    return next(reversed(track))


def _same_place(one: dict[int, Face], other: dict[int, Face]) -> bool:
    """Whether two tracks' median faces are less than one and a half faces apart and similar in size."""
    a, b = (np.median([face.box for face in track.values()], axis=0) for track in (one, other))
    heights = a[3] - a[1], b[3] - b[1]
    distance = np.linalg.norm((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2)
    return max(heights) < MAX_SCALE * min(heights) and distance < MAX_DISTANCE * max(heights)


def _height(face: Face) -> float:
    box = face.box
    return float(box[3] - box[1])
