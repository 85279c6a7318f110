"""Running OpenFace, with a stand-in program that has the habits of the real one."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kit import fake_openface

from preprocessing.config import OpenFaceConfig
from preprocessing.errors import UserError
from preprocessing.openface import program as openface_run
from preprocessing.openface.columns import GROUPS, describe_columns
from preprocessing.openface.program import ALIGNED, check_openface, extract_openface, list_aligned_faces
from preprocessing.openface.table import (
    OpenFaceError,
    OpenFaceTable,
    behaviour_from_openface,
    read_openface_csv,
)


def write_clip(path: Path, **script) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"frames": 50} | script))
    return path


def run(clip: Path, folder: Path, config: OpenFaceConfig, n_frames=None, aligned_px=0) -> OpenFaceTable:
    """One run in a new folder."""
    folder.mkdir(parents=True)
    return extract_openface(clip, folder, config, n_frames, aligned_px)


def is_alive(pid: int) -> bool:
    """A zombie, killed and not yet waited for, is not alive."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def assert_all_end(pid_file: Path) -> None:
    """The program and its child are gone, at the latest a moment after the signal."""
    pids = [int(pid) for pid in pid_file.read_text().split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 2
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still running: {pids}"
        time.sleep(0.01)


@pytest.fixture
def program(tmp_path: Path) -> OpenFaceConfig:
    return OpenFaceConfig(binary=str(fake_openface.install(tmp_path / "bin")), timeout_s=20)


@pytest.fixture
def container(tmp_path: Path, monkeypatch) -> OpenFaceConfig:
    fake_openface.install_docker(tmp_path / "docker")
    monkeypatch.setenv("PATH", str(tmp_path / "docker"), prepend=os.pathsep)
    return OpenFaceConfig(image="algebr/openface", binary="none", timeout_s=20)


@pytest.mark.parametrize(
    "name", ["clip.mp4", "-of x.mp4", "a b [1] (é) 顔,$HOME;'\".tar.mp4", "--help", "no.ext.ension"]
)
def test_any_name_works(tmp_path, program, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_clip(Path(name), frames=30, lost=[4, 6], weak=[7])
    table = run(Path(name), Path("work"), program, n_frames=30)
    arrays = behaviour_from_openface(table, np.arange(30) / 25, program)
    np.testing.assert_array_equal(np.flatnonzero(~arrays["behaviour_valid"]), [4, 5, 6])


def test_clips_in_parallel_do_not_meet(tmp_path, program):
    counts = [20, 30, 40, 50]
    clips = [write_clip(tmp_path / f"{n}" / "clip.mp4", frames=n, rewrite_s=0.1) for n in counts]
    with ThreadPoolExecutor(4) as pool:
        jobs = [(clip, tmp_path / f"work/{n}", program, n) for clip, n in zip(clips, counts, strict=True)]
        tables = list(pool.map(lambda job: run(*job), jobs))
    assert [len(table.frame) for table in tables] == counts


def test_real_clips_go_through(shared, tmp_path, program):
    """The stand-in decodes real media as OpenFace does; times come from the decoder."""
    decord = pytest.importorskip("decord")
    clips = shared / "data/clips/derived"
    reader = decord.VideoReader(str(clips / "variable_frame_rate.mp4"))
    times = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0]  # [N] s
    table = run(clips / "variable_frame_rate.mp4", tmp_path / "a", program, len(times))
    arrays = behaviour_from_openface(table, times, program)
    by_timestamp = (table.frame - 1) / reader.get_avg_fps()
    assert np.abs(arrays["behaviour_time"] - by_timestamp).max() > 0.2
    with pytest.raises(OpenFaceError, match="38 rows, the decoder found 75 frames"):
        run(clips / "truncated_faststart.mp4", tmp_path / "b", program, 75)
    for name in ("garbage.mp4", "zero_bytes.mp4", "audio_only.m4a", "truncated_no_moov.mp4"):
        with pytest.raises(OpenFaceError, match=f"{name}.*wrote no CSV.*Failed to open the video file"):
            run(clips / name, tmp_path / name, program)


@pytest.mark.parametrize(
    ("script", "refused"),
    [
        ({"cut": True}, "clip.mp4: openface.csv is cut off: row 50"),
        (
            {"crash": "rewrite", "says": "one\ntwo"},
            "killed by signal 11.*printed: Attempting .* | one | two$",
        ),
        ({"frames": 44}, "44 rows, the decoder found 50 frames"),
        ({"frames": 51}, "51 rows up to 51, the decoder found 50 frames"),
        ({"frames": 0}, "no row"),
    ],
)
def test_a_bad_result_is_refused(tmp_path, program, script, refused):
    clip = write_clip(tmp_path / "clip.mp4", **script)
    with pytest.raises(OpenFaceError, match=refused) as caught:
        run(clip, tmp_path / "work", program, n_frames=50)
    assert "\n" not in str(caught.value)


def test_without_landmark_model_the_advice_works(tmp_path):
    program = fake_openface.install(tmp_path / "bin", has_model=False)
    config = OpenFaceConfig(binary=str(program))
    clip = write_clip(tmp_path / "clip.mp4")
    with pytest.raises(
        OpenFaceError, match=r"exit status 1.*`mloc` to model/main_clnf_general.txt.*landmark detector"
    ):
        run(clip, tmp_path / "a", config)
    run(clip, tmp_path / "b", replace(config, mloc="model/main_clnf_general.txt"))


def test_a_link_on_path_still_finds_the_models(tmp_path, monkeypatch):
    program = fake_openface.install(tmp_path / "opt")
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "FeatureExtraction").symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path / "local"), prepend=os.pathsep)
    config = OpenFaceConfig()
    check_openface(config)
    run(write_clip(tmp_path / "clip.mp4"), tmp_path / "work", config)


