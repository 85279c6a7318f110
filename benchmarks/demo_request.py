"""What one request to the web page costs: seconds, processor seconds and memory of the process that scores.

python benchmarks/demo_request.py runs/sample_crossmodal clip.mp4 longer.mp4
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

from mosi_e2e.demo.limits import Limits
from mosi_e2e.demo.scoring import ScoringProcess
from mosi_e2e.demo.worker import Answer, open_predictor

PATIENT = Limits(timeout=3600, max_minutes=60)


def main() -> None:
    """Print one line for the opening of the model, and one per video."""
    parser = argparse.ArgumentParser(description="The cost of one request to the web page.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("videos", type=Path, nargs="+")
    args = parser.parse_args()
    start = time.monotonic()
    with closing(ScoringProcess(args.run, open_predictor, PATIENT)) as scorer:
        scorer.open().result()
        worker = max(psutil.Process().children(), key=lambda process: process.memory_info().rss)
        print(
            f"opening: {time.monotonic() - start:.1f} s, {count_seconds(worker):.1f} processor s", flush=True
        )
        for video in args.videos:
            print(f"{video.name}: {measure(scorer, worker, video)}", flush=True)


def measure(scorer: ScoringProcess, worker: psutil.Process, video: Path) -> str:
    """Score a copy of the video, as the page does."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(video, folder))
        before, start = count_seconds(worker), time.monotonic()
        answer, peak = asyncio.run(watch(scorer, worker, copy))
    seconds, work = time.monotonic() - start, count_seconds(worker) - before
    return (
        f"{answer.result['duration_s']:.1f} s of video in {seconds:.1f} s, {work:.1f} processor s, "
        f"{peak / 1e6:.0f} MB at most"
    )


async def watch(scorer: ScoringProcess, worker: psutil.Process, video: Path) -> tuple[Answer, int]:
    """The answer, and the most memory that was seen in use."""
    steps, peak = [], 0
    async for step in scorer.score(video, video.name):
        steps.append(step)
        peak = max(peak, worker.memory_info().rss)
    return steps[-1], peak


def count_seconds(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


if __name__ == "__main__":
    main()
