"""What the wrapper around OpenFace takes beside the program itself.

python benchmarks/openface.py                                       # with the stand-in of the tests
python benchmarks/openface.py --program FeatureExtraction --clip CLIP.mp4
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import trange

from preprocessing.config import OpenFaceConfig
from preprocessing.errors import UserError, command
from preprocessing.openface.columns import list_flags
from preprocessing.openface.program import check_openface, extract_openface

TESTS = Path(__file__).resolve().parents[1] / "tests"


def install_stand_in(folder: Path, seconds: float) -> tuple[str, Path]:
    """The program of the tests, and a clip that it works on for so long."""
    if not (TESTS / "kit" / "fake_openface.py").is_file():
        raise UserError(f"there is no {TESTS / 'kit/fake_openface.py'}; type --program PROGRAM --clip CLIP")
    sys.path.insert(0, str(TESTS))
    from kit import fake_openface

    clip = folder / "clip.mp4"
    clip.write_text(json.dumps({"frames": round(30 * seconds), "sleep_s": seconds}))
    return str(fake_openface.install(folder / "bin")), clip


def measure(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@command
def main(argv: list[str] | None = None) -> int:
    """Print the median times of the bare program and of the wrapper, taken in turns."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/openface.py",
        description="Time the wrapper around OpenFace against the bare program.",
        epilog="example: python benchmarks/openface.py --program FeatureExtraction --clip clip.mp4",
    )
    parser.add_argument("--program", help="FeatureExtraction; without it a stand-in")
    parser.add_argument("--clip", type=Path, help="what it works on")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long the stand-in works")
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args(argv)
    if bool(args.program) != bool(args.clip):
        raise UserError("a program needs a clip, and a clip a program; type --program PROGRAM --clip CLIP")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program, clip = args.program, args.clip
        if not program:
            program, clip = install_stand_in(folder, args.seconds)
        config = OpenFaceConfig(binary=program)
        check_openface(config)
        options = ["-of", "bare.csv", *list_flags(config.groups)]
        bare = [program, "-f", str(clip), "-out_dir", str(folder / "bare"), *options]
        alone, wrapped = [], []
        for _ in trange(args.repeats, unit="pair"):
            alone.append(measure(lambda: subprocess.run(bare, check=True, stdout=subprocess.DEVNULL)))
            with tempfile.TemporaryDirectory() as work:
                wrapped.append(measure(lambda: extract_openface(clip, Path(work), config)))
    alone_s, wrapped_s = statistics.median(alone), statistics.median(wrapped)
    print(
        f"program alone {alone_s:.3f} s, wrapped {wrapped_s:.3f} s: {100 * (wrapped_s / alone_s - 1):+.1f} %"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
