"""The process pool: a job that hangs, dies or raises costs itself, and no other."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from preprocessing import executor
from preprocessing.executor import Failure, run_jobs


@dataclass(frozen=True)
class Entry:
    clip_id: str


@dataclass(frozen=True)
class Job:
    entry: Entry
    folder: Path


def misbehave(job: Job) -> list[Failure]:
    """What a job does is its clip's name up to the first underscore."""
    clip_id = job.entry.clip_id
    kind = clip_id.split("_")[0]
    if kind == "hang":
        time.sleep(25)
    if kind == "exit":
        os._exit(3)
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "raise":
        raise ValueError("first line\n  second line")
    if kind == "fail":
        return [Failure(clip_id, "waveform", "second"), Failure(clip_id, "faces", "first")]
    os.write(2, b"what C libraries say about damaged packets\n")
    (job.folder / clip_id).write_text(str(os.getpid()))
    return []


def make_jobs(folder: Path, *clip_ids: str) -> list[Job]:
    return [Job(Entry(clip_id), folder) for clip_id in clip_ids]


def test_each_bad_job_costs_itself_alone(tmp_path, capfd):
    bad = ["raise_1", "hang_1", "exit_1", "fail_1", "crash_1"]
    good = [f"good_{number}" for number in range(6)]
    order = [clip for pair in zip(good, [*bad, "good_6"], strict=True) for clip in pair]
    failures = run_jobs(misbehave, make_jobs(tmp_path, *order), workers=2, timeout_s=2)
    assert failures == [
        Failure("crash_1", "clip", "the worker process died (exit status -11)"),
        Failure("exit_1", "clip", "the worker process died (exit status 3)"),
        Failure("fail_1", "faces", "first"),
        Failure("fail_1", "waveform", "second"),
        Failure("hang_1", "clip", "took longer than timeout_s=2 s"),
        Failure("raise_1", "clip", "ValueError: first line second line"),
    ]
    written = {path.name: int(path.read_text()) for path in tmp_path.iterdir()}
    assert sorted(written) == [*good, "good_6"]
    assert os.getpid() not in written.values()
    said = capfd.readouterr().err
    assert "12/12" in said
    assert "damaged packets" not in said


def test_an_interrupted_run_stops_its_workers(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(executor, "collect", interrupt)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(misbehave, make_jobs(tmp_path, "good_1", "hang_1", "hang_2"), workers=1, timeout_s=100)
    assert time.monotonic() - started < 20