def test_no_program_is_the_users_to_mend(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "clip.mp4")
    absent = OpenFaceConfig(binary="no-such-program")
    for call in (
        lambda: check_openface(absent),
        lambda: run(clip, tmp_path / "a", absent),
    ):
        with pytest.raises(UserError, match="`no-such-program`, which is not found: set `binary`") as caught:
            call()
        assert not isinstance(caught.value, OpenFaceError)  # not this clip's fault
    broken = tmp_path / "FeatureExtraction"
    broken.write_bytes(b"\x00not a program")
    broken.chmod(0o755)
    with pytest.raises(UserError, match="cannot be started"):
        run(clip, tmp_path / "b", OpenFaceConfig(binary=str(broken)))
    with pytest.raises(OpenFaceError, match="needs a video file"):
        run(tmp_path / "absent.mp4", tmp_path / "c", OpenFaceConfig())


def test_a_hang_ends_at_the_timeout_with_all_its_processes(tmp_path, program):
    clip = write_clip(tmp_path / "clip.mp4", hang=str(tmp_path / "pids"))
    started = time.monotonic()
    with pytest.raises(OpenFaceError, match=r"not done after 1 s .*raise `timeout_s`"):
        run(clip, tmp_path / "work", replace(program, timeout_s=1))
    assert time.monotonic() - started < 10
    assert_all_end(tmp_path / "pids")


def test_what_is_read_is_final(tmp_path, program):
    """The program rewrites its CSV in place before it ends."""
    seen = run(write_clip(tmp_path / "clip.mp4", rewrite_s=0.4, spaces=True), tmp_path / "work", program)
    column = seen.columns.index("AU12_r")
    expected = [fake_openface.expected_intensity("AU12_r", frame) for frame in seen.frame]
    np.testing.assert_allclose(seen.values[:, column], expected, rtol=1e-6)


def test_aligned_faces_are_found_by_frame(tmp_path, program):
    clip = write_clip(tmp_path / "clip.mp4", frames=12, lost=[2, 5])
    table = run(clip, tmp_path / "work", program, aligned_px=64)
    assert list(list_aligned_faces(tmp_path / "work" / ALIGNED)) == [1, 2, 6, 7, 8, 9, 10, 11, 12]
    assert len(table.frame) == 12


def test_the_wrapper_starts_the_program_once_and_reads_its_csv_once(tmp_path, program, monkeypatch):
    """What it takes beside the program; in time: `benchmarks/openface.py`."""
    started, read = [], []

    def start(command, **options):
        started.append(command)
        return Popen(command, **options)

    def read_once(path, config):
        read.append(path)
        return read_openface_csv(path, config)

    Popen = subprocess.Popen
    monkeypatch.setattr(openface_run.subprocess, "Popen", start)
    monkeypatch.setattr(openface_run, "read_openface_csv", read_once)
    clip = write_clip(tmp_path / "clip.mp4")
    (tmp_path / "work").mkdir()
    table = extract_openface(clip, tmp_path / "work", program, 50, aligned_px=64)
    assert len(table.frame) == 50
    assert len(started) == len(read) == 1
    assert started[0][0] == program.binary


def test_docker_runs_the_image_on_the_mounted_clip(tmp_path, container, monkeypatch):
    check_openface(container)
    (tmp_path / "in, [put]").mkdir()
    write_clip(tmp_path / "in, [put]" / '-a "clip", 顔.mp4', frames=20)
    monkeypatch.chdir(tmp_path / "in, [put]")  # docker mounts absolute paths only
    table = run(Path('-a "clip", 顔.mp4'), tmp_path / "work", container, n_frames=20)
    assert len(table.frame) == 20
    words = json.loads((tmp_path / "docker/docker.jsonl").read_text().splitlines()[-1])
    assert words[words.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert words[words.index("--entrypoint") + 1] == "/home/openface-build/build/bin/FeatureExtraction"
    assert words[words.index("algebr/openface") + 1 :][:4] == ["-f", "/clip.mp4", "-out_dir", "/out"]


def test_docker_container_dies_with_its_timeout(tmp_path, container):
    clip = write_clip(tmp_path / "clip.mp4", hang=str(tmp_path / "pids"))
    with pytest.raises(OpenFaceError, match="not done after 1 s"):
        run(clip, tmp_path / "work", replace(container, timeout_s=1))
    assert_all_end(tmp_path / "pids")


def test_docker_without_the_image_is_the_users_to_mend(container):
    with pytest.raises(UserError, match=r"No such image: me/mine.*docker pull me/mine"):
        check_openface(replace(container, image="me/mine"))


def test_stand_in_has_the_habits_of_the_real_program(tmp_path):
    program = fake_openface.install(tmp_path / "bin")
    good, bad, later = (
        write_clip(tmp_path / "good.mp4"),
        tmp_path / "bad.mp4",
        write_clip(tmp_path / "later.mp4"),
    )
    bad.write_bytes(b"\x00" * 64)
    command = [program, "-out_dir", tmp_path / "out", "-f", good, "-f", bad, "-f", later]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0
    assert "Failed to open the video file at location" in ended.stdout
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        "good.csv"
    ]  # later.mp4 was skipped silently
    subprocess.run([program, "-out_dir", tmp_path / "dots", "-of", "a.b.c", "-f", good], check=True)
    assert [path.name for path in (tmp_path / "dots").iterdir()] == ["a.b.csv"]
    blocked = subprocess.run([program, "-out_dir", good / "sub", "-f", later], capture_output=True)
    assert blocked.returncode == -6  # a shell shows this abort as 134
    everything = (tmp_path / "out/good.csv").read_text().splitlines()[0].split(",")
    assert set(describe_columns(list(GROUPS))) <= set(everything)
