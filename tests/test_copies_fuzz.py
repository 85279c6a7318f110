"""Damaged packs and shards of others: read as they are, or refused in one line.

Many cases: `make fuzz CASES=1000 TESTS=tests/test_copies_fuzz.py`.
"""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kit.fuzzing import ODD, damage, replace_one, seeded, use_store
from kit.made_cache import make_cache

from preprocessing import pack, shards

TABLES = ("shards.json", "members.csv", "meta.json", "stats.json", "index.csv")
ODD_ARRAYS = (*ODD, np.zeros(0), np.full((2, 2), np.nan), np.array(3), [np.zeros(2)], b"x")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return make_cache(tmp_path_factory.mktemp("made"), size=16, per_video=1)


@pytest.fixture(scope="module")
def make_content(cache, tmp_path_factory) -> Callable[[], dict]:
    """A pack with the arrays of two clips alone: so the rest of it is damaged often enough."""
    path = tmp_path_factory.mktemp("pack") / "a.pkl"
    assert pack.main([str(cache), "--out", str(path)]) == 0
    whole = pickle.loads(path.read_bytes())
    short = whole | {"clips": {clip: whole["clips"][clip] for clip in list(whole["clips"])[:2]}}
    stored = pickle.dumps(short)
    return lambda: pickle.loads(stored)  # a function: what fails does not print all that is in it


@pytest.fixture(scope="module")
def folder(cache, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "out"
    assert shards.main([str(cache), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def text(folder) -> Callable[[str], bytes]:
    whole = {name: (folder / name).read_bytes() for name in TABLES}
    return lambda name: whole[name]


def check_refusal(said: str, path: Path) -> None:
    assert "\n" not in said and len(said) < 1000 and (not said or str(path) in said)


def test_they_are_read_before_they_are_damaged(make_content, folder, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(make_content()))
    assert use_store(tmp_path / "a.pkl", clips=2) == use_store(folder, clips=50) == ""
    assert "has no 'tc_1'" in use_store(tmp_path / "a.pkl", clips=3)


def test_what_a_pack_lacks_is_named_in_few_words(make_content, tmp_path):
    changed = make_content()
    changed["index"]["clip_id"] = ["x" * 9999, *changed["index"]["clip_id"][1:]]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(changed))
    check_refusal(said := use_store(tmp_path / "a.pkl", clips=1), tmp_path / "a.pkl")
    assert "has no 'xxx" in said


@pytest.fixture(scope="module")
def pack_bytes(make_content) -> Callable[[int], bytes]:
    whole = {protocol: pickle.dumps(make_content(), protocol) for protocol in (2, 4, 5)}
    return lambda protocol: whole[protocol]


@seeded(20)
def test_a_damaged_pack(pack_bytes, tmp_path, draw):
    path, whole = tmp_path / "a.pkl", pack_bytes(draw.choice((2, 4, 5)))
    path.write_bytes(found := damage(whole, draw))
    check_refusal(said := use_store(path, clips=3), path)
    assert said or not (len(found) < len(whole) and whole.startswith(found))


@seeded(20)
def test_a_pack_with_odd_values(make_content, tmp_path, draw):
    changed, path = make_content(), tmp_path / "a.pkl"
    replace_one(draw, changed, ODD_ARRAYS)
    path.write_bytes(pickle.dumps(changed))
    check_refusal(use_store(path, clips=3), path)


@seeded(20)
def test_damaged_tables_of_shards(folder, text, draw):
    name = draw.choice(TABLES)
    (folder / name).write_bytes(damage(text(name), draw))
    try:
        check_refusal(use_store(folder, clips=3), folder)
    finally:
        (folder / name).write_bytes(text(name))


@seeded(20)
def test_shards_with_odd_values(folder, text, draw):
    changed = json.loads(text("shards.json"))
    replace_one(draw, changed)
    (folder / "shards.json").write_text(json.dumps(changed))
    try:
        check_refusal(use_store(folder), folder)
    finally:
        (folder / "shards.json").write_bytes(text("shards.json"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",train-000000.tar,", ",../train-000000.tar,"),
        (",train-000000.tar,", ",train-000009.tar,"),
        (",train-000000.tar,", ",train-000000.tar,-"),
        (",train-000000.tar,", ",train-000000.tar,99999999"),
        ("offset,", "place,"),
        ("-00000", "-00001"),  # of all shards
    ],
)
def test_a_place_outside_the_shards_is_damage(folder, text, old, new):
    whole = text("members.csv").decode()
    assert old in whole
    (folder / "members.csv").write_text(whole.replace(old, new, -1 if old == "-00000" else 1))
    assert "members.csv is damaged" in use_store(folder)
    (folder / "members.csv").write_bytes(text("members.csv"))


def test_a_shard_lies_in_the_folder(folder, text, tmp_path):
    (tmp_path / "secret").write_bytes(b"private")
    facts = json.loads(text("shards.json"))
    facts["shards"][0] |= {"name": str(tmp_path / "secret"), "bytes": 7}
    (folder / "shards.json").write_text(json.dumps(facts))
    assert "is not the name of a shard" in use_store(folder)
    (folder / "shards.json").write_bytes(text("shards.json"))
