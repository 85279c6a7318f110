"""Outputs of frozen encoders that are computed once, and streams whose times mean nothing any more."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe
from safetensors.torch import load_file

from mosi_e2e.config import AugmentConfig, DataConfig, RunConfig
from mosi_e2e.data import encoded
from mosi_e2e.data.dataset import ClipDataset, Pick
from mosi_e2e.data.encoded import changes_stream
from mosi_e2e.evaluate import main as evaluate
from mosi_e2e.train import main
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError
from preprocessing.settings import dump_config, load_config

FROZEN = [
    "model.crossmodal.speech.freeze=frozen",
    "model.crossmodal.face.freeze=frozen",
    "augment.enabled=false",
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    write_recipe(place / "cross.yaml", make_cache(place), "crossmodal", epochs=2)
    return place


def train(place, name, *words):
    assert main(["--config", str(place / "cross.yaml"), f"name={name}", *words]) == 0
    run = place / "runs" / name
    return pd.read_csv(run / "history.csv"), pd.read_csv(run / "predictions_valid.csv")


def find_encoded(place):
    return {path: path.stat().st_mtime_ns for path in (place / "cache" / "clips").glob("*_encoded-*/*")}


@pytest.fixture(scope="module")
def once(place):
    return train(place, "once", *FROZEN)


def test_it_changes_nothing_but_the_time(place, once):
    history, scores = train(place, "always", *FROZEN, "data.encode_frozen=false")
    assert history.train_loss.nunique() == 2  # it does learn
    np.testing.assert_allclose(once[0].train_loss, history.train_loss, atol=2e-3)  # kept in half precision
    np.testing.assert_allclose(once[1].score, scores.score, atol=5e-3)
    assert evaluate([str(place / "runs" / "once"), "--split", "valid"]) == 0  # from raw streams
    again = pd.read_csv(place / "runs" / "once" / "predictions_valid.csv")
    np.testing.assert_allclose(again.score, once[1].score, atol=5e-3)


@pytest.mark.slow
def test_each_clip_is_encoded_once(place, once, monkeypatch):
    before = find_encoded(place)
    n_clips = sum(len(part) for part in (once[1], ClipStore(place / "cache").index.query("split == 'train'")))
    assert len(before) == 2 * (n_clips - 1)  # one train clip has no label
    train(place, "twice", *FROZEN, "optim.lr=0.001")
    assert find_encoded(place) == before
    next(iter(before)).unlink()
    train(place, "repaired", *FROZEN)
    assert find_encoded(place).keys() == before.keys()


@pytest.mark.slow
def test_other_weights_are_encoded_anew(place, once):
    folders = {path.parent for path in find_encoded(place)}
    train(place, "other", *FROZEN, "seed=1")
    assert len({path.parent for path in find_encoded(place)}) == 2 * len(folders)


@pytest.mark.slow
def test_a_stream_that_is_augmented_or_learned_is_not_encoded(place, once):
    before = find_encoded(place)
    train(place, "augmented", *FROZEN[:2], "seed=2", "optim.epochs=1")
    train(place, "learned", *FROZEN[1:], "model.crossmodal.streams=[speech,behaviour]", "seed=2")
    assert find_encoded(place) == before


def test_what_counts_as_augmentation():
    quiet = {"gain_db": 0.0, "noise": 0.0, "speed": 0.0}
    still = {"flip": 0.0, "affine": 0.0, "colour": 0.0, "blur": 0.0}
    assert changes_stream("speech", AugmentConfig()) and changes_stream("face", AugmentConfig())
    assert not changes_stream("speech", AugmentConfig(**quiet))
    assert changes_stream("face", AugmentConfig(**quiet))
    assert not changes_stream("face", AugmentConfig(**still))
    for name in quiet:
        assert changes_stream("speech", AugmentConfig(**quiet | {name: 0.1}))


def test_scrambled_times_are_the_clips_own_and_always_the_same(place):
    store = ClipStore(place / "cache")
    plain, scrambled = (
        ClipDataset(store, "train", ["behaviour", "acoustics"], DataConfig(scramble_times=on))[Pick(0)]
        for on in (False, True)
    )
    again = ClipDataset(store, "train", ["behaviour", "acoustics"], DataConfig(scramble_times=True))[Pick(0)]
    for name, stream in plain["streams"].items():
        there = scrambled["streams"][name]
        assert np.array_equal(there["values"], stream["values"])
        assert not np.array_equal(there["time"], stream["time"])
        assert np.array_equal(np.sort(there["time"]), stream["time"])
        assert np.array_equal(there["time"], again["streams"][name]["time"])


def test_a_waveform_cannot_be_scrambled(place):
    with pytest.raises(UserError, match="leave speech out of the streams"):
        ClipDataset(ClipStore(place / "cache"), "train", ["speech"], DataConfig(scramble_times=True))


def test_a_read_only_cache_lets_the_run_keep_them(place, once, monkeypatch, capsys):
    monkeypatch.setattr(encoded, "can_write", lambda folder: False)
    before = find_encoded(place)
    train(place, "read_only", *FROZEN, "seed=5", "optim.epochs=1")
    assert "cache is read-only: what the speech encoder says is kept in" in capsys.readouterr().out
    assert find_encoded(place) == before
    assert list((place / "runs" / "read_only" / "encoded" / "clips").glob("speech_encoded-*/*.safetensors"))


@pytest.mark.slow
def test_all_layers_are_kept_and_their_mixing_is_learned(place):
    words = [
        *FROZEN,
        "model.crossmodal.streams=[speech,behaviour]",
        "model.crossmodal.speech.layers=weighted",
    ]
    _, scores = train(place, "layers", *words, "optim.lr=0.05")
    run = place / "runs" / "layers"
    stored = load_file(run / "best" / "model.safetensors")
    weights, spread = (stored[f"encoders.speech.layer_{name}"] for name in ("weight", "std"))
    assert weights.shape == (3,) and weights.abs().max() > 0.01
    assert spread.shape == (3, 32) and 0 < spread.median() < 1
    before = find_encoded(place)
    assert evaluate([str(run), "--split", "valid"]) == 0  # finds what training kept
    assert find_encoded(place) == before
    again = pd.read_csv(run / "predictions_valid.csv")
    np.testing.assert_allclose(again.score, scores.score, atol=5e-3)
    config = load_config(RunConfig, run / "best" / "config.yaml")
    raw = replace(config, data=replace(config.data, encode_frozen=False))
    (run / "best" / "config.yaml").write_text(dump_config(raw))
    assert evaluate([str(run), "--split", "valid"]) == 0  # from raw sound
    again = pd.read_csv(run / "predictions_valid.csv")
    np.testing.assert_allclose(again.score, scores.score, atol=5e-3)
