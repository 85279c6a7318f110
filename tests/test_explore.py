"""The page about a cache: what it shows is what the cache holds."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from kit.made_cache import LACKING, SPLITS, make_cache
from kit.pages_read import check_page
from kit.tiny_text import add_words

from mosi_e2e.explore.__main__ import main
from mosi_e2e.explore.choice import spread_clips
from mosi_e2e.pages.sound import track_wave
from mosi_e2e.pages.tracks import draw_line, make_axis, pair_sides, track_behaviour, track_pitch
from preprocessing.cache.store import ClipStore
from preprocessing.stages import name_stages

STAGES = name_stages()

FAILED = ("tb_2", "xa_2")
MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Two clips failed, six lack a stream."""
    return make_cache(tmp_path_factory.mktemp("made"), failed=FAILED)


def explore(cache, out, *words):
    assert main([str(cache), "--out", str(out), *words]) == 0
    return check_page(out / "index.html", MOST_BYTES)


def shown_clips(page):
    return [one["aria-label"].removeprefix("Clip ") for one in page.all("article")]


def test_the_sample_set_with_its_frames(sample_cache, tmp_path):
    """The main use, once with the raw clips beside it: frames, crops, sound and all traces are there."""
    page = explore(sample_cache, tmp_path, "--labels", str(sample_cache.parent / "raw"), "--count", "3")
    assert len(shown_clips(page)) == 3 and len(page.all("audio")) == 3
    pictures = [one["alt"] for one in page.all("img")]
    assert sum(alt.startswith("frames at ") for alt in pictures) >= 12
    assert sum(alt.startswith("face crops at ") for alt in pictures) >= 12
    assert sum(alt.startswith("spectrogram") for alt in pictures) == 3
    assert "SYNTHETIC" in page.text and page.text.count("synthetic") >= 4
    assert all(word in page.text for word in ("pitch (F0)", "loudness", "head turn", "waveform", "Splits."))


def test_clips_that_lack_something_say_so(cache, tmp_path):
    wanted = ["ta_2", "tb_1", "tc_3", "xc_3"]
    page = explore(cache, tmp_path, f"--clips={','.join(wanted)}")
    assert shown_clips(page) == wanted and len(page.all("audio")) == 3
    for state in ("none: no audio", "none: no face", "none: too short"):
        assert state in page.text
    assert "no label" in page.text


def test_words_stand_at_their_times(cache, tmp_path):
    own = add_words(shutil.copytree(cache, tmp_path / "cache"))
    page = explore(own, tmp_path / "out", "--clips=ta_1")
    assert "the film was good" in [one.get("aria-label") for one in page.all("div")]
    said = [one for one in page.all("span") if "title" in one]
    assert [one["title"].partition(":")[0] for one in said] == ["the", "film", "was", "good"]
    assert said[0]["style"].startswith("left:0.0%")


def test_failed_clips_are_listed_with_their_reason_in_the_page(cache, tmp_path):
    own = tmp_path / "cache"
    shutil.copytree(cache, own)
    table = pd.read_csv(own / "failures.csv")
    table.loc[0, "error"] = "<b>moov atom & more</b>"
    table.to_csv(own / "failures.csv", index=False)
    page = explore(own, tmp_path / "out", "--count", "0")
    assert "<b>moov atom & more</b>" in page.text and "no such file" in page.text
    assert all(f" {clip_id} " in page.text for clip_id in FAILED) and shown_clips(page) == []


def test_real_clips_are_not_marked_synthetic_and_the_licence_is_mentioned(cache, tmp_path):
    own = tmp_path / "cache"
    shutil.copytree(cache, own)
    meta = (own / "meta.json").read_text()
    (own / "meta.json").write_text(meta.replace('"synthetic": true', '"synthetic": false'))
    page = explore(own, tmp_path / "out", "--count", "1")
    assert "synthetic" not in page.text.lower() and "licence" in page.text


def test_a_packed_cache_and_openface_columns_show_too(tmp_path):
    from preprocessing.pack import pack

    cache = make_cache(tmp_path / "made", backend="openface_csv")
    pack(ClipStore(cache), tmp_path / "made.pkl", 10**9)
    page = explore(tmp_path / "made.pkl", tmp_path / "out", "--count", "3")
    assert re.search(r"AU\d\d_r", page.text) and "head turn" in page.text


