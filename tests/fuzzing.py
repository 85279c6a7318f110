"""Settings of the fuzz tests: few cases in the suite, as many as `MOSI_FUZZ_CASES` says by hand."""

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from preprocessing.errors import UserError
from preprocessing.packed import open_store
from preprocessing.store import ClipStore

CASES = int(os.environ.get("MOSI_FUZZ_CASES", "100"))
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)

fuzz = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,  # the same cases each time
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
ODD = st.sampled_from(
    [
        *(None, True, 0, -1, 1e999, "", "..", "a/b", [], {}, [[]], {"recipe": "../.."}, "x" * 999),
        *(float("nan"), "é", 2**70, "\n"),
    ]
)


def cases(number: int) -> settings:
    """As `fuzz`, with fewer cases in the suite: for what costs more than a few milliseconds each."""
    return settings(fuzz, max_examples=int(os.environ.get("MOSI_FUZZ_CASES", number)))


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file with a few faults, all made of one drawn number: drawing costs more than most readers."""
    return st.binary(min_size=8, max_size=8).map(lambda seed: damage(whole, random.Random(seed)))


def damage(whole: bytes, draw: random.Random) -> bytes:
    """Faults of the kinds that disks, lines and attackers make."""
    data = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        place, length, size = draw.randrange(max(1, len(data))), draw.randint(1, 64), draw.choice((2, 4))
        kind = draw.choice(("byte", "number", "cut", "drop", "double", "swap"))
        if kind == "byte":
            data[place : place + 1] = draw.randbytes(1)
        elif kind == "number":
            data[place : place + size] = draw.choice(NUMBERS).to_bytes(4, "little")[:size]
        elif kind == "cut":
            del data[place:]
        elif kind == "drop":
            del data[place : place + length]
        elif kind == "double":
            data[place:place] = data[place : place + length]
        else:
            data[place : place + length] = data[place : place + length][::-1]
    return bytes(data)


def replace_one(data: st.DataObject, content: Any, odd: st.SearchStrategy = ODD) -> None:
    """Put something else in the place of one value of nested dictionaries and lists, at any depth."""
    while True:
        keys = list(content) if isinstance(content, dict) else range(len(content))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(content[key], dict | list) or not content[key] or data.draw(st.booleans()):
            break
        content = content[key]
    content[key] = data.draw(odd)


def use_store(path: Path, clips: bool = False) -> str:
    """Open a cache, pack or shards and ask for everything that training does; the message of a refusal.

    Args:
        path: of it.
        clips: read each array, too.
    """
    try:
        store = open_store(path)
        for stage, entry in store.meta["stages"].items():
            for key in entry["keys"]:
                if "columns" in entry["keys"][key]:
                    store.columns(stage, key)
        for key in store.stats:
            np.asarray(store.stats[key]["mean"], np.float32)
        store.index[store.index.split == "train"].label.mean()
        assert store.synthetic in (True, False)
    except UserError as error:
        return str(error)
    return read_clips(store) if clips else ""


def read_clips(store: ClipStore) -> str:
    """Read every array; the message of the first refusal."""
    said = []
    for clip_id in store.index.clip_id:
        for stage in store.meta["stages"]:
            try:
                store.read(clip_id, stage)
            except UserError as error:
                said.append(str(error))
    return next((one for one in said if "\n" in one), "") or "".join(said[:1])
