"""Clips of a cache as examples: which are taken, what is read, how long ones are cut."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from kit.made_cache import LACKING, STREAMS, UNLABELLED, make_cache

from mosi_e2e.config import AugmentConfig, DataConfig
from mosi_e2e.data.dataset import ClipDataset, Pick, cut_window, read_stream
from mosi_e2e.data.loaders import build_augmenter, build_loader
from mosi_e2e.data.sampler import SweepSampler
from preprocessing.cache.store import ClipStore
from preprocessing.config import SAMPLE_RATE
from preprocessing.errors import UserError

FAILED_CLIPS = ("tb_2", "xa_2")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ClipStore(make_cache(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def holed(tmp_path_factory):
    """A cache in which two clips failed."""
    return ClipStore(make_cache(tmp_path_factory.mktemp("holed"), failed=FAILED_CLIPS))


def streams_equal(a, b):
    return all(np.array_equal(a[name][key], b[name][key]) for name in a for key in ("values", "time"))


def test_an_example_is_what_the_cache_holds(store):
    data = ClipDataset(store, "train", STREAMS, DataConfig())
    number = data.clips.clip_id.tolist().index("ta_1")
    example = data[Pick(number, weight=0.25)]
    assert (example["clip_id"], example["index"], example["weight"]) == ("ta_1", number, 0.25)
    assert example["label"] == store.index.set_index("clip_id").label["ta_1"]
    streams, raw = example["streams"], store.read("ta_1", "behaviour")
    assert (~raw["behaviour_valid"]).sum() == 1
    np.testing.assert_array_equal(streams["behaviour"]["values"], raw["behaviour"][raw["behaviour_valid"]])
    np.testing.assert_allclose(streams["behaviour"]["time"], raw["behaviour_time"][raw["behaviour_valid"]])
    sound = store.read("ta_1", "waveform")["waveform"]
    np.testing.assert_array_equal(streams["speech"]["values"] * 32768, sound)
    assert streams["speech"]["values"].dtype == np.float32 and streams["speech"]["time"].tolist() == [0.0]
    faces = store.read("ta_1", "faces")
    assert streams["face"]["values"].shape == (faces["face_valid"].sum(), 32, 32, 3)
    np.testing.assert_allclose(streams["face"]["time"], faces["face_time"][faces["face_valid"]])


def test_crops_are_red_green_blue(store):
    example = read_stream(store, "ta_1", STREAMS["face"])["values"]
    arrays = store.read("ta_1", "faces")
    import cv2

    first = arrays["face_jpeg"][: arrays["face_offset"][1]]
    np.testing.assert_array_equal(example[0], cv2.imdecode(first, cv2.IMREAD_COLOR)[..., ::-1])


@pytest.mark.parametrize("clip_id", LACKING)
def test_a_lacking_stream_is_empty_and_the_others_are_there(store, clip_id):
    lost = set(LACKING[clip_id])
    for name, source in STREAMS.items():
        stream = read_stream(store, clip_id, source)
        assert (len(stream["values"]) == 0) == (source.stage in lost)
        assert name == "speech" or len(stream["values"]) == len(stream["time"])


def test_unlabelled_clips_are_for_prediction_only(store):
    labelled = ClipDataset(store, "test", STREAMS, DataConfig())
    everything = ClipDataset(store, "test", STREAMS, DataConfig(), labelled=False)
    assert set(everything.clips.clip_id) - set(labelled.clips.clip_id) == set(UNLABELLED) & set(
        everything.clips.clip_id
    )
    assert labelled.clips.label.notna().all()
    number = everything.clips.label.isna().idxmax()
    assert np.isnan(everything[Pick(int(number))]["label"])


def test_splits_are_kept_apart(store):
    for split in ("train", "valid", "test"):
        clips = ClipDataset(store, split, STREAMS, DataConfig(), labelled=False).clips
        assert set(clips.split) == {split} and len(clips) == (store.index.split == split).sum()
        assert clips.clip_id.is_unique


@pytest.mark.parametrize("cause", ["no_audio", "no_face", "too_short"])
def test_each_absence_must_be_allowed(store, cause):
    others = [name for name in DataConfig().allow_missing if name != cause]
    config = DataConfig(allow_missing=others)
    first = next(clip for clip, states in LACKING.items() if cause in states.values())
    with pytest.raises(
        UserError, match=rf"1 train clips are '{cause}'.*first: {first}.*allow_missing=\[.*{cause}\]"
    ):
        ClipDataset(store, "train", STREAMS, config)


def test_an_absence_in_a_stream_that_is_not_read_does_not_matter(store):
    assert len(ClipDataset(store, "train", ["behaviour"], DataConfig(allow_missing=["no_face"])))
    with pytest.raises(UserError, match="no_audio"):
        ClipDataset(store, "train", ["speech"], DataConfig(allow_missing=["no_face"]))


def test_failed_clips_stop_the_run_unless_allowed(holed):
    with pytest.raises(
        UserError, match=r"1 train clips are 'failed'.*tb_2.*run preprocessing again.*failed\]"
    ):
        ClipDataset(holed, "train", STREAMS, DataConfig())
    allowed = DataConfig(allow_missing=[*DataConfig().allow_missing, "failed"])
    data = ClipDataset(holed, "train", STREAMS, allowed)
    assert "tb_2" not in set(data.clips.clip_id) and len(data) == 22
    assert all(len(data[Pick(number, 0)]["streams"]) == len(STREAMS) for number in range(len(data)))


def test_errors_say_what_to_type(store):
    with pytest.raises(UserError, match=r"no clip in split 'dev' \(it has test, train, valid\)"):
        ClipDataset(store, "dev", STREAMS, DataConfig())
    with pytest.raises(UserError, match=r"allow_missing knows failed, refused.*but got asleep"):
        ClipDataset(store, "train", STREAMS, DataConfig(allow_missing=["asleep"]))


def test_only_a_pick_with_a_draw_is_augmented(store):
    augmenter = build_augmenter(AugmentConfig(stream_dropout=0), store.stats, STREAMS)
    data = ClipDataset(store, "train", STREAMS, DataConfig(), augmenter=augmenter)
    plain = ClipDataset(store, "train", STREAMS, DataConfig())
    assert streams_equal(data[Pick(3)]["streams"], plain[Pick(3)]["streams"])
    first, again, later = (data[Pick(3, draw)]["streams"] for draw in (0, 0, 1))
    assert streams_equal(first, again)
    assert not streams_equal(first, plain[Pick(3)]["streams"])
    assert not streams_equal(first, later)
    assert not streams_equal(first, data[Pick(4, 0)]["streams"])


def test_sweeps_never_augment_even_with_an_augmenter(store):
    augmenter = build_augmenter(AugmentConfig(), store.stats, STREAMS)
    data = ClipDataset(store, "valid", STREAMS, DataConfig(max_seconds=0.5), augmenter=augmenter)
    plain = ClipDataset(store, "valid", STREAMS, DataConfig())
    for picks in SweepSampler(len(data), 3, 0, 1):
        assert all(streams_equal(data[pick]["streams"], plain[pick]["streams"]) for pick in picks)


def test_augmentation_can_be_switched_off_and_knows_the_train_statistics(store):
    assert build_augmenter(AugmentConfig(enabled=False), store.stats, STREAMS) is None
    spread = build_augmenter(AugmentConfig(), store.stats, STREAMS).spread
    assert spread.keys() == {"behaviour", "acoustics", "functionals"}
    np.testing.assert_allclose(spread["acoustics"], store.stats["lld"]["std"], rtol=1e-6)


def test_workers_give_what_the_main_process_gives(store):
    config = DataConfig(max_seconds=0.9)
    augmenter = build_augmenter(AugmentConfig(), store.stats, STREAMS)
    data = ClipDataset(store, "train", STREAMS, config, augmenter=augmenter, seed=5)
    picks = [[Pick(0, 2), Pick(1, 2)], [Pick(2, 2)], [Pick(3, 2)]]
    here, there = (list(build_loader(data, picks, workers)) for workers in (0, 2))
    for a, b in zip(here, there, strict=True):
        assert a["clip_id"] == b["clip_id"]
        for key in a.keys() - {"clip_id"}:  # resampling in one thread or several rounds differently
            torch.testing.assert_close(a[key], b[key], rtol=0, atol=1e-6, equal_nan=True)


def test_a_window_keeps_streams_on_the_same_seconds(store):
    streams = {name: read_stream(store, "ta_3", source) for name, source in STREAMS.items()}
    duration, limit = float(store.index.set_index("clip_id").duration_s["ta_3"]), 0.6
    starts = []
    for n in range(10):
        cut = cut_window(streams, duration, limit, (0, 0, n))
        start = float(cut["speech"]["time"][0])
        starts.append(start)
        first = round(start * SAMPLE_RATE)
        sound = streams["speech"]["values"][first : first + len(cut["speech"]["values"])]
        np.testing.assert_array_equal(cut["speech"]["values"], sound)
        assert abs(len(sound) / SAMPLE_RATE - limit) < 1e-3
        for name in ("face", "behaviour", "acoustics"):
            time = streams[name]["time"]
            inside = (time >= start + 1e-4) & (time < start + limit - 1e-4)
            assert set(time[inside]) <= set(cut[name]["time"])
            assert (cut[name]["time"] >= start - 1e-4).all() and (
                cut[name]["time"] < start + limit + 1e-4
            ).all()
            rows = np.isin(time, cut[name]["time"])
            np.testing.assert_array_equal(cut[name]["values"], streams[name]["values"][rows])
        assert len(cut["functionals"]["values"]) == 1  # they speak for the whole clip
    assert len(set(starts)) == 10 and 0 <= min(starts) < max(starts) <= duration - limit
    assert streams_equal(cut, cut_window(streams, duration, limit, (0, 0, 9)))


def test_sound_that_starts_late_is_cut_where_the_others_are():
    sound = {"values": np.arange(2 * SAMPLE_RATE, dtype=np.float32), "time": np.array([1.0], np.float32)}
    tokens = {"values": np.arange(30.0)[:, None], "time": np.arange(30) / 10}
    for n in range(10):
        cut = cut_window({"speech": sound, "behaviour": tokens}, 3.0, 1.5, (0, 0, n))
        end = cut["speech"]["time"][0] + len(cut["speech"]["values"]) / SAMPLE_RATE
        assert end == pytest.approx(cut["behaviour"]["time"][-1] + 0.1, abs=0.1)


def test_a_stream_without_rows_in_the_window_is_absent_there():
    early = {"values": np.ones((5, 2)), "time": np.arange(5) / 100}
    whole = {"values": np.ones((300, 2)), "time": np.arange(300) / 100}
    for n in range(5):
        cut = cut_window({"behaviour": early, "acoustics": whole}, 3.0, 1.0, (0, 0, n))
        assert len(cut["acoustics"]["values"]) == pytest.approx(100, abs=1)
        if cut["acoustics"]["time"][0] > 0.05:
            assert len(cut["behaviour"]["values"]) == len(cut["behaviour"]["time"]) == 0


def test_windows_are_for_long_training_clips(store):
    data = ClipDataset(store, "train", STREAMS, DataConfig(max_seconds=0.5))
    whole = ClipDataset(store, "train", STREAMS, replace(DataConfig(), max_seconds=0.0))
    assert len(data[Pick(0, 0)]["streams"]["speech"]["values"]) == pytest.approx(0.5 * SAMPLE_RATE, abs=1)
    assert streams_equal(data[Pick(0)]["streams"], whole[Pick(0, 0)]["streams"])
