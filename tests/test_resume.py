"""Runs that are cut off, by kill -9, a full disk, another run: the same command ends with the same bytes.

Here real processes are killed, and a real disk is full; the moments between two writes are swept through
in this process.
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from kit.made_set import LABELS, read_tree, work_here, write_face, write_labels
from kit.tiny_speech import write_whisper

from preprocessing.__main__ import main
from preprocessing.cache.lock import hold, hold_cache, remove_leftovers
from preprocessing.errors import UserError
from preprocessing.run import pipeline
from preprocessing.sets.raw_set import open_raw_set
from preprocessing.stages import name_stages

STAGES = name_stages()


ROOT = Path(__file__).resolve().parents[1]
CLIPS = LABELS[:6]
FILES = len(STAGES) * (len(CLIPS) - 1)  # one clip is garbage


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """Five clips, and one that fails."""
    folder = tmp_path_factory.mktemp("raw")
    for seed, (clip_id, _, _) in enumerate(CLIPS):
        write_face(folder / f"{clip_id}.mp4", seed)
    (folder / "v_1_2.mp4").write_bytes(b"garbage" * 99)
    write_labels(folder, *CLIPS)
    return folder


@pytest.fixture(scope="module")
def reference(raw, tmp_path_factory) -> dict[str, bytes]:
    """The files of an uninterrupted run's cache."""
    out = tmp_path_factory.mktemp("reference") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "run_jobs", work_here)
        assert main([f"labels={raw}", f"out={out}"]) == 1
    files = read_tree(out)
    assert len([name for name in files if name.endswith(".safetensors")]) == FILES
    return files


def start(raw: Path, out: Path, log: Path, workers: int, *more: str) -> subprocess.Popen:
    """A run in a session of its own."""
    settings = [f"labels={raw}", f"out={out}", f"workers={workers}", *more]
    command = [sys.executable, "-m", "preprocessing", *settings]
    with log.open("ab") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)


def wait_for_files(out: Path, count: int, run: subprocess.Popen) -> None:
    while run.poll() is None and len(list(out.rglob("*.safetensors"))) < count:
        time.sleep(0.005)
    assert run.poll() is None, "it ended before it could be killed"


def find_worker(run: subprocess.Popen) -> psutil.Process:
    """One of the run's workers, as soon as it has one."""
    while run.poll() is None:
        for child in psutil.Process(run.pid).children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                return child
        time.sleep(0.005)
    raise AssertionError("it ended without a worker")


def test_kill_9_of_a_run_and_of_a_worker(raw, reference, tmp_path, capsys):
    out, log = tmp_path / "cache", tmp_path / "log"
    run = start(raw, out, log, workers=1)
    wait_for_files(out, 3, run)
    assert main([f"labels={raw}", f"out={out}"]) == 2  # a second run beside the first
    said = capsys.readouterr().err
    assert f"is being written by another run (process {run.pid} on " in said and said.count("\n") == 1
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (out / "index.csv").exists()
    done = len(list(out.rglob("*.safetensors")))
    left = out / "clips" / "faces-0" / ".x_1.safetensors.0123abcd.tmp"  # half a file, wherever the kill fell
    left.parent.mkdir()
    left.write_bytes(b"half")

    run = start(raw, out, log, workers=1)
    wait_for_files(out, min(FILES, done + 1), run)
    find_worker(run).kill()
    assert run.wait() == 1, log.read_text()
    left.parent.rmdir()
    assert read_tree(out) == reference, log.read_text()


@pytest.mark.slow
def test_kill_9_of_the_run_while_its_workers_go_on(raw, reference, tmp_path):
    out, log = tmp_path / "cache", tmp_path / "log"
    for count in (1, 6, 11):
        run = start(raw, out, log, workers=2)
        wait_for_files(out, count, run)
        run.kill()  # its workers end the clips that they have, beside the next run
        run.wait()
    assert start(raw, out, log, workers=2).wait() == 1, log.read_text()
    assert read_tree(out) == reference, log.read_text()


@pytest.mark.slow
def test_kill_9_while_words_are_heard(raw, tmp_path, monkeypatch):
    plugin = tmp_path / "one_speaker.py"  # a tone is no speech to the detector
    plugin.write_text(
        "from preprocessing.hearing import listening, voice\n"
        "listening.find_speech = lambda waveform: [voice.Span(0.1, 0.5)]\n"
    )
    monkeypatch.setenv("MOSI_PLUGINS", str(plugin))
    words = ["words.source=whisper", f"words.model={write_whisper(tmp_path / 'whisper')}"]
    whole, out, log = tmp_path / "whole", tmp_path / "cache", tmp_path / "log"
    assert start(raw, whole, log, 1, *words).wait() == 1, log.read_text()
    reference = read_tree(whole)
    heard = [name for name in reference if name.startswith("clips/words-") and name.endswith(".safetensors")]
    assert len(heard) == len(CLIPS) - 1
    for count in (1, 3):
        run = start(raw, out, log, 1, *words)
        while run.poll() is None and len(list(out.glob("clips/words-*/*.safetensors"))) < count:
            time.sleep(0.005)
        assert run.poll() is None, "it ended before it could be killed"
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert start(raw, out, log, 1, *words).wait() == 1, log.read_text()
    assert read_tree(out) == reference


