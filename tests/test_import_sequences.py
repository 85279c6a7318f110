"""CMU's computational sequences: clips cut out by their times, aligned entries, faults."""

import sys

import numpy as np
import pytest
from kit.made_features import make_rows, write_sequence

from preprocessing.cache.store import ClipStore
from preprocessing.import_features.__main__ import main
from preprocessing.import_features.sequences import SequenceFile

VIDEOS = {"-aV_id": "train", "b": "valid", "c": "test"}
CUTS = np.array([[1.0, 3.0], [3.0, 4.5], [6.0, 8.0]])  # seconds of three clips in each video


@pytest.fixture
def files(tmp_path):
    """Sound at 10 rows a second, pictures at 4, labels by segment, splits by video."""
    sound = {video: make_rows(10, 9, 3, seed) for seed, video in enumerate(VIDEOS)}
    sound["-aV_id"][0][12, 1] = -np.inf
    picture = {video: make_rows(4, 7, 2) for video in VIDEOS if video != "c"}  # too short, and lacks c
    labels = {video: (np.array([[-1.0], [0.2], [2.6]]), CUTS) for video in VIDEOS}
    rows = [f"{video},{split}" for video, split in VIDEOS.items()]
    (tmp_path / "folds.csv").write_text("\n".join(["video_id,split", *rows]))
    return [
        f"audio={write_sequence(tmp_path / 'a.csd', 'COVAREP', sound, ['time', 'f0', 'vuv'])}",
        str(write_sequence(tmp_path / "v.csd", "FACET 4.2", picture)),
        f"labels={write_sequence(tmp_path / 'l.csd', 'Opinion Segment Labels', labels)}",
        "--out",
        str(tmp_path / "cache"),
    ]


def test_clips_are_cut_out_by_their_times(files, tmp_path):
    assert main(files) == 0
    store = ClipStore(tmp_path / "cache")
    assert list(store.index.clip_id[:3]) == ["-aV_id_0", "-aV_id_1", "-aV_id_2"]
    assert dict(zip(store.index.video_id, store.index.split, strict=True)) == VIDEOS
    assert list(store.index.label[:3]) == [-1.0, 0.2, 2.6] and list(store.index.duration_s[:3]) == [2, 1.5, 2]
    assert store.columns("audio", "audio") == ["time", "f0", "vuv"]
    assert store.columns("facet_4_2", "facet_4_2") == ["facet_4_2_0", "facet_4_2_1"]
    for number, (start, end) in enumerate(CUTS):
        arrays = store.read(f"b_{number}", "audio")
        np.testing.assert_allclose(arrays["audio_time"], np.arange(0.05, end - start, 0.1), atol=1e-6)
        np.testing.assert_allclose(arrays["audio"][:, 0], arrays["audio_time"] + start, atol=1e-5)
    assert len(store.read("b_2", "facet_4_2")["facet_4_2"]) == 4  # the file ends after one second of it
    assert set(store.index[store.index.video_id == "c"].facet_4_2) == {"no_rows"}
    rules = {stage: entry["rules"] for stage, entry in store.meta["stages"].items()}
    assert rules["audio"]["infinite"] == rules["audio"]["imputed"] == 1
    assert rules["facet_4_2"]["empty_clip"] == 3
    assert store.meta["imported"]["time"]["assumed"] is False


def test_entries_that_the_sdk_aligned(files, tmp_path):
    """After alignment each segment is an entry of its own, and its rows are words."""
    words = np.array([[1.0, 1.4], [1.4, 2.0], [2.0, 3.0]])
    sound = {f"{video}[{n}]": (np.full((3, 2), n + 1.0), words + 2 * n) for video in VIDEOS for n in (0, 1)}
    labels = {name: (np.array([[n]]), CUTS[:1] + 2 * n) for n, name in ((int(k[-2]), k) for k in sound)}
    files[:3] = [
        f"audio={write_sequence(tmp_path / 'a2.csd', 'COVAREP', sound)}",
        f"labels={write_sequence(tmp_path / 'l2.csd', 'labels', labels)}",
    ]
    assert main(files) == 0
    store = ClipStore(tmp_path / "cache")
    arrays = store.read("b_1", "audio")
    np.testing.assert_allclose(arrays["audio"], 2.0)
    np.testing.assert_allclose(arrays["audio_time"], [0.2, 0.7, 1.5])
    assert store.index.label.tolist() == [0, 1] * 3


def test_mosis_official_folds_hold_without_a_file(tmp_path):
    sound = {"03bSnISJMiM": make_rows(10, 5, 2), "2WGyTLYerpo": make_rows(10, 5, 2)}
    labels = {video: (np.ones((2, 1)), CUTS[:2]) for video in sound}
    arguments = [
        f"audio={write_sequence(tmp_path / 'a.csd', 'COVAREP', sound)}",
        f"labels={write_sequence(tmp_path / 'l.csd', 'labels', labels)}",
    ]
    assert main([*arguments, "--out", str(tmp_path / "cache")]) == 0
    assert set(ClipStore(tmp_path / "cache").index.split) == {"train"}


def test_faults_are_named(files, tmp_path, capsys):
    def refusal(arguments: list[str]) -> str:
        assert main(arguments) == 2
        return capsys.readouterr().err.splitlines()[-1]

    audio, facet, labels, *out = files
    assert "labels=LABELS.csd" in refusal([audio, facet, *out])
    assert "same stream name" in refusal([audio, audio, labels, *out])
    assert "'Audio!' is not made of" in refusal([audio.replace("audio", "Audio!"), labels, *out])
    (tmp_path / "x.csd").write_text("no HDF5")
    assert "is no HDF5 file" in refusal([f"audio={tmp_path / 'x.csd'}", labels, *out])
    words = {"b": (np.array([[b"a"], [b"word"]]), CUTS[:2])}
    text = write_sequence(tmp_path / "w.csd", "words", words)
    assert "holds texts" in refusal([audio, f"words={text}", labels, *out])
    bad = write_sequence(tmp_path / "t.csd", "bad", {"b": (np.ones((3, 2)), CUTS[:2])})
    assert "must have features [T, D] and intervals [T, 2]" in refusal([f"audio={bad}", labels, *out])
    (tmp_path / "folds.csv").write_text("video_id,split\nb,train\n")
    assert "video -aV_id is in no split" in refusal([audio, labels, *out])


def test_without_h5py_the_message_says_what_to_install(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert main(files) == 2
    assert "pip install h5py" in capsys.readouterr().err


@pytest.mark.parametrize("form", [{}, {"chunks": (1,)}, {"dtype": "S20"}, {"chunks": (1,), "compression": 1}])
def test_names_of_columns_however_they_are_stored(tmp_path, form):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.csd"
    write_sequence(path, "audio", {"03bSnISJMiM": make_rows(10, 2, 3)}, ["a", "b", "c"])
    with h5py.File(path, "a") as file:
        metadata = next(iter(file.values()))["metadata"]
        del metadata["dimension names"]
        given = {"dtype": h5py.special_dtype(vlen=str)} | form
        metadata.create_dataset("dimension names", (1,), **given)[0] = '["ä", "b", "c"]'.encode()
    names = SequenceFile(path).column_names("x")
    assert names == (["x_0", "x_1", "x_2"] if "compression" in form else ["ä", "b", "c"])
