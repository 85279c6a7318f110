"""The pipeline: resume, failures, what is made anew and what is left alone.

The runs here work in this process; `sample_cache` uses the pool. Killed runs: `test_resume.py`.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kit.made_clips import draw_number, find_packets, make_tone, overwrite, write_clip
from kit.made_set import (
    LABELS,
    PORTRAIT,
    list_stages,
    read_times,
    read_tree,
    work_here,
    write_face,
    write_labels,
    write_openface_csvs,
    write_set,
)

from preprocessing.__main__ import main
from preprocessing.cache import writer
from preprocessing.cache.facts import INDEX_NUMBERS, read_index
from preprocessing.cache.store import ClipStore, StageFiles
from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.run import pipeline
from preprocessing.run.clip_job import ClipJob, process_clip
from preprocessing.settings import load_config
from preprocessing.stages import name_stages
from preprocessing.stages.recipes import make_recipes

STAGES = name_stages()

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _one_process(monkeypatch):
    monkeypatch.setattr(pipeline, "run_jobs", work_here)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """Eight good clips and their labels."""
    return write_set(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def reference(raw, tmp_path_factory) -> Path:
    """Their finished cache. Look, do not change."""
    out = tmp_path_factory.mktemp("reference") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "run_jobs", work_here)
        assert main([f"labels={raw}", f"out={out}"]) == 0
    return out


@pytest.fixture
def cache(reference, tmp_path) -> Path:
    """A copy of the finished cache."""
    return Path(shutil.copytree(reference, tmp_path / "cache"))


@pytest.fixture
def own(raw, tmp_path) -> Path:
    """A copy of the raw clips."""
    return Path(shutil.copytree(raw, tmp_path / "raw"))


def test_a_whole_run(reference):
    store = ClipStore(reference)
    index = store.index
    assert index.clip_id.tolist() == [clip_id for clip_id, _, _ in LABELS]
    assert index.video_id.tolist() == ["v_1", "v_1", "-w", "-w", "x", "y", "y", "y"]
    assert index.split.tolist() == [split for _, split, _ in LABELS]
    assert index.label.isna().tolist() == [label == "" for _, _, label in LABELS]  # unlabelled clips are kept
    assert index.label[4] == 1 / 3
    assert (index[list(STAGES)] == "ok").all(axis=None)
    assert np.allclose(index.duration_s, 0.6, atol=0.03)
    assert (index.n_frames == 15).all() and (index.face_ratio == 1).all()
    assert (reference / "failures.csv").read_bytes() == b"clip_id,stage,error\r\n"
    assert not store.synthetic
    summary = json.loads((reference / "summary.json").read_text())
    assert (summary["clips"], summary["usable"], summary["unlabelled"], summary["refused"]) == (8, 8, 2, [])
    assert summary["splits"] == {"train": 4, "valid": 1, "test": 3}
    assert not [path for path in reference.rglob("*") if path.name.startswith(".")]
    assert len(list(reference.rglob("*.safetensors"))) == 8 * len(STAGES)


def test_the_sample_set_is_complete(sample_cache):
    store = ClipStore(sample_cache)
    assert store.synthetic
    assert len(store.index) == 12
    assert store.index.video_id.nunique() == 6
    assert set(store.index.split) == {"train", "valid", "test"}
    assert (store.index[list(STAGES)] == "ok").all(axis=None)
    assert store.index.face_ratio.min() >= 0.95
    for clip_id, duration_s in zip(store.index.clip_id, store.index.duration_s, strict=True):
        for stage, key, rate in (
            ("faces", "face", 5),
            ("behaviour", "behaviour", 7.5),
            ("acoustics", "lld", 100),
        ):
            times = store.read(clip_id, stage, [f"{key}_time"])[f"{key}_time"]
            assert (np.diff(times) > 0).all() and times[0] >= 0 and times[-1] < duration_s + 0.1
            assert abs(len(times) - duration_s * rate) <= 6


def test_another_process_gives_the_same_bytes(sample_cache, tmp_path):
    raw = sample_cache.parent / "raw"
    config = load_config(PreprocessConfig, ROOT / "configs" / "sample_preprocess.yaml", [f"out={tmp_path}"])
    entry = pipeline.read_labels(raw)[1]
    assert process_clip(ClipJob(entry, frozenset(STAGES), config, make_recipes(config))).failures == ()
    made, there = read_tree(tmp_path / "clips"), read_tree(sample_cache / "clips")
    assert len(made) == len(STAGES)
    assert all(there[name] == data for name, data in made.items())


def test_a_finished_cache_is_not_touched(cache, raw, monkeypatch, capsys):
    before = read_times(cache)
    monkeypatch.setattr(pipeline, "run_jobs", lambda *_: pytest.fail("worked again"))
    assert main([f"labels={raw}", f"out={cache}", "workers=7"]) == 0
    assert read_times(cache) == before
    assert "nothing to do" in capsys.readouterr().out


def test_a_smaller_crop_makes_the_faces_anew_and_nothing_else(cache, raw):
    before = read_times(cache / "clips")
    assert main([f"labels={raw}", f"out={cache}", "faces.size=64", "--update"]) == 0
    after = read_times(cache / "clips")
    assert {name: after[name] for name in before} == before
    assert list_stages(f"clips/{name}" for name in set(after) - set(before)) == {"faces"}
    store = ClipStore(cache)
    assert store.meta["stages"]["faces"]["keys"]["face_jpeg"]["size"] == 64
    assert len(store.read("-w_1", "faces")["face_time"]) == 3
    assert main([f"labels={raw}", f"out={cache}", "--update"]) == 0  # back again: all is there still
    assert read_times(cache / "clips") == after
    assert ClipStore(cache).meta["stages"]["faces"]["keys"]["face_jpeg"]["size"] == 224


def test_existing_openface_csvs_are_a_backend(cache, raw, tmp_path, capsys):
    csvs = tmp_path / "csvs"
    write_openface_csvs(csvs, [clip_id for clip_id, _, _ in LABELS if clip_id != "y_3"])
    settings = [f"labels={raw}", f"out={cache}", "behaviour.backend=openface_csv", "--update"]
    before = read_times(cache / "clips")
    assert main(settings) == 2
    assert "type behaviour.openface.csv_dir=FOLDER" in capsys.readouterr().err
    assert (cache / "index.csv").is_file()  # found out before anything was changed
    settings.append(f"behaviour.openface.csv_dir={csvs}")
    assert main(settings) == 1
    after = read_times(cache / "clips")
    assert {name: after[name] for name in before} == before
    assert list_stages(f"clips/{name}" for name in set(after) - set(before)) == {"behaviour"}
    store = ClipStore(cache)
    tokens = store.read("v_1_1", "behaviour")
    assert store.columns("behaviour", "behaviour")[:3] == ["gaze_angle_x", "gaze_angle_y", "pose_Tx"]
    assert np.allclose(tokens["behaviour_time"], np.arange(15) / 25)
    assert tokens["behaviour_valid"].sum() == 6  # 1, 0.95 .. 0.75
    assert np.allclose(tokens["behaviour"][:6, 2], np.arange(1, 7) + 0.02)
    lacking = store.index.set_index("clip_id").loc["y_3"]
    assert lacking.behaviour == "failed" and (lacking[["faces", "waveform", "acoustics"]] == "ok").all()
    failures = pd.read_csv(cache / "failures.csv")
    assert failures.clip_id.tolist() == ["y_3"] and failures.stage.tolist() == ["behaviour"]
    assert main([*settings, "behaviour.openface.min_confidence=0.9"]) == 1
    last = read_times(cache / "clips")
    assert {name: last[name] for name in after} == after
    assert list_stages(f"clips/{name}" for name in set(last) - set(after)) == {"behaviour"}
    assert ClipStore(cache).read("v_1_1", "behaviour")["behaviour_valid"].sum() == 3


def test_an_openface_failure_does_not_take_the_faces_with_it(raw, tmp_path):
    (tmp_path / "csvs").mkdir()
    overrides = [
        f"out={tmp_path}",
        "behaviour.backend=openface_csv",
        f"behaviour.openface.csv_dir={tmp_path}/csvs",
    ]
    config = load_config(PreprocessConfig, None, overrides)
    entry = pipeline.read_labels(raw)[0]
    failures = process_clip(ClipJob(entry, frozenset(STAGES), config, make_recipes(config))).failures
    assert [(failure.clip_id, failure.stage) for failure in failures] == [("v_1_1", "behaviour")]
    assert list_stages(read_tree(tmp_path)) == {"faces", "waveform", "acoustics"}


def test_a_changed_label_rewrites_the_index_alone(cache, own):
    before = read_times(cache / "clips")
    write_labels(own, *[(clip_id, split, 0.5) for clip_id, split, _ in LABELS[:5]])
    assert main([f"labels={own}", f"out={cache}", "--update"]) == 0
    assert read_times(cache / "clips") == before
    assert ClipStore(cache).index.label.tolist() == [0.5] * 5


def test_bad_clips_are_told_and_the_others_finish(own, tmp_path, capsys):
    out = tmp_path / "cache"
    (own / "x_1.mp4").write_bytes(b"garbage" * 99)
    write_clip(own / "y_1.mp4", [draw_number(number) for number in range(15)])  # neither a face nor sound
    write_clip(
        own / "y_2.mp4", [draw_number(number) for number in range(15)], sound=make_tone(0.6, 44_100, 200)
    )
    overwrite(own / "y_3.mp4", find_packets(own / "y_3.mp4", "video")[5:], 0xFF)
    write_clip(own / "v_1_2.mp4", [PORTRAIT] * 15)
    assert main([f"labels={own}", f"out={out}"]) == 1
    said = capsys.readouterr().out
    assert "5 of 8 usable" in said and "refused or failed 3" in said
    assert "1 × not a readable media file (x_1)" in said
    failures = pd.read_csv(out / "failures.csv").set_index("clip_id")
    assert failures.stage.to_dict() == {"x_1": "clip", "y_3": "behaviour+faces", "y_1": "clip"}
    assert failures.error["y_1"] == "neither a face nor sound in it"
    assert "truncated or damaged" in failures.error["y_3"]
    index = read_index(out / "index.csv").set_index("clip_id")
    states = {clip_id: tuple(index.loc[clip_id, list(STAGES)]) for clip_id in index.index}
    assert states["x_1"] == ("failed",) * 4
    assert states["y_1"] == ("refused",) * 4
    assert states["y_2"] == ("no_face", "ok", "no_face", "ok")
    assert states["y_3"] == ("failed", "ok", "failed", "ok")  # its sound is good
    assert states["v_1_2"] == ("ok", "no_audio", "ok", "no_audio")
    assert all(index[name].dtype == float or name == "label" for name in INDEX_NUMBERS)
    usable = {"v_1_1", "v_1_2", "-w_1", "-w_2"}
    rows = sum(
        len(StageFiles(out, "behaviour", ClipStore(out).recipe("behaviour")).read(c)["behaviour"])
        for c in usable
    )
    assert ClipStore(out).stats["behaviour"]["rows"] == rows
    before = read_times(out / "clips")
    write_face(own / "x_1.mp4", 4)
    assert main([f"labels={own}", f"out={out}"]) == 1  # one is fixed, the others are as bad as before
    after = read_times(out / "clips")
    assert {name for name in before if after.get(name) != before[name]} == {
        name for name in before if name.endswith("/x_1.failed.json")
    }
    assert {name.split("/")[1] for name in set(after) - set(before)} == {"x_1.safetensors"}
    assert pd.read_csv(out / "failures.csv").clip_id.tolist() == ["y_3", "y_1"]
    write_face(own / "y_1.mp4", 5)  # it was refused, not failed
    assert main([f"labels={own}", f"out={out}"]) == 1
    assert pd.read_csv(out / "failures.csv").clip_id.tolist() == ["y_3"]


def test_a_cache_all_of_refused_clips_says_so_every_time(own, tmp_path, capsys):
    write_clip(own / "y_1.mp4", [draw_number(number) for number in range(15)])
    write_labels(own, *LABELS[:1], ("y_1", "test", 0))
    assert [main([f"labels={own}", f"out={tmp_path / 'cache'}"]) for _ in range(2)] == [1, 1]
    assert "neither a face nor sound" in capsys.readouterr().out.split("nothing to do")[1]


def test_the_index_is_gone_while_work_is_done_and_comes_last(cache, raw, monkeypatch):
    written = []

    def note(path, *_):
        written.append(path.name)

    def interrupt(work, jobs, *_):
        assert not (cache / "index.csv").exists()
        yield work(jobs[0])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "run_jobs", interrupt)
        assert main([f"labels={raw}", f"out={cache}", "faces.size=64", "--update"]) == 130
    with pytest.raises(UserError, match="no finished cache"):
        ClipStore(cache)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_table", note)
        patch.setattr(writer, "write_atomic", note)
        assert main([f"labels={raw}", f"out={cache}"]) == 0
    assert sorted(written) == [
        "failures.csv",
        "index.csv",
        "meta.json",
        "remarks.csv",
        "stats.json",
        "summary.json",
    ]
    assert written[-1] == "index.csv"


def test_another_format_version_is_not_current(cache, raw):
    meta = json.loads((cache / "meta.json").read_text())
    (cache / "meta.json").write_text(json.dumps(meta | {"format": 0}))
    assert main([f"labels={raw}", f"out={cache}"]) == 0
    ClipStore(cache)


def test_damaged_and_lost_files_are_made_again(cache, reference, raw):
    files = sorted((cache / "clips").rglob("*.safetensors"))
    files[0].write_bytes(files[0].read_bytes()[:-5])
    files[-1].unlink()
    assert main([f"labels={raw}", f"out={cache}"]) == 0
    assert read_tree(cache) == read_tree(reference)
