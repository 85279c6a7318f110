"""What hearing words costs, and how far the clip's own length is from 30 s of padding.

    python benchmarks/hearing.py --clips FOLDER --model whisper-base

Every media file below the folder is heard twice: as the stage `words` does, and padded to 30 s as Whisper was
trained. Processor times, one thread; the difference in words is counted as a word-error rate, the padded text
being the reference.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from preprocessing.errors import UserError, command
from preprocessing.sets.media_files import MEDIA_EXTENSIONS


@command
def main(argv: list[str] | None = None) -> int:
    """Print seconds per second of sound, and the rate at which words differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of media files")
    parser.add_argument("--model", default="whisper-base")
    parser.add_argument("--language", default="en")
    args = parser.parse_args(argv)
    found = sorted(args.clips.rglob("*")) if args.clips.is_dir() else []
    clips = [path for path in found if path.suffix.lower() in MEDIA_EXTENSIONS]
    if not clips:
        raise UserError(f"--clips {args.clips} holds no media file; name a folder with some")
    print(json.dumps(measure(clips, args.model, args.language), indent=1))
    return 0


def measure(clips: list[Path], model: str, language: str) -> dict[str, object]:
    """The figures of some clips; those that cannot be read are left out."""
    import torch

    from preprocessing.hearing.error_rate import count_errors
    from preprocessing.hearing.models import load_whisper
    from preprocessing.hearing.voice import find_speech
    from preprocessing.media.decode import MediaError, probe
    from preprocessing.media.sound import read_sound

    torch.set_num_threads(1)
    recogniser = load_whisper(model, language)
    recogniser.hear(np.zeros(16_000, np.float32))  # the silence behind every piece is encoded once
    find_speech(np.zeros(16_000, np.int16))
    sounds = {}
    for path in clips:
        try:
            sounds[str(path)] = read_sound(probe(path)).waveform
        except MediaError as error:
            print(f"left out: {path.name}: {error}", file=sys.stderr)
    length_s = sum(map(len, sounds.values())) / 16_000
    speech, heard, padded = {}, {}, {}
    seconds = {
        "speech": run(lambda: speech.update({key: find_speech(one) for key, one in sounds.items()})),
        "own": run(lambda: heard.update(hear(recogniser, sounds, speech, full=False))),
        "padded": run(lambda: padded.update(hear(recogniser, sounds, speech, full=True))),
    }
    return {
        "clips": len(sounds),
        "without_speech": sum(not one for one in speech.values()),
        "minutes": round(length_s / 60, 2),
        "seconds_per_second": {name: round(taken / length_s, 3) for name, taken in seconds.items()},
        "words": sum(map(len, padded.values())),
        "differs": count_errors({key: " ".join(words) for key, words in padded.items()}, heard).rate,
    }


def hear(recogniser, sounds: dict, speech: dict, full: bool) -> dict[str, list[str]]:
    """The words of each sound, in its own length or padded to 30 s."""
    from preprocessing.hearing.listening import scale
    from preprocessing.hearing.voice import join_spans

    if full:
        recogniser = Padded(recogniser)
    texts = {}
    for key, sound in sounds.items():
        pieces = [(round(16_000 * a), round(16_000 * b)) for a, b in join_spans(speech[key])]
        texts[key] = [w.text for first, last in pieces for w in recogniser.hear(scale(sound[first:last]))]
    return texts


class Padded:
    """A recogniser that is given 30 s throughout."""

    def __init__(self, recogniser):
        self.recogniser = recogniser

    def hear(self, piece: np.ndarray) -> list:
        """As the recogniser."""
        short = self.recogniser.states.encode_short
        whole = np.pad(piece, (0, 480_000 - len(piece)))
        self.recogniser.states.encode_short = lambda piece: self.recogniser.states.encode(whole)
        try:
            return self.recogniser.hear(piece)
        finally:
            self.recogniser.states.encode_short = short


def run(work) -> float:
    """Processor seconds: what it costs whatever else the machine does."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(main())
