"""Clips that failed: which are tried again, by what, and that none is ever passed over in silence."""

import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
from kit.made_set import LABELS, read_tree, work_here, write_face, write_labels, write_openface_csvs
from pebble import ProcessExpired

from preprocessing.__main__ import main
from preprocessing.media.decode import MediaError
from preprocessing.run import pipeline
from preprocessing.run.clip_job import process_clip
from preprocessing.run.executor import Failure, Outcome, collect
from preprocessing.stages.heard import Waveform

CLIPS = LABELS[:3]
BAD = CLIPS[1][0]


@pytest.fixture
def tried(monkeypatch) -> list[str]:
    """The clips that were worked on, in this process."""
    clips = []

    def work(work, jobs, *_):
        for job in jobs:
            clips.append(job.entry.clip_id)
            yield process_clip(job)

    monkeypatch.setattr(pipeline, "run_jobs", work)
    return clips


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Raw clips in `raw`, one of them garbage, and the cache of a run that told so. Look, do not change."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "raw").mkdir()
    for seed, (clip_id, _, _) in enumerate(CLIPS):
        write_face(folder / "raw" / f"{clip_id}.mp4", seed)
    write_labels(folder / "raw", *CLIPS)
    (folder / "raw" / f"{BAD}.mp4").write_bytes(b"garbage" * 99)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(pipeline, "run_jobs", work_here)
        assert run() == 1
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """A copy of that folder, as working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return main(["labels=raw", "out=cache", *arguments])


def read_failures() -> list[str]:
    return pd.read_csv("cache/failures.csv").clip_id.tolist()


def test_the_same_command_leaves_it_alone_and_says_so(place, tried, capsys):
    before = read_tree(place)
    assert run() == 1
    assert tried == [] and read_tree(place) == before
    said = capsys.readouterr().out
    assert "not a readable media file (v_1_2)" in said and "--retry-failed" in said
    Path("cache/index.csv").unlink()  # as a kill in the last moment leaves it
    assert run() == 1
    assert tried == [] and read_tree(place) == before
    assert "failed before and left alone: 1" in capsys.readouterr().out


def test_retry_failed_tries_it_and_no_other(place, tried):
    before = read_tree(place)
    assert run("--retry-failed") == 1
    assert tried == [BAD] and read_tree(place) == before


def test_a_replaced_file_is_tried(place, tried):
    path = Path("raw") / f"{BAD}.mp4"
    os.utime(path)  # as large as before, but not the same file
    assert run() == 1
    write_face(path, 4)
    assert run() == 0
    assert tried == [BAD, BAD]
    assert read_failures() == [] and not list(Path("cache").rglob("*.failed.json"))


def test_a_good_clip_replaced_by_a_bad_one_fails(place, tried):
    (Path("raw") / "v_1_1.mp4").write_bytes(b"garbage" * 9)
    assert run() == 1
    assert tried == ["v_1_1"]
    assert read_failures() == ["v_1_1", BAD]
    assert not list(Path("cache").rglob("v_1_1.safetensors"))


def test_a_changed_option_tries_its_own_stage(place, tried):
    assert run("faces.size=64", "--update") == 1
    assert tried == ["v_1_1", BAD, "-w_1"]
    assert read_failures() == [BAD]
    tried.clear()
    assert run("faces.size=64") == 1
    assert tried == []


def test_a_new_clip_does_not_wake_a_failed_one(place, tried):
    write_face(Path("raw") / "x_1.mp4", 6)
    write_labels(Path("raw"), *CLIPS, LABELS[4])
    assert run() == 1
    assert tried == ["x_1"]
    assert read_failures() == [BAD]


def test_a_clip_that_took_too_long_is_tried_with_a_longer_limit(place, monkeypatch, tried):
    def hang(work, jobs, workers, timeout_s, executor):
        for job in jobs:
            tried.append(job.entry.clip_id)
            failure = Failure(job.entry.clip_id, "clip", f"took longer than timeout_s={timeout_s:g} s")
            yield Outcome(job.entry.clip_id, (failure,), late=True, lasting=True)

    write_face(Path("raw") / f"{BAD}.mp4", 4)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "run_jobs", hang)
        assert [run("timeout_s=5"), run("timeout_s=5"), run("timeout_s=4"), run("timeout_s=6")] == [1] * 4
    assert tried == [BAD, BAD]  # at first, and with 6 s
    assert "took longer than timeout_s=6 s" in Path("cache/failures.csv").read_text()
    assert run() == 0
    assert tried == [BAD] * 3


@pytest.mark.parametrize(
    "failure",
    [
        MediaError("not a readable media file: Input/output error"),
        MemoryError("no memory"),
    ],
)
def test_what_is_not_the_clips_fault_is_tried_by_the_next_run(place, monkeypatch, tried, failure):
    """And told until then."""
    if isinstance(failure, MediaError):
        failure.__cause__ = OSError(5, "Input/output error")

    def fail(*_):
        raise failure

    def work(work, jobs, *_):
        for job in jobs:
            tried.append(job.entry.clip_id)
            try:
                yield process_clip(job)
            except MemoryError as error:
                yield Outcome(job.entry.clip_id, (Failure(job.entry.clip_id, "clip", str(error)),))

    write_face(Path("raw") / f"{BAD}.mp4", 4)
    monkeypatch.setattr(pipeline, "run_jobs", work)
    with monkeypatch.context() as patch:
        patch.setattr(Waveform, "extract", fail)
        assert [run(), run()] == [1, 1]
    assert read_failures() == [BAD]
    assert run() == 0
    assert tried == [BAD] * 3


def test_what_nobody_foresaw_is_remembered_too(place, monkeypatch, tried, capsys):
    """With what was stored of the clip before; `--retry-failed` tries it again."""

    def fail(*_):
        raise ValueError("a defect of the program")

    class Future:
        def __init__(self, job):
            self.job = job

        def result(self):
            return process_clip(self.job)

    def work(work, jobs, *_):
        for job in jobs:
            tried.append(job.entry.clip_id)
            yield collect(Future(job), job.entry.clip_id, 9.0)

    write_face(Path("raw") / f"{BAD}.mp4", 4)
    monkeypatch.setattr(pipeline, "run_jobs", work)
    with monkeypatch.context() as patch:
        patch.setattr(Waveform, "extract", fail)
        assert [run(), run()] == [1, 1]
    assert "ValueError: a defect of the program" in Path("cache/failures.csv").read_text()
    assert run() == 1 and tried == [BAD]
    assert "--retry-failed" in capsys.readouterr().out
    assert len(list(Path("cache/clips").glob(f"faces-*/{BAD}.safetensors"))) == 1
    assert run("--retry-failed") == 0 and tried == [BAD] * 2
    assert read_failures() == []


@pytest.mark.parametrize(
    ("status", "lasting"), [(-signal.SIGKILL, False), (-signal.SIGSEGV, True), (1, True)]
)
def test_a_crash_is_lasting_and_a_kill_is_not(status, lasting):
    class Future:
        def result(self):
            error = ProcessExpired("died", status)
            error.exitcode = status
            raise error

    outcome = collect(Future(), "x_1", 9.0)
    assert outcome.died and outcome.lasting is lasting


def test_a_csv_that_is_added_later_is_found(place, tried):
    write_openface_csvs(Path("csvs"), ["v_1_1"])
    backend = ["behaviour.backend=openface_csv", "behaviour.openface.csv_dir=csvs"]
    assert run(*backend, "--update") == 1
    assert read_failures() == ["-w_1", BAD]
    shutil.copy("csvs/v_1_1.csv", "csvs/-w_1.csv")
    tried.clear()
    assert run(*backend) == 1
    assert tried == ["-w_1"]
    assert read_failures() == [BAD]
