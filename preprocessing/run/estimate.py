"""How long a run will take, from what earlier runs of this cache took."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.error import FFmpegError

from preprocessing.cache.store import write_atomic
from preprocessing.config import PreprocessConfig
from preprocessing.media.container import open_media
from preprocessing.run.clip_job import ClipJob, list_passes, name_pass
from preprocessing.run.executor import Outcome
from preprocessing.stages import Stage

LAST_RUN = "last_run.json"
SAMPLED_CLIPS = 64  # whose headers are read to learn how long the clips are


@dataclass
class Tally:
    """What a run has done so far: seconds of clips and of work, by pass."""

    clips: int = 0
    clip_s: float = 0.0
    passes: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count one clip that is done."""
        self.clips += 1
        self.clip_s += outcome.clip_s
        for name, seconds in outcome.seconds.items():
            sums = self.passes.setdefault(name, {"clip_s": 0.0, "work_s": 0.0})
            sums["clip_s"] += outcome.clip_s
            sums["work_s"] += seconds


def read_last_run(root: Path) -> dict:
    """`last_run.json`; empty where there is none."""
    try:
        return json.loads((root / LAST_RUN).read_text())
    except (OSError, ValueError):
        return {}


def write_last_run(root: Path, tally: Tally, wall_s: float, config: PreprocessConfig, finished: bool) -> None:
    """Store how a run went, and per pass the newest measurement. The one file that no two runs share."""
    facts = {
        "finished": finished,
        "clips": tally.clips,
        "clip_s": round(tally.clip_s, 3),
        "wall_s": round(wall_s, 3),
        "times_real_time": round(tally.clip_s / wall_s, 2) if wall_s else None,
        "executor": config.executor,
        "workers": config.workers,
        "passes": read_last_run(root).get("passes", {}) | tally.passes,
    }
    write_atomic(root / LAST_RUN, (json.dumps(facts, indent=1) + "\n").encode())


def estimate_run(jobs: Sequence[ClipJob], known_s: Mapping[str, float], config: PreprocessConfig) -> str:
    """The expected time in words, with what it rests on.

    Clip lengths are those stored, else those of up to `SAMPLED_CLIPS` headers per byte of file; the speeds
    are those that the last run of this cache had in each pass, else the assumed ones.
    """
    measured = read_last_run(Path(config.out)).get("passes", {})
    speeds = {name: sums["work_s"] / sums["clip_s"] for name, sums in measured.items() if sums["clip_s"]}
    lengths = estimate_lengths(jobs, known_s)
    work_s, assumed = 0.0, False
    for job, length in zip(jobs, lengths, strict=True):
        for stages in list_passes(job.todo, config):
            speed, is_measured = find_speed(stages, config, speeds)
            work_s += speed * length
            assumed |= not is_measured
    basis = "with assumed speeds, nothing was measured here yet" if assumed else "as fast as the last run"
    video = f"{format_time(sum(lengths))} of clips"
    if config.executor == "ray":
        return f"{format_time(work_s)} divided by the cluster's cores, for {video} ({basis})"
    processes = min(config.workers or os.cpu_count() or 1, len(jobs))
    plural = "es" if processes > 1 else ""
    return f"{format_time(work_s / processes)} with {processes} process{plural}, for {video} ({basis})"


def find_speed(
    stages: Sequence[Stage], config: PreprocessConfig, speeds: Mapping[str, float]
) -> tuple[float, bool]:
    """Seconds of work per second of clip of one pass, and whether that was measured.

    A pass never costs more than one that does the same and something besides. Nothing measured: the stages of
    a pass share its work, so it costs as much as the dearest of them.
    """
    wanted = set(name_pass(stages, config).split(" + "))
    larger = [speed for known, speed in speeds.items() if wanted <= set(known.split(" + "))]
    return (min(larger), True) if larger else (max(stage.cost(config) for stage in stages), False)


def estimate_lengths(jobs: Sequence[ClipJob], known_s: Mapping[str, float]) -> list[float]:
    """Seconds of each job's clip: known, read from its header, or in proportion to its size."""
    unknown = [job.entry.path for job in jobs if not known_s.get(job.entry.clip_id)]
    sample = {path: read_length(path) for path in unknown[:: max(1, -(-len(unknown) // SAMPLED_CLIPS))]}
    read = {path: length for path, length in sample.items() if length}
    size = sum(path.stat().st_size for path in read)
    per_byte = sum(read.values()) / size if size else 0.0
    lengths = []
    for job in jobs:
        length = known_s.get(job.entry.clip_id) or read.get(job.entry.path)
        lengths.append(length if length else per_byte * job.entry.path.stat().st_size)
    return lengths


def read_length(path: Path) -> float:
    """What a clip's header promises, in seconds; 0 where nothing can be read."""
    try:
        with open_media(path) as container:
            return (container.duration or 0) / av.time_base
    except (FFmpegError, OSError):
        return 0.0


def format_time(seconds: float) -> str:
    """Seconds as people say them.

    >>> [format_time(seconds) for seconds in (0.2, 59, 90, 3600 * 2.5)]
    ['1 s', '59 s', '1 min 30 s', '2 h 30 min']
    """
    seconds = max(1, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
