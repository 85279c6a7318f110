"""Fuzz tests: few cases in the suite, as many as `MOSI_FUZZ_CASES` says by hand.

Files are damaged by `seeded` tests: a loop, since drawing by hypothesis costs more than most readers.
Settings and cells of tables are drawn by hypothesis, which makes what fails smaller.
"""

import functools
import inspect
import os
import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

from preprocessing.cache.packed import open_store
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError

CASES = int(os.environ.get("MOSI_FUZZ_CASES", "100"))
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)

fuzz = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,  # the same cases each time
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
ODD = (
    *(None, True, 0, -1, 0.5, 1e308, 1e999, "", "..", "a/b", [], {}, [[]], {"recipe": "../.."}, "x" * 999),
    *(float("nan"), "é", 2**70, 10**30, "\n"),
)


def seeded(number: int) -> Callable[[Callable], Callable]:
    """Call a test with `draw`, a source of random numbers, once per case: the same cases each time.

    Args:
        number: of cases in the suite; a failure notes which of them it was.
    """

    def repeat(test: Callable) -> Callable:
        @functools.wraps(test)
        def run(**fixtures) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # each would be a second line
                for hidden in (DeprecationWarning, ResourceWarning):  # not shown to users
                    warnings.simplefilter("ignore", hidden)
                for case in range(int(os.environ.get("MOSI_FUZZ_CASES", number))):
                    run_case(case, fixtures)

        def run_case(case: int, fixtures: dict[str, Any]) -> None:
            try:
                test(draw=random.Random(f"{test.__name__} {case}"), **fixtures)
            except BaseException as error:
                error.add_note(f"case {case}")
                raise

        given = inspect.signature(test).parameters
        run.__signature__ = inspect.Signature([one for name, one in given.items() if name != "draw"])
        return run

    return repeat


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


def replace_one(draw: random.Random, content: Any, odd: Sequence = ODD) -> None:
    """Put something else in the place of one value of nested dictionaries and lists, at any depth."""
    while True:
        key = draw.choice(list(content) if isinstance(content, dict) else range(len(content)))
        if not isinstance(content[key], dict | list) or not content[key] or draw.random() < 0.5:
            break
        content = content[key]
    content[key] = draw.choice(odd)


def use_store(path: Path, clips: int = 0) -> str:
    """Open a cache, pack or shards and ask for everything that training does; the message of a refusal.

    Args:
        path: of it.
        clips: how many of them are read.
    """
    try:
        store = open_store(path)
        for stage, entry in store.meta["stages"].items():
            for key in entry["keys"]:
                if "columns" in entry["keys"][key]:
                    store.columns(stage, key)
        for entry in store.stats.values():
            np.asarray(entry["mean"], np.float32)
        store.index[store.index.split == "train"].label.mean()
        assert store.synthetic in (True, False)
    except UserError as error:
        return str(error)
    return read_clips(store, clips)


def read_clips(store: ClipStore, number: int) -> str:
    """Read every array of the first clips; the message of the first refusal."""
    said = []
    for clip_id in store.index.clip_id[:number]:
        for stage in store.meta["stages"]:
            try:
                store.read(clip_id, stage)
            except UserError as error:
                said.append(str(error))
    return next((one for one in said if "\n" in one), "") or "".join(said[:1])
