"""The table of models, ridges and floors on imported features."""

import numpy as np
import pandas as pd
import pytest
from kit.made_features import make_tables, write_pickle
from kit.typed_commands import load_module

from mosi_e2e.scores.statistics import bootstrap_interval
from preprocessing.cache.store import ClipStore
from preprocessing.import_features.__main__ import main as import_features


@pytest.fixture(scope="module")
def sequences():
    return load_module("benchmarks/sequences.py")


@pytest.fixture
def store(tmp_path) -> ClipStore:
    """The first column of the sound is the label; one test clip lacks the other stream."""
    tables = make_tables()
    for table in tables.values():
        table["audio"][..., 0] = table["regression_labels"][:, None]
    tables["test"]["vision"][0] = 0
    write_pickle(tmp_path / "a.pkl", tables)
    assert import_features([str(tmp_path / "a.pkl"), "--out", str(tmp_path / "cache")]) == 0
    return ClipStore(tmp_path / "cache")


def test_the_ridge_reads_what_is_there_to_read(sequences, store):
    found = sequences.predict_ridges(store)
    assert list(found) == ["ridge, vision", "ridge, audio", "ridge", "ridge with lengths"]
    error = {name: (table.score - table.label).abs().mean() for name, table in found.items()}
    assert error["ridge, audio"] < 0.05 < error["ridge, vision"]
    assert np.isfinite(found["ridge"].score).all()


def test_the_table_names_every_system_and_floor(sequences, store, tmp_path):
    assert sequences.main([str(store.root), "--out", str(tmp_path / "runs"), "--recipes"]) == 0
    lines = (tmp_path / "runs" / "results.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:8]] == [
        "ridge, vision",
        "ridge, audio",
        "ridge",
        "ridge with lengths",
        "floor: train mean",
        "floor: train median",
    ]
    assert "4 test clips of 2 videos" in lines[-1]


def test_the_interval_of_one_seed_is_that_of_its_predictions(sequences):
    rng = np.random.default_rng(0)
    label = rng.uniform(-3, 3, 60)
    video = np.repeat(np.arange(20), 3).astype(str)
    table = pd.DataFrame({"label": label, "score": label + rng.normal(size=60), "video_id": video})
    whole = bootstrap_interval(label, table.score, video)
    for seeds in ([table], [table, table]):
        found, gap = sequences.estimate_table(seeds, [table])
        assert found["mae"] == pytest.approx(whole["mae"]) and gap == pytest.approx([0, 0])


def test_the_gap_to_the_ridge_is_paired(sequences):
    """Two systems with the same errors, the second by 0.1 more: the gap is far surer than either error."""
    rng = np.random.default_rng(0)
    error = rng.exponential(size=60)
    table = pd.DataFrame({"label": np.zeros(60), "score": error, "video_id": np.arange(60).astype(str)})
    worse = table.assign(score=error + 0.1 + rng.normal(scale=0.01, size=60))
    _, (low, high) = sequences.estimate_table([worse], [table])
    assert 0.09 < low < 0.1 < high < 0.11
