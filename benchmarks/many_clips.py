"""What a cache of many clips costs, step by step: processor time and memory per clip.

    python benchmarks/many_clips.py --clips 1000 5000 25000

Clips are small and synthetic: no video is decoded, and each has all four stages. The project's own store
writes them into a temporary folder, which is deleted afterwards. Each step runs in a process of its own; its
memory is what that process grows by up to its peak. Times are of the processor, those of child processes
included: they depend less than wall times do on what else the machine does.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from preprocessing.errors import command

STEPS = ("make", "open", "resume", "dataset", "epoch", "explore", "report")
PER_VIDEO = 25


def make(root: Path, count: int) -> None:
    """Write the clips and finish the cache; what is timed is `finish`: index, statistics, tables."""
    from preprocessing.cache.store import StageFiles
    from preprocessing.config import PreprocessConfig
    from preprocessing.run.finish import finish
    from preprocessing.sets.labels import read_labels
    from preprocessing.stages import find_stage
    from preprocessing.stages.recipes import make_recipes

    raw = root / "raw"
    raw.mkdir(parents=True)
    (raw / "sample.json").write_text("{}")
    config = PreprocessConfig(labels=str(raw), out=str(root / "cache"))
    files = {
        stage: StageFiles(root / "cache", stage, recipe) for stage, recipe in make_recipes(config).items()
    }
    rng, rows = np.random.default_rng(0), ["path,video_id,clip_id,label,split"]
    width = len(find_stage("behaviour").columns(config))
    for number in range(count):
        video, clip = f"v{number // PER_VIDEO}", number % PER_VIDEO
        split = ("train", "train", "train", "valid", "test")[number // PER_VIDEO % 5]
        rows.append(f"c{number}.mp4,{video},{clip},{rng.uniform(-3, 3):.1f},{split}")
        (raw / f"c{number}.mp4").write_bytes(b"x")
        arrays = {stage: find_stage(stage).empty(config) for stage in files}
        arrays["behaviour"] = {
            "behaviour": rng.normal(size=(15, width)).astype(np.float32),
            "behaviour_time": np.arange(15) / 7.5,
            "behaviour_valid": np.ones(15, bool),
        }
        arrays["waveform"] = {"waveform": np.zeros(1600, np.int16), "waveform_time": np.zeros(1)}
        for stage, one in files.items():
            state = "no_face" if stage == "faces" else "ok"
            facts = {"duration_s": 2.0, "n_frames": 50, "face_ratio": 0.9, "source_bytes": 1}
            one.write(f"{video}_{clip}", arrays[stage], {"state": state, **facts})
    (raw / "labels.csv").write_text("\n".join(rows) + "\n")
    entries = read_labels(raw)
    started = processor_seconds()
    finish(root / "cache", config, entries, files, [])
    print(f"took {processor_seconds() - started}")


def open_index(root: Path) -> None:
    from preprocessing.cache.store import ClipStore

    ClipStore(root / "cache")


def resume(root: Path) -> None:
    """A second run that finds everything done."""
    from preprocessing.__main__ import main

    assert main([f"labels={root / 'raw'}", f"out={root / 'cache'}"]) == 0


def open_dataset(root: Path):
    from mosi_e2e.config import DataConfig
    from mosi_e2e.data.dataset import ClipDataset
    from preprocessing.cache.store import ClipStore

    return ClipDataset(ClipStore(root / "cache"), "train", ["behaviour"], DataConfig())


def read_epoch(root: Path) -> None:
    from mosi_e2e.data.dataset import Pick

    data = open_dataset(root)
    for number in range(len(data)):
        data[Pick(number)]


def explore(root: Path) -> None:
    from mosi_e2e.explore.__main__ import main

    assert main([str(root / "cache"), "--out", str(root / "explore"), "--count", "2"]) == 0


def report(root: Path) -> None:
    """A page about one run whose test split is the whole cache; its predictions are noise."""
    from mosi_e2e.config import LossConfig, RunConfig
    from mosi_e2e.engine.losses import Objective
    from mosi_e2e.report.__main__ import main
    from mosi_e2e.runs.runlog import score_table, write_split
    from preprocessing.cache.store import ClipStore
    from preprocessing.settings import dump_config

    clips = ClipStore(root / "cache").index[["clip_id", "video_id", "label"]]
    rng, run = np.random.default_rng(0), root / "runs" / "run"
    table = clips.assign(score=rng.normal(size=len(clips)), behaviour=rng.normal(size=len(clips)))
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(dump_config(RunConfig(name="run", out=str(root / "runs"))))
    label = clips.label.to_numpy()
    scores = score_table(table, Objective("regression", "drop", LossConfig(), label), True)
    write_split(run, "test", table, scores)
    assert main([str(root / "runs"), "--out", str(root / "report")]) == 0


RUN = {"open": open_index, "resume": resume, "dataset": open_dataset, "epoch": read_epoch}
RUN |= {"explore": explore, "report": report}


def processor_seconds() -> float:
    """Of this process and of its children that have ended, in the program and in the kernel."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def run_step(name: str, root: Path, count: int) -> None:
    """In a process of its own: run a step and print its processor seconds and its peak of memory."""
    import mosi_e2e.data.dataset  # noqa: F401  what is imported counts for no step

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = processor_seconds()
    make(root, count) if name == "make" else RUN[name](root)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"s": processor_seconds() - started, "mb": (peak - before) / 1024}))


def measure(root: Path, count: int) -> dict[str, dict[str, float]]:
    """Seconds and MB of every step."""
    found = {}
    for name in STEPS:
        words = [sys.executable, __file__, "--step", name, "--root", str(root), "--clips", str(count)]
        lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
        found[name] = json.loads(lines[-1])
        if name == "make":  # writing the clips is no part of any command
            found[name]["s"] = float(next(line for line in lines if line.startswith("took")).split()[1])
    return found


@command
def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/many_clips.py",
        description="Time and memory of every step over a cache of many clips.",
        epilog="example: nice -n 19 python benchmarks/many_clips.py --clips 1000 5000 25000",
    )
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.step:
        run_step(args.step, args.root, args.clips[0])
        return 0
    print("| clips | " + " | ".join("finish" if name == "make" else name for name in STEPS) + " |")
    for count in args.clips:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder) / "set", count)
            cells = [
                f"{one['s']:.1f} s, {1000 * one['s'] / count:.2f} ms, {one['mb']:.0f} MB"
                for one in found.values()
            ]
            print(f"| {count} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
