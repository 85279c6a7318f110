"""How well the mouth that moves with the sound tells who speaks, on real clips of one person each.

    python benchmarks/speaker.py --speakers FOLDER --listeners FOLDER

Clips are put beside one another two by two, as if both people were in one picture, with the sound of one of
them: by turns the smaller face, which should be chosen, and the larger one, which should be kept. `predict`
gives a window's voice to the one who clearly speaks, or to nobody.
"""

import argparse
import itertools
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from preprocessing.config import DecodeConfig, TrackConfig
from preprocessing.errors import UserError, command
from preprocessing.faces.landmarks import Face, load_landmarker
from preprocessing.faces.tracks import measure_loudness, measure_speaking, speaks_clearly
from preprocessing.media.file import Media
from preprocessing.media.frames import pick_frames
from preprocessing.sets.media_files import MEDIA_EXTENSIONS, walk_files


@dataclass(frozen=True)
class Person:
    """One clip: the face in each sampled frame, their times, and the sound."""

    faces: dict[int, Face]
    time: np.ndarray
    waveform: np.ndarray


def read_person(path: Path, config: TrackConfig) -> Person:
    media, landmarker = Media(path, DecodeConfig()), load_landmarker(config)
    index = pick_frames(media.frames.time, config.rate)
    found = enumerate(landmarker(frame, None) for _, frame in media.frames.frames(index))
    faces = {number: faces[0] for number, faces in found if faces}
    return Person(faces, media.frames.time[index], media.sound.waveform)


def score_pair(speaker: Person, other: Person, seconds: float) -> tuple[float, float] | None:
    """How much each speaks, by the speaker's sound, in the first `seconds`; None where that sound is even."""
    ends = (np.searchsorted(person.time, person.time[0] + seconds) for person in (speaker, other))
    count = min(ends)
    loudness = measure_loudness(speaker.waveform, speaker.time[:count])
    if loudness is None:
        return None
    tracks = ({n: f for n, f in person.faces.items() if n < count} for person in (speaker, other))
    return tuple(measure_speaking(track, loudness) for track in tracks)


def describe_pairs(name: str, pairs: Iterable[tuple[Person, Person]], seconds: float) -> str:
    scores = [score for pair in pairs if (score := score_pair(*pair, seconds))]
    if not scores:
        return f"{name:24} no pairs"
    ahead = [own > other for own, other in scores]
    found = [speaks_clearly(own, other) for own, other in scores]
    wrong = [speaks_clearly(other, own) for own, other in scores]
    rates = [np.mean(ahead), np.mean(found), np.mean(wrong), 1 - np.mean(found) - np.mean(wrong)]
    cells = "".join(f"{100 * rate:18.0f} %" for rate in rates)
    return f"{name:24}{len(scores):6}{cells}"


def read_folder(folder: Path, config: TrackConfig) -> list[Person]:
    paths = [path for path in walk_files(folder) if path.suffix.lower() in MEDIA_EXTENSIONS]
    if not paths:
        raise UserError(
            f"{folder} holds no clips; type --speakers FOLDER with clips of one speaking person each"
        )
    return [read_person(path, config) for path in tqdm(paths, unit="clip", desc=folder.name)]


@command
def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/speaker.py",
        description="Measure how well mouth and sound together tell who speaks.",
        epilog="example: python benchmarks/speaker.py --speakers talking --listeners silent",
    )
    parser.add_argument("--speakers", type=Path, nargs="+", required=True, help="clips of speaking people")
    parser.add_argument("--listeners", type=Path, nargs="*", default=[], help="clips of silent people")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each clip")
    parser.add_argument("--rate", type=float, default=TrackConfig.rate, help="frames a second looked at")
    args = parser.parse_args(argv)
    config = TrackConfig(rate=args.rate)
    speakers = [person for folder in args.speakers for person in read_folder(folder, config)]
    listeners = [person for folder in args.listeners for person in read_folder(folder, config)]
    names = ("speaker is ahead", "small one chosen", "large one lost", "nobody")
    print(f"{'':24}{'pairs':>6}" + "".join(f"{name:>20}" for name in names))
    print(describe_pairs("both speak", itertools.permutations(speakers, 2), args.seconds))
    print(describe_pairs("the other one listens", itertools.product(speakers, listeners), args.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