@pytest.mark.slow
def test_the_same_cache_gives_the_same_page(cache, tmp_path):
    for name in ("a", "b"):
        explore(cache, tmp_path / name, "--count", "2")
    first, second = ((tmp_path / name / "index.html").read_bytes() for name in ("a", "b"))
    assert first == second


def test_errors_say_what_to_type(cache, tmp_path, capsys):
    for words, told in (
        (["--clips=ta_9"], "--clips=ta_"),
        (["--clips=tb_2"], "leave it out"),
        (["--count", "-1"], "--count 8"),
    ):
        assert main([str(cache), "--out", str(tmp_path), *words]) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1
    assert main([str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 2


def test_the_spread_covers_splits_labels_and_videos(cache):
    index = ClipStore(cache).index
    chosen = spread_clips(index, 9)
    assert chosen.equals(spread_clips(index.sample(frac=1, random_state=1), 9))
    assert chosen.split.value_counts().to_dict() == dict.fromkeys(SPLITS, 3)
    train = chosen[chosen.split == "train"]
    assert train.video_id.is_unique and train.label.min() < -1 and train.label.max() > 1
    assert not set(chosen.clip_id) & set(FAILED)
    assert len(spread_clips(index, 1000)) == len(index) - len(FAILED)
    assert spread_clips(index[index[list(STAGES)].eq("failed").any(axis=1)], 5).empty


def points(path: str) -> np.ndarray:
    return np.array(re.findall(r"[ML](\S+) (\S+?)(?=[MLZ]|$)", path), dtype=float)


def test_curves_stand_at_their_times_and_break_at_gaps():
    axis = make_axis(2.0)
    time = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    path = draw_line(axis, time, np.array([0.0, 1.0, np.nan, 0.5, 0.0]), 0.0, 1.0)
    np.testing.assert_allclose(points(path), [[0, 94], [250, 6], [750, 50], [1000, 94]])
    assert re.sub(r"[^ML]", "", path) == "MLML"
    late = draw_line(axis, np.array([0.0, 0.1, 0.2, 1.5]), np.zeros(4), 0.0, 1.0)
    assert re.sub(r"[^ML]", "", late) == "MLLM"
    assert dict(axis.ticks)["1"] == 50.0 and axis.ticks[-1] == ("2", 100.0)


def test_a_tone_lies_where_it_sounds():
    """Half a second of tone in the middle of two: outline and pitch are drawn there and nowhere else."""
    axis = make_axis(2.0)
    sound = np.zeros(32_000, np.int16)
    sound[12_000:20_000] = 16_384 * np.sin(np.arange(8000) / 16_000 * 2 * np.pi * 200)
    track = track_wave(sound, axis)
    loud = points(track.lines[0].path)
    loud = loud[np.abs(loud[:, 1] - 50) > 5]
    assert 370 < loud[:, 0].min() < 380 and 620 < loud[:, 0].max() < 630 and track.scale == "peak -6 dB"


def test_traces_are_the_caches(cache):
    store = ClipStore(cache)
    clip_id = next(one for one in store.index.clip_id if one not in LACKING and one not in FAILED)
    axis = make_axis(2.0)
    tracks = {track.name: track for track in track_behaviour(store, clip_id, axis)}
    assert len(tracks) == 6
    head = tracks["head turn"]
    arrays = store.read(clip_id, "behaviour")
    column = store.columns("behaviour", "behaviour").index("pose_yaw_rad")
    drawn = points(head.lines[1].path)
    np.testing.assert_allclose(
        drawn[:, 0], arrays["behaviour_time"][arrays["behaviour_valid"]] * 500, atol=0.06
    )  # the row without a face is not drawn
    values = arrays["behaviour"][arrays["behaviour_valid"]][:, column]
    assert np.corrcoef(drawn[:, 1], values)[0, 1] < -0.999  # up is more
    assert {"pitch (F0)", "loudness"} == {track.name for track in track_pitch(store, clip_id, axis)}


def test_left_and_right_are_one_trace_and_pose_is_none():
    names = [
        "_neutral",
        "mouthSmileLeft",
        "mouthSmileRight",
        "mouthLeft",
        "AU12_r",
        "AU12_c",
        "pose_Rx",
        "x_0",
    ]
    assert pair_sides(names) == {"mouthSmile": [1, 2], "mouthLeft": [3], "AU12_r": [4]}
