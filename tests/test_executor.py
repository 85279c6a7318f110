"""The process pool: a job that hangs, dies or raises costs itself, and no other."""

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from preprocessing import errors
from preprocessing.errors import UserError
from preprocessing.run import executor
from preprocessing.run.executor import Failure, Outcome, RunStopped, check_executor, run_jobs


@dataclass(frozen=True)
class Entry:
    clip_id: str


@dataclass(frozen=True)
class Job:
    entry: Entry
    folder: Path


def misbehave(job: Job) -> Outcome:
    """What a job does is its clip's name up to the first underscore."""
    clip_id = job.entry.clip_id
    kind = clip_id.split("_")[0]
    tries = job.folder / "tries" / clip_id
    tries.parent.mkdir(exist_ok=True)
    with tries.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if kind == "hang":
        time.sleep(25)
    if kind == "exit":
        os._exit(3)
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "once" and len(tries.read_text().split()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "raise":
        raise ValueError("first line\n  second line")
    if kind == "stop":
        raise RunStopped("the disk is full")
    if kind == "fail":
        return Outcome(clip_id, (Failure(clip_id, "waveform", "second"), Failure(clip_id, "faces", "first")))
    os.write(2, b"what C libraries say about damaged packets\n")
    (job.folder / clip_id).write_text(str(os.getpid()))
    return Outcome(clip_id, clip_s=2.0, seconds={"faces": 0.5})


def make_jobs(folder: Path, *clip_ids: str) -> list[Job]:
    return [Job(Entry(clip_id), folder) for clip_id in clip_ids]


def read_tries(folder: Path) -> dict[str, int]:
    """By clip, in how many processes it was tried."""
    return {path.name: len(path.read_text().split()) for path in (folder / "tries").iterdir()}


def list_failures(outcomes: list[Outcome]) -> list[Failure]:
    found = [failure for outcome in outcomes for failure in outcome.failures]
    return sorted(found, key=lambda failure: (failure.clip_id, failure.stage))


def test_each_bad_job_costs_itself_alone(tmp_path, capfd):
    bad = ["raise_1", "hang_1", "exit_1", "fail_1", "crash_1", "once_1"]
    good = [f"good_{number}" for number in range(7)]
    order = [clip for pair in zip(good, [*bad, "good_7"], strict=True) for clip in pair]
    outcomes = list(run_jobs(misbehave, make_jobs(tmp_path, *order), workers=2, timeout_s=2))
    assert sorted(outcome.clip_id for outcome in outcomes) == sorted(order)
    assert list_failures(outcomes) == [
        Failure("crash_1", "clip", "the worker process died twice (exit status -11)"),
        Failure("exit_1", "clip", "the worker process died twice (exit status 3)"),
        Failure("fail_1", "faces", "first"),
        Failure("fail_1", "waveform", "second"),
        Failure("hang_1", "clip", "took longer than timeout_s=2 s"),
        Failure("raise_1", "clip", "ValueError: first line second line"),
    ]
    assert {outcome.clip_id for outcome in outcomes if outcome.late} == {"hang_1"}
    assert {outcome.clip_id for outcome in outcomes if outcome.died} == {"crash_1", "exit_1"}
    twice = {"crash_1", "exit_1", "once_1"}  # and no other
    assert {name for name, count in read_tries(tmp_path).items() if count != 1} == twice
    written = {path.name: int(path.read_text()) for path in tmp_path.iterdir() if path.is_file()}
    assert sorted(written) == [*good, "good_7", "once_1"]
    assert os.getpid() not in written.values()
    said = capfd.readouterr().err
    assert "14/14" in said and "once more: 100%" in said
    assert "damaged packets" not in said


def test_an_interrupted_run_stops_its_workers(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(executor, "collect", interrupt)
    started = time.monotonic()
    jobs = make_jobs(tmp_path, "good_1", "hang_1", "hang_2")
    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(misbehave, jobs, workers=1, timeout_s=100))
    assert time.monotonic() - started < 20


def test_what_no_other_clip_would_fare_better_with_ends_the_run(tmp_path):
    jobs = make_jobs(tmp_path, "good_1", "stop_1", "hang_1", *[f"good_{number}" for number in range(2, 30)])
    with pytest.raises(RunStopped, match="the disk is full"):
        list(run_jobs(misbehave, jobs, workers=1, timeout_s=100))
    assert set(read_tries(tmp_path)) <= {"good_1", "stop_1", "hang_1"}


def test_a_full_disk_is_what_no_clip_fares_better_with():
    assert {errno.ENOSPC, errno.EDQUOT, errno.EROFS} <= errors.DISK_ERRORS
    assert errno.EIO not in errors.DISK_ERRORS


def test_ray_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(executor.importlib.util, "find_spec", lambda name: None)
    check_executor("processes")
    with pytest.raises(UserError, match=r"pip install 'mosi-e2e\[ray\]'"):
        check_executor("ray")
