"""A stream of one's own in a finished cache: what is written, and what is refused."""

import shutil

import numpy as np
import pytest
from kit.made_cache import make_cache

from preprocessing.cache.facts import read_index
from preprocessing.cache.store import ClipStore
from preprocessing.cache.writer import AddedStream
from preprocessing.errors import UserError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("made"), size=8, failed=("ta_1",))


@pytest.fixture
def cache(made, tmp_path):
    return shutil.copytree(made, tmp_path / "cache")


def add(cache, value: float, **changes) -> str:
    stream = AddedStream(cache, "pulse", ["bpm"], "1 / min", after=["waveform"], **changes)
    for number, clip_id in enumerate(stream):
        rows = 0 if number == 3 else 2
        stream.write(clip_id, np.full((rows, 1), value), np.arange(rows))
    return stream.finish()


def test_a_stream_joins_the_index_the_statistics_and_the_description(cache):
    before, index = ClipStore(cache), read_index(cache / "index.csv")
    assert add(cache, 70.0) == f"pulse: {len(index) - 2} of {len(index)} clips"
    after = ClipStore(cache)
    assert after.index.drop(columns="pulse").equals(before.index)
    states = after.index.set_index("clip_id").pulse
    assert states["ta_1"] == "failed" and (states == "no_rows").sum() == 1
    assert after.stats == before.stats | {
        "pulse": {"mean": [70.0], "std": [0.0], "rows": after.stats["pulse"]["rows"]}
    }
    assert after.columns("pulse", "pulse") == ["bpm"]
    assert after.read("xa_1", "pulse")["pulse_time"].tolist() == [0.0, 1.0]


def test_it_can_be_added_again_and_its_version_decides_where_it_lies(cache):
    add(cache, 70.0)
    first = ClipStore(cache).recipe("pulse")
    add(cache, 80.0, version=2)
    store = ClipStore(cache)
    assert store.recipe("pulse") != first and store.stats["pulse"]["mean"] == [80.0]
    assert list(store.index.columns).count("pulse") == 1


def test_what_does_not_fit_is_one_line(cache):
    with pytest.raises(UserError, match="rename 'faces'"):
        AddedStream(cache, "faces", ["a"])
    stream = AddedStream(cache, "pulse", ["bpm"])
    clip_id = next(iter(stream))
    with pytest.raises(
        UserError, match=r"rows of 'pulse' are \[2, 1\] \(times, columns\), but .* has \[3, 1\]"
    ):
        stream.write(clip_id, np.zeros((3, 1)), np.zeros(2))
    stream.write(clip_id, np.zeros((2, 1)), np.arange(2))
    with pytest.raises(UserError, match="clips have no rows of 'pulse'"):
        stream.finish()
    assert "pulse" not in ClipStore(cache).index
