"""Do memory and open files stay flat over a long training?

    python benchmarks/steps.py --steps 10000 --workers 0 2

A training of `late_fusion` on small synthetic clips, the cache of `many_clips.py`, runs as a process of its
own. It and its loading processes are looked at four times a second; `history.csv` says how many updates are
done.
Each epoch of 200 updates also validates, draws its curves, stores its state and writes to TensorBoard. Memory
counts what the processes have for themselves (USS): pages that they share are not counted twice.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import psutil
from many_clips import make

from preprocessing.errors import UserError, command

ROOT = Path(__file__).resolve().parents[1]
CLIPS, BATCH, PER_EPOCH = 1000, 3, 200  # 600 of the clips are for training
POLL_S = 0.25
SETTINGS = (
    *("model.name=late_fusion", "model.late_fusion.streams=[behaviour]", f"data.batch_size={BATCH}"),
    *("stopping.patience=1000000", "name=run"),
)


@command
def main(argv: list[str] | None = None) -> int:
    """Print a table per number of workers."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/steps.py",
        description="Memory and open files of a long training.",
        epilog="example: nice -n 19 python benchmarks/steps.py --steps 10000 --workers 0 2 --out steps.json",
    )
    parser.add_argument("--steps", type=int, default=10_000, help="updates; default: 10000")
    parser.add_argument("--every", type=int, default=1000, help="updates per row of the table; default: 1000")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="loading processes")
    parser.add_argument("--out", type=Path, help="all rows as JSON, written as they come")
    args = parser.parse_args(argv)
    if args.every % PER_EPOCH or args.steps % args.every:
        raise UserError(f"--every is a multiple of {PER_EPOCH}, and --steps a multiple of --every")
    found: dict[str, list[dict]] = {}
    for workers in args.workers:
        rows = found[f"workers={workers}"] = []
        print(
            f"\n| updates, {workers} workers | processes | MB | open files | seconds |\n|---|---|---|---|---|"
        )
        with tempfile.TemporaryDirectory() as folder:
            with redirect_stdout(None):
                make(Path(folder) / "set", CLIPS)
            for row in watch_training(Path(folder), workers, args.steps, args.every):
                rows.append(row)
                print(
                    "| {updates} | {processes} | {mb:.1f} | {files} | {seconds:.0f} |".format(**row),
                    flush=True,
                )
                if args.out:
                    args.out.write_text(json.dumps(found, indent=1) + "\n")
        print(describe_growth(rows))
    return 0


def watch_training(root: Path, workers: int, steps: int, every: int) -> Iterator[dict]:
    """Train; after each `every` updates, what was seen while they were done.

    Yields:
        `updates` done; median of `processes` and `mb`; the most open `files`; `seconds` since the start.
    """
    started, seen, done = time.monotonic(), [], 0
    with start_training(root, workers, steps) as process:
        while (status := process.poll()) is None or done < steps:
            reached = count_updates(root / "runs" / "run" / "history.csv") // every * every
            if reached > done and seen:
                done = reached
                yield summarise(seen) | {"updates": done, "seconds": time.monotonic() - started}
                seen = []
            elif status is not None:
                printed = (root / "log.txt").read_text()[-500:]
                raise UserError(f"the training ended after {done} updates: {printed}")
            else:
                seen.extend(look_at(process.pid))
                time.sleep(POLL_S)


@contextmanager
def start_training(root: Path, workers: int, steps: int) -> Iterator[subprocess.Popen]:
    """A training of its own process, which ends with the block; what it prints goes into `log.txt`."""
    settings = [f"data.cache={root / 'set' / 'cache'}", f"out={root / 'runs'}", f"data.workers={workers}"]
    words = [sys.executable, "-m", "mosi_e2e.train", *SETTINGS, *settings]
    words.append(f"optim.epochs={steps // PER_EPOCH}")
    with (root / "log.txt").open("wb") as output:
        process = subprocess.Popen(
            words, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def count_updates(history: Path) -> int:
    return PER_EPOCH * (len(history.read_text().splitlines()) - 1) if history.is_file() else 0


def look_at(pid: int) -> list[tuple[int, float, int]]:
    """Processes, MB of their own, and open files; nothing where one ended meanwhile."""
    try:
        main_process = psutil.Process(pid)
        family = [main_process, *main_process.children(recursive=True)]
        mb = sum(one.memory_full_info().uss for one in family) / 2**20
        return [(len(family), mb, sum(one.num_fds() for one in family))]
    except psutil.Error:
        return []


def summarise(seen: list[tuple[int, float, int]]) -> dict:
    processes, mb, files = zip(*seen, strict=True)
    return {
        "processes": round(statistics.median(processes)),
        "mb": statistics.median(mb),
        "files": max(files),
    }


def describe_growth(rows: list[dict]) -> str:
    """What the last row has more than the second, which is the first without the start."""
    first, last = rows[min(1, len(rows) - 1)], rows[-1]
    mb, files, processes = (last[key] - first[key] for key in ("mb", "files", "processes"))
    span = f"from {first['updates']} to {last['updates']} updates"
    return f"{span}: {mb:+.1f} MB, {files:+d} open files, {processes:+d} processes"


if __name__ == "__main__":
    sys.exit(main())
