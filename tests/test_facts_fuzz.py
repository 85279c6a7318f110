"""Damaged meta.json, stats.json, index.csv and clip files: read as they are, or refused in one line.

Many cases: `MOSI_FUZZ_CASES=100000 python -m pytest -n 0 tests/test_facts_fuzz.py`.
"""

import json
from pathlib import Path

import pytest
from fuzzing import damaged, fuzz, replace_one, use_store
from hypothesis import given
from hypothesis import strategies as st
from made_cache import make_cache

from preprocessing.errors import UserError
from preprocessing.facts import read_index, read_meta, read_stats
from preprocessing.store import ClipStore, StageFiles


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return make_cache(tmp_path_factory.mktemp("made"), size=16)


@pytest.fixture(scope="module")
def texts(cache) -> dict[str, bytes]:
    return {name: (cache / name).read_bytes() for name in ("meta.json", "stats.json", "index.csv")}


@pytest.fixture(autouse=True)
def _whole_again(cache, texts):
    yield
    for name, text in texts.items():
        (cache / name).write_bytes(text)


@fuzz
@given(st.data(), st.sampled_from(["meta.json", "stats.json", "index.csv"]))
def test_damaged_facts(cache, texts, data, name):
    for other, text in texts.items():
        (cache / other).write_bytes(text)
    (cache / name).write_bytes(data.draw(damaged(texts[name])))
    said = use_store(cache)
    assert "\n" not in said and (not said or str(cache) in said)


@fuzz
@given(st.data(), st.sampled_from(["meta.json", "stats.json"]))
def test_json_with_odd_values(cache, texts, data, name):
    """One value of the file, at any depth, is something else."""
    content = json.loads(texts[name])
    replace_one(data, content)
    (cache / name).write_text(json.dumps(content))
    try:
        said = use_store(cache)
    finally:
        (cache / name).write_bytes(texts[name])
    assert "\n" not in said


@fuzz
@given(st.data())
def test_damaged_clip_files(cache, data):
    store = ClipStore(cache)
    files = StageFiles(cache, "behaviour", store.recipe("behaviour"))
    clip_id = store.index.clip_id[0]
    whole, expected = files.path(clip_id).read_bytes(), files.read(clip_id)
    files.path(clip_id).write_bytes(data.draw(damaged(whole)))
    try:
        found, said = files.read(clip_id), clip_id
    except UserError as error:
        found, said = expected, str(error)
    finally:
        files.path(clip_id).write_bytes(whole)
    assert all(found[key].tobytes() == expected[key].tobytes() for key in expected)
    assert "\n" not in said and clip_id in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("clip_id,", "clip-id,"),
        (",train,", ",trian,"),
        (",ok,", ",../..,"),
        ("\r\nta_2,", "\r\nta_1,"),
        (",-2.4,", ",-24,"),
        (",0.9,", ",nine,"),
        (",acoustics\r\n", ",acoustic\r\n"),
    ],
)
def test_an_index_with_a_value_that_cannot_be_is_damaged(cache, texts, old, new):
    text = texts["index.csv"].decode()
    assert old in text
    (cache / "index.csv").write_bytes(text.replace(old, new, 1).encode())
    with pytest.raises(UserError, match=r"index\.csv is damaged .*type the command that made it again"):
        ClipStore(cache)


def test_facts_that_are_whole_are_read(cache):
    assert set(read_meta(cache)["stages"]) and read_stats(cache) and len(read_index(cache / "index.csv"))