class Killed(BaseException):
    """What nothing in the program catches."""


def test_a_kill_between_any_two_files(raw, reference, tmp_path, monkeypatch):
    """Every run brings three files under their names and dies before the next; at the end none, one, two."""
    out, replace = tmp_path / "cache", Path.replace
    monkeypatch.setattr(pipeline, "run_jobs", work_here)
    monkeypatch.setattr(pipeline, "write_last_run", lambda *_, **__: None)
    deaths, at_the_end, left = 0, 0, 0

    def replace_or_die(path: Path, target: Path):
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_or_die)
    while not (out / "index.csv").exists():
        is_end = len(list(out.rglob("*.safetensors"))) == FILES
        left = at_the_end if is_end else 3
        at_the_end += is_end
        with suppress(Killed):
            assert main([f"labels={raw}", f"out={out}"]) == 1
            break
        deaths += 1
    assert at_the_end == 7  # six files end a run: failures, remarks, statistics, meta, summary, index
    assert deaths > FILES / 3 + 5
    assert read_tree(out) == reference


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    keep = ["clips/faces-0/.x_1.safetensors", "clips/faces-0/.a.0123abcd.tmpx", "clips/faces-0/.tmp", "a.tmp"]
    gone = ["clips/faces-0/.x_1.safetensors.0123abcd.tmp", ".index.csv.00000000.tmp"]
    (tmp_path / "clips" / "faces-0").mkdir(parents=True)
    for name in keep + gone:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert set(read_tree(tmp_path)) == set(keep)


def test_a_lock_is_told_with_its_holder_and_gone_afterwards(tmp_path):
    with hold(tmp_path, "the cache"):
        with (
            pytest.raises(UserError, match=rf"by another run \(process {os.getpid()} on .*, since 2"),
            hold(tmp_path, "the cache"),
        ):
            pytest.fail("held twice")
        assert (tmp_path / ".lock").is_file()
    assert list(tmp_path.iterdir()) == []
    with hold(tmp_path, "the cache"):
        pass


def test_the_lock_of_a_killed_process_does_not_hold(tmp_path):
    code = "import sys, time, pathlib; from preprocessing.cache.lock import hold\n"
    code += "with hold(pathlib.Path(sys.argv[1]), 'it'): print('held', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"process {process.pid} on "), hold(tmp_path, "it"):
            pytest.fail("held twice")
        process.kill()
        process.wait()
    assert json.loads((tmp_path / ".holder.json").read_text())["pid"] == process.pid
    with hold(tmp_path, "it"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_one_zip_is_unpacked_by_one_run(tmp_path):
    (tmp_path / "set.zip").write_bytes(b"any")
    with hold(tmp_path, "the folder"), pytest.raises(UserError, match="is being written by another run"):
        open_raw_set(str(tmp_path / "set.zip"))


def test_a_run_that_fails_at_once_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError), hold_cache(tmp_path / "cache"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(reference, tmp_path) -> Iterator[Path]:
    """A file system that has room for half of the cache."""
    disk, size = tmp_path / "disk", sum(map(len, reference.values())) // 2
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(
    raw, reference, small_disk, capsys, monkeypatch
):
    command = [f"labels={raw}", f"out={small_disk / 'cache'}", "workers=1"]
    assert main(command) == 2  # in a worker process
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and said.endswith("type the same command again")
    assert "No space left on device" in said and "MB left" in said
    made = read_tree(small_disk / "cache")
    assert 0 < len(made) < FILES and all(name.startswith("clips/") for name in made)
    assert all(reference[name] == data for name, data in made.items())
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    monkeypatch.setattr(pipeline, "run_jobs", work_here)
    assert main(command) == 1
    assert read_tree(small_disk / "cache") == reference


@pytest.mark.parametrize("number", range(1, 6))
def test_a_disk_that_is_full_at_the_last_files(raw, reference, tmp_path, monkeypatch, capsys, number):
    """At the stage files the test above shows it; here `failures.csv`, the three JSON files, `index.csv`."""
    out, write_bytes = tmp_path / "cache", Path.write_bytes
    for name in (name for name in reference if name.startswith("clips/")):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(reference[name])
    tried = 0

    def write_or_fail(path: Path, data: bytes) -> int:
        nonlocal tried
        tried += 1
        if tried >= number:
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_or_fail)
        assert main([f"labels={raw}", f"out={out}"]) == 2
    said = capsys.readouterr().err
    assert f"error: {out} cannot be written to: No space left on device; {out} has " in said
    assert not (out / "index.csv").exists()
    assert main([f"labels={raw}", f"out={out}"]) == 1
    assert read_tree(out) == reference
