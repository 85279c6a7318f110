"""Augmentation: what it depends on, what it keeps, what it does to each stream."""

from dataclasses import replace

import albumentations
import cv2
import numpy as np
import pytest

from mosi_e2e.config import SPEED_STEPS, AugmentConfig
from mosi_e2e.data.augment import Augmenter, augment_waveform, draw_gap, draw_speed
from mosi_e2e.data.pictures import ClipAffine, ClipFlip
from preprocessing.config import SAMPLE_RATE

SECONDS = 2.0
PICTURES_OFF = {"flip": 0, "affine": 0, "colour": 0, "blur": 0}
SOUND_OFF = {"gain_db": 0, "noise": 0, "speed": 0}
OFF = AugmentConfig(**PICTURES_OFF, **SOUND_OFF, token_noise=0, time_mask=0, stream_dropout=0)
SPREAD = {"behaviour": np.array([0.5, 1, 2, 4], np.float32)}


def make_face(size=48, frames=10):
    """A smooth picture, the same in every frame."""
    coarse = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.repeat(picture[None], frames, axis=0)


@pytest.fixture
def streams():
    rng = np.random.default_rng(0)
    sound = 0.3 * np.sin(2 * np.pi * 300 * np.arange(int(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE)
    return {
        "face": {"values": make_face(), "time": np.arange(10, dtype=np.float32) / 5 + 0.1},
        "speech": {"values": sound.astype(np.float32), "time": np.zeros(1, np.float32)},
        "behaviour": {
            "values": rng.normal(size=(20, 4)).astype(np.float32),
            "time": np.arange(20, dtype=np.float32) / 10,
        },
    }


def same(a, b):
    return a.keys() == b.keys() and all(
        np.array_equal(a[name][key], b[name][key]) for name in a for key in ("values", "time")
    )


def key_where(condition):
    """The first key (0, 0, n) whose draw fulfils a condition."""
    return next((0, 0, n) for n in range(200) if condition((0, 0, n)))


def test_the_key_decides_everything(streams):
    first, second = (Augmenter(AugmentConfig(), SPREAD) for _ in range(2))
    for n in range(5):
        wanted = first(streams, (3, 1, n))
        first(streams, (3, 1, n + 50))  # what was drawn between leaves no trace
        assert same(wanted, second(streams, (3, 1, n)))
    drawn = [first(streams, (3, epoch, n)) for epoch in range(2) for n in range(6)]
    assert not any(same(drawn[0], other) for other in drawn[1:])


def test_a_streams_draw_does_not_depend_on_the_others(streams):
    augmenter = Augmenter(replace(AugmentConfig(), stream_dropout=0), SPREAD)
    for n in range(8):
        together = augmenter(streams, (0, 2, n))
        for name in streams:
            alone = augmenter({name: streams[name]}, (0, 2, n))
            assert same({name: together[name]}, alone)


def test_the_input_is_left_as_it_was(streams):
    before = {name: {key: array.copy() for key, array in one.items()} for name, one in streams.items()}
    for n in range(8):
        Augmenter(AugmentConfig(), SPREAD)(streams, (0, 0, n))
    assert same(before, streams)


def test_strength_zero_changes_nothing(streams):
    for n in range(4):
        assert same(Augmenter(OFF, SPREAD)(streams, (0, 0, n)), streams)


def test_all_crops_of_a_clip_share_one_draw(streams):
    mixed = replace(OFF, flip=0.5, affine=0.1, colour=0.3, blur=0.5, jpeg=0.5, shrink=0.5)
    augmenter = Augmenter(mixed, SPREAD)
    seen = []
    for n in range(6):
        crops = augmenter(streams, (0, 0, n))["face"]["values"]
        assert crops.dtype == np.uint8 and crops.shape == streams["face"]["values"].shape
        assert crops.flags.c_contiguous
        assert (crops == crops[0]).all()
        seen.append(crops[0])
    changed = [np.abs(a.astype(int) - b).mean() > 2 for i, a in enumerate(seen) for b in seen[:i]]
    assert np.mean(changed) > 0.8


@pytest.mark.parametrize("name", ["flip", "affine", "colour", "blur", "jpeg", "shrink"])
def test_each_picture_setting_does_something_by_itself(streams, name):
    strong = {"flip": 1.0, "affine": 0.1, "colour": 0.5, "blur": 1.0, "jpeg": 1.0, "shrink": 1.0}
    augmenter = Augmenter(replace(OFF, **{name: strong[name]}), SPREAD)
    crops = [augmenter(streams, (0, 0, n))["face"]["values"][0] for n in range(5)]
    assert any(not np.array_equal(crop, make_face()[0]) for crop in crops)
    if name == "flip":
        assert all(np.array_equal(crop, make_face()[0][:, ::-1]) for crop in crops)


@pytest.mark.parametrize(("ours", "theirs"), [(ClipFlip, "HorizontalFlip"), (ClipAffine, "Affine")])
def test_the_fast_transforms_equal_the_librarys(ours, theirs):
    options = {"p": 1.0}
    if ours is ClipAffine:
        options |= {"rotate": (-15, 15), "scale": (0.8, 1.2), "translate_percent": (-0.2, 0.2)}
        options |= {"border_mode": cv2.BORDER_REPLICATE}
    frames = np.stack([np.roll(make_face(64)[0], shift, axis=1) for shift in range(5)])
    for seed in range(5):
        slow, fast = (
            albumentations.Compose([transform(**options)], seed=seed)(images=frames)["images"]
            for transform in (getattr(albumentations, theirs), ours)
        )
        assert np.abs(fast.astype(int) - slow).max() <= 9  # positions are rounded to 1/32 px, at edges of 250
        assert np.abs(fast.astype(int) - frames).mean() > 3


def test_speed_rescales_times_and_sound_alike(streams):
    config = replace(OFF, speed=0.2)
    key = key_where(lambda key: moves(config, streams, key))
    changed = Augmenter(config, SPREAD)(streams, key)
    factor = streams["face"]["time"][-1] / changed["face"]["time"][-1]
    steps = float(factor * SPEED_STEPS)
    assert abs(steps - SPEED_STEPS) > 0.9 and steps == pytest.approx(round(steps), abs=1e-4)
    for name in ("face", "behaviour", "speech"):
        np.testing.assert_allclose(changed[name]["time"] * factor, streams[name]["time"], rtol=1e-5)
    count = len(streams["speech"]["values"])
    assert len(changed["speech"]["values"]) == pytest.approx(count / factor, abs=2)
    assert loudest_hz(changed["speech"]["values"]) == pytest.approx(300 * factor, rel=0.01)


def moves(config, streams, key):
    changed = Augmenter(config, SPREAD)(streams, key)
    return not np.array_equal(changed["face"]["time"], streams["face"]["time"])


def loudest_hz(sound):
    return np.abs(np.fft.rfft(sound)).argmax() * SAMPLE_RATE / len(sound)


def test_speed_factors_are_drawn_from_the_whole_range():
    drawn = {round(float(draw_speed(0.1, np.random.default_rng(n))), 3) for n in range(100)}
    assert drawn == {0.9, 0.95, 1.0, 1.05, 1.1}
    assert draw_speed(0.0, np.random.default_rng(0)) == 1.0


def test_sound_stays_in_range_and_gets_the_noise_it_was_promised():
    rng = np.random.default_rng(0)
    loud = np.clip(rng.normal(size=SAMPLE_RATE), -1, 1).astype(np.float32)
    for n in range(6):
        shouted = augment_waveform(loud, 1.0, AugmentConfig(gain_db=30), np.random.default_rng(n))
        assert shouted.dtype == np.float32 and np.abs(shouted).max() <= 1.0
    tone = 0.1 * np.sin(np.arange(4 * SAMPLE_RATE) * 0.1).astype(np.float32)
    config = replace(OFF, noise=1.0, noise_db=10.0)
    for n in range(10):
        noise = augment_waveform(tone, 1.0, config, np.random.default_rng(n)) - tone
        ratio_db = 10 * np.log10((tone**2).mean() / (noise**2).mean())
        assert 9.8 < ratio_db < 30.2


def test_gain_is_within_its_limit():
    tone = 0.1 * np.sin(np.arange(SAMPLE_RATE) * 0.1).astype(np.float32)
    changes = []
    for n in range(20):
        louder = augment_waveform(tone, 1.0, replace(OFF, gain_db=6.0), np.random.default_rng(n))
        changes.append(20 * np.log10(louder.std() / tone.std()))
    assert -6.01 < min(changes) < -2 and 2 < max(changes) < 6.01


def test_silence_survives(streams):
    streams["speech"]["values"] = np.zeros(SAMPLE_RATE, np.float32)
    quiet = Augmenter(replace(AugmentConfig(), noise=1.0, stream_dropout=0), SPREAD)(streams, (0, 0, 0))
    assert np.isfinite(quiet["speech"]["values"]).all() and not quiet["speech"]["values"].any()


def test_token_noise_is_in_training_standard_deviations():
    tokens = {"behaviour": {"values": np.zeros((4000, 4), np.float32), "time": np.zeros(4000, np.float32)}}
    noisy = Augmenter(replace(OFF, token_noise=0.1), SPREAD)(tokens, (0, 0, 0))["behaviour"]["values"]
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(noisy.std(axis=0), 0.1 * SPREAD["behaviour"], rtol=0.1)


def test_one_gap_of_limited_width_is_cut_from_rows_and_times():
    rows = {"values": np.arange(50, dtype=np.float32)[:, None].repeat(4, 1), "time": np.arange(50) / 10}
    augmenter = Augmenter(replace(OFF, time_mask=0.4), SPREAD)
    lengths = []
    for n in range(30):
        cut = augmenter({"behaviour": rows}, (0, 0, n))["behaviour"]
        kept = cut["values"][:, 0].astype(int)
        np.testing.assert_array_equal(cut["time"], rows["time"][kept])
        assert (np.diff(kept) > 1).sum() <= 1
        lengths.append(len(kept))
    assert 30 <= min(lengths) < 40 < max(lengths)


def test_a_gap_leaves_at_least_one_row():
    assert all(draw_gap(count, 1.0, np.random.default_rng(n)).any() for count in (1, 2, 3) for n in range(50))


def test_dropout_takes_one_stream_and_never_the_last(streams):
    augmenter = Augmenter(replace(OFF, stream_dropout=1.0), SPREAD)
    lost = []
    for n in range(30):
        left = augmenter(streams, (0, 0, n))
        empty = [name for name in left if not len(left[name]["values"])]
        assert len(empty) == 1 and not len(left[empty[0]]["time"])
        assert left[empty[0]]["values"].shape[1:] == streams[empty[0]]["values"].shape[1:]
        lost += empty
    assert set(lost) == set(streams)
    absent = {name: {key: array[:0] for key, array in streams[name].items()} for name in ("face", "speech")}
    only = absent | {"behaviour": streams["behaviour"]}
    assert all(same(augmenter(only, (0, 0, n)), only) for n in range(10))


def test_dropout_has_its_probability(streams):
    few = {name: streams[name] for name in ("speech", "behaviour")}
    augmenter = Augmenter(replace(OFF, stream_dropout=0.25), SPREAD)
    drops = [any(not len(s["values"]) for s in augmenter(few, (0, 0, n)).values()) for n in range(400)]
    assert 0.17 < np.mean(drops) < 0.33
