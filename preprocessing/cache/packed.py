"""A cache in one file (see `pack.py`), read without trusting the file.

A pickle is a program: its author decides what the reader's machine runs. Here it can ask for nothing but
arrays of plain numbers (`preprocessing.untrusted.array_pickle`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from preprocessing.cache.checksums import SUMS, check_arrays
from preprocessing.cache.facts import find_meta_problem, find_problem, find_stats_problem
from preprocessing.cache.sharded import ShardStore, is_sharded
from preprocessing.cache.store import FORMAT_VERSION, Arrays, ClipStore
from preprocessing.errors import UserError
from preprocessing.untrusted.array_pickle import DAMAGE, PackUnpickler
from preprocessing.untrusted.plain_pickle import load_bounded
from preprocessing.untrusted.tables import shorten

if TYPE_CHECKING:
    import pandas as pd

PACK_FORMAT = "mosi_e2e pack 1"
PARTS = {"about": str, "meta": dict, "stats": dict, "index": dict, "clips": dict, SUMS: dict}
MOST_VALUES = 1_000_000  # in the facts of a pack: those of 25,000 clips have about 100,000


def open_store(path: str | Path, source: str = "") -> ClipStore:
    """Open a cache folder, a pack of one, or shards of one.

    Args:
        path: of it.
        source: what it must be: `cache` (a pack is one, too) or `shards`; empty takes either.

    Raises:
        UserError: none of them, of another format, or not what `source` says.
    """
    found = "shards" if is_sharded(path) else "cache"
    if source not in ("", "cache", "shards"):
        raise UserError(f"data.source is cache or shards, but got '{source}'; type data.source={found}")
    if source == "shards" or (found == "shards" and not source):
        return ShardStore(path)
    if found == "shards":
        raise UserError(f"{path} holds shards, not a cache; type data.source=shards")
    return PackedStore(path) if Path(path).is_file() else ClipStore(path)


class PackedStore(ClipStore):
    """A pack with the interface of the cache that it was made from; all of it is in memory.

    Args:
        root: the pack file.

    Raises:
        UserError: no pack, damaged, of another format, or it asks for more than arrays.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        pack = load_pack(self.root)
        self.meta, self._stats = pack["meta"], pack["stats"]
        self.index = read_index(self.root, pack["index"], self.meta["stages"])
        self._clips = pack["clips"]
        self._sums = pack.get(SUMS)

    def __reduce__(self):
        """A loading process that cannot share this one's memory reads the file, not a copy through a pipe."""
        return PackedStore, (self.root,)

    def read(self, clip_id: str, stage: str, keys: Sequence[str] | None = None) -> Arrays:
        """The arrays of one clip and stage, as copies; `keys` gives those alone."""
        try:
            arrays = self._clips[clip_id][stage]
            arrays = {key: np.array(arrays[key]) for key in (keys or arrays)}
            check_arrays(arrays, None if self._sums is None else self._sums[clip_id][stage])
            return arrays
        except KeyError as error:
            raise UserError(
                f"{self.root} has no {shorten(str(error.args[0]))} of clip {shorten(clip_id)}, "
                f"stage '{stage}'; pack the cache again"
            ) from error
        except DAMAGE as error:
            raise UserError(
                f"{self.root} is damaged at {stage} of clip {shorten(clip_id)} ({error}); pack again: {HOW}"
            ) from error

    @property
    def stats(self) -> dict[str, dict[str, list[float]]]:
        """As of `ClipStore`."""
        return self._stats


def load_pack(path: Path) -> dict[str, Any]:
    """Read a pack file.

    Raises:
        UserError: see `PackedStore`.
    """
    try:
        pack = load_bounded(path, PackUnpickler)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except DAMAGE as error:
        text = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"{path} is no pack, or damaged ({text}); make it with: {HOW}") from error
    check_pack(path, pack)
    return pack


HOW = "python -m preprocessing.pack CACHE --out mosi.pack.pkl"


def check_pack(path: Path, pack: Any) -> None:
    """Refuse anything of another shape than `pack.py` writes."""
    kind = pack.get("format") if isinstance(pack, dict) else None
    if not isinstance(kind, str) or not kind.startswith("mosi_e2e pack"):
        raise UserError(f"{path} is a pickle, but no pack; make one with: {HOW}")
    if kind != PACK_FORMAT:
        raise wrong_format(path, kind, FORMAT_VERSION)
    if problem := find_pack_problem(pack):
        raise UserError(f"{path} is damaged ({problem}); pack again: {HOW}")
    if pack["meta"]["format"] != FORMAT_VERSION:
        raise wrong_format(path, kind, pack["meta"]["format"])


def wrong_format(path: Path, kind: str, version: int) -> UserError:
    """The one line about a pack that another version of this program wrote."""
    return UserError(
        f"{path} has the format {kind[:40]!r} of cache format {version}, this program reads "
        f"'{PACK_FORMAT}' of {FORMAT_VERSION}; pack a cache again with: {HOW}"
    )


def find_pack_problem(pack: dict[str, Any]) -> str:
    """What is wrong with the content of a pack, but for its index; empty if nothing is."""
    for name, kind in PARTS.items():
        if not isinstance(pack.get(name), kind) and (name != SUMS or name in pack):
            return f"its {name} is not as it should be"
    for name in ("meta", "stats"):
        if not is_plain(pack[name]):
            return f"its {name} holds more than texts and numbers"
    odd = [clip_id for clip_id, stages in pack["clips"].items() if not is_clip(stages)]
    if odd:
        return f"clip {odd[0]!r:.60} is not as it should be"
    return find_meta_problem(pack["meta"]) or find_stats_problem(pack["stats"])


def is_plain(value: Any) -> bool:
    """Whether something is what JSON can hold; a list that is in itself, or many times in others, is not."""
    todo = [value]
    for _ in range(MOST_VALUES):
        if not todo:
            return True
        one = todo.pop()
        if isinstance(one, dict):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            todo += one
        elif type(one) not in (str, int, float, bool, NoneType):
            return False
    return False


def read_index(path: Path, columns: dict[str, Any], stages: Iterable[str]) -> "pd.DataFrame":
    """The index as a table, checked as that of a cache is."""
    import pandas as pd

    try:
        table = pd.DataFrame(columns)
        lacking = [stage for stage in stages if stage not in table]
        problem = find_problem(table) or (f"it has no column {lacking[0]}" if lacking else "")
    except DAMAGE as error:
        problem = f"it is no table: {' '.join(str(error).split())[:160]}"
    if problem:
        raise UserError(f"{path} is damaged (its index: {problem}); pack again: {HOW}")
    return table


def is_clip(stages: Any) -> bool:
    """Whether something is `{stage: {key: array}}`."""
    return isinstance(stages, dict) and all(
        isinstance(arrays, dict) and all(isinstance(array, np.ndarray) for array in arrays.values())
        for arrays in stages.values()
    )
