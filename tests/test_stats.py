"""Statistics: those of numpy over the valid rows of the train split, and of nothing else."""

import json

import numpy as np
import pytest

from preprocessing.cache.stats import compute_stats
from preprocessing.cache.store import ClipStore, StageFiles
from preprocessing.stages import find_stage

FEATURES = {stage: find_stage(stage).features for stage in ("behaviour", "acoustics")}


@pytest.fixture
def files(tmp_path) -> dict[str, StageFiles]:
    return {stage: StageFiles(tmp_path, stage, "0") for stage in ("behaviour", "acoustics")}


def write_clip(files, clip_id, behaviour, valid, descriptors, functionals) -> None:
    files["behaviour"].write(clip_id, {"behaviour": behaviour, "behaviour_valid": valid}, {"state": "ok"})
    files["acoustics"].write(clip_id, {"lld": descriptors, "functionals": functionals}, {"state": "ok"})


def test_values_are_those_of_numpy_over_valid_rows_of_the_named_clips(files):
    rng = np.random.default_rng(0)
    kept = {"behaviour": [], "lld": [], "functionals": []}
    for number, rows in enumerate((7, 1, 12, 5)):
        offset, scale = 100.0 * number, [1.0, 0.01, 1e4]
        behaviour = (offset + rng.normal(size=(rows, 3)) * scale).astype(np.float32)
        valid = rng.random(rows) < 0.7
        behaviour[~valid] = np.nan  # must not be looked at
        descriptors = rng.normal(5, 2, (3 * rows, 2)).astype(np.float32)
        functionals = rng.normal(-1, 3, (1, 4)).astype(np.float32)
        write_clip(files, f"c_{number}", behaviour, valid, descriptors, functionals)
        if number < 3:
            kept["behaviour"].append(behaviour[valid])
            kept["lld"].append(descriptors)
            kept["functionals"].append(functionals)
    stats = compute_stats(files, (f"c_{number}" for number in range(3)), FEATURES)
    assert set(stats) == set(kept)
    for key, blocks in kept.items():
        rows = np.concatenate(blocks).astype(np.float64)
        assert stats[key]["rows"] == len(rows)
        assert np.allclose(stats[key]["mean"], rows.mean(axis=0), rtol=1e-9)
        assert np.allclose(stats[key]["std"], rows.std(axis=0), rtol=1e-7)
    json.dumps(stats, allow_nan=False)


def test_small_spread_about_a_large_mean_is_kept(files):
    rows = 1e6 + np.random.default_rng(1).normal(size=(500, 1)) * 1e-3
    for number, part in enumerate(np.split(rows, 5)):
        write_clip(files, f"c_{number}", part, np.ones(100, bool), part, part)
    stats = compute_stats(files, [f"c_{number}" for number in range(5)], FEATURES)
    assert np.allclose(stats["lld"]["std"], rows.std(axis=0), rtol=1e-3)


def test_constant_columns_have_no_spread_and_keys_without_rows_are_left_out(files):
    none = np.zeros((0, 2), np.float32)
    write_clip(
        files, "c_1", np.ones((4, 2), np.float32), np.zeros(4, bool), none, np.full((1, 2), 3.0, np.float32)
    )
    stats = compute_stats(files, ["c_1"], FEATURES)
    assert stats == {"functionals": {"mean": [3.0, 3.0], "std": [0.0, 0.0], "rows": 1}}
    assert compute_stats(files, [], FEATURES) == {}


def test_the_caches_statistics_are_those_of_its_train_split(sample_cache):
    store = ClipStore(sample_cache)
    train = store.index.clip_id[store.index.split == "train"]
    assert 0 < len(train) < len(store.index)
    blocks = {"behaviour": [], "lld": [], "functionals": []}
    for clip_id in train:
        tokens = store.read(clip_id, "behaviour")
        blocks["behaviour"].append(tokens["behaviour"][tokens["behaviour_valid"]])
        sound = store.read(clip_id, "acoustics")
        for key in ("lld", "functionals"):
            blocks[key].append(sound[key])
    assert set(store.stats) == set(blocks)
    for key, found in store.stats.items():
        rows = np.concatenate(blocks[key]).astype(np.float64)
        assert found["rows"] == len(rows)
        assert np.allclose(found["mean"], rows.mean(axis=0))
        assert np.allclose(found["std"], rows.std(axis=0), atol=1e-6)
        stage = "behaviour" if key == "behaviour" else "acoustics"
        assert len(found["mean"]) == len(store.columns(stage, key))
