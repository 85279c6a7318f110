"""Damaged meta.json, stats.json, index.csv and clip files: read as they are, or refused in one line.

Many cases: `make fuzz CASES=1000 TESTS=tests/test_facts_fuzz.py`.
"""

import json
from pathlib import Path

import pytest
from kit.fuzzing import damage, replace_one, seeded, use_store
from kit.made_cache import make_cache

from preprocessing.cache.facts import read_index, read_meta, read_stats
from preprocessing.cache.store import ClipStore, StageFiles
from preprocessing.errors import UserError


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return make_cache(tmp_path_factory.mktemp("made"), size=16, per_video=2)


@pytest.fixture(scope="module")
def texts(cache) -> dict[str, bytes]:
    return {name: (cache / name).read_bytes() for name in ("meta.json", "stats.json", "index.csv")}


@pytest.fixture(autouse=True)
def _whole_again(cache, texts):
    yield
    for name, text in texts.items():
        (cache / name).write_bytes(text)


@seeded(100)
def test_damaged_facts(cache, texts, draw):
    name = draw.choice(sorted(texts))
    (cache / name).write_bytes(damage(texts[name], draw))
    said = use_store(cache)
    (cache / name).write_bytes(texts[name])
    assert "\n" not in said and (not said or str(cache) in said)


@seeded(100)
def test_json_with_odd_values(cache, texts, draw):
    """One value of the file, at any depth, is something else."""
    name = draw.choice(["meta.json", "stats.json"])
    content = json.loads(texts[name])
    replace_one(draw, content)
    (cache / name).write_text(json.dumps(content))
    said = use_store(cache)
    (cache / name).write_bytes(texts[name])
    assert "\n" not in said


@pytest.fixture(scope="module")
def clip_file(cache) -> tuple[StageFiles, str, bytes, dict]:
    """A stage's files, one clip of it, the bytes and the arrays of this clip."""
    store = ClipStore(cache)
    files, clip_id = StageFiles(cache, "behaviour", store.recipe("behaviour")), store.index.clip_id[0]
    return files, clip_id, files.path(clip_id).read_bytes(), files.read(clip_id)


@seeded(100)
def test_damaged_clip_files(clip_file, draw):
    files, clip_id, whole, expected = clip_file
    files.path(clip_id).write_bytes(damage(whole, draw))
    checked = files.check(clip_id)  # what preprocessing asks
    try:
        found, said = files.read(clip_id), clip_id
    except UserError as error:
        found, said = expected, str(error)
    finally:
        files.path(clip_id).write_bytes(whole)
    assert all(found[key].tobytes() == expected[key].tobytes() for key in expected)
    assert "\n" not in said and clip_id in said
    assert (checked is None) == (said != clip_id)


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
