"""Reads a cache out of WebDataset shards (see `shards.py`).

A tar file must be read from front to back unless something says where its members lie. `members.csv` does, so
any clip is one read at a known place. Therefore training on shards sees the same clips in the same updates as
training on the cache: who reads what stays the samplers' business, and each process and loading worker reads
its own clips alone.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError
from safetensors.numpy import load

from preprocessing.cache.checksums import DAMAGE, check_arrays, check_names, parse_status, read_metadata
from preprocessing.cache.store import Arrays, ClipStore
from preprocessing.errors import UserError
from preprocessing.untrusted.names import bound_name, file_name

SHARD_FORMAT = "mosi_e2e shards 1"
SHARDS, MEMBERS = "shards.json", "members.csv"
MEMBER_TYPES = {"clip_id": str, "stage": str, "shard": str, "offset": int, "bytes": int}
Place = tuple[str, int, int]  # shard, offset and bytes
LONGEST_NAME = 255  # bytes, of a file
MOST_OPEN = 64  # files at once in each process
HOW = "python -m preprocessing.shards CACHE --out"


def member_key(clip_id: str) -> str:
    """The clip's key in the tar: all that stands before a member's first dot, so it has none itself."""
    return bound_name(file_name(clip_id).replace(".", "%2E"))


def load_member(data: bytes, keys: Sequence[str] | None = None) -> Arrays:
    """The arrays of a clip's file that is in memory; `keys` gives those alone.

    Raises:
        SafetensorError, or one of `DAMAGE`: it is not as it was stored.
    """
    arrays, (_, sums) = load(data), parse_status(read_metadata(data))
    if not keys:
        check_names(arrays, sums)
    arrays = {key: arrays[key] for key in keys or arrays}
    check_arrays(arrays, sums)
    return arrays


def is_sharded(path: str | Path) -> bool:
    """Whether a folder is a cache in shards."""
    return (Path(path) / SHARDS).is_file()


def read_sizes(root: Path) -> dict[str, int]:
    """Names and bytes of the shards, as `shards.json` has them.

    Raises:
        UserError: it is damaged or of another format.
    """
    try:
        facts = json.loads((root / SHARDS).read_bytes())
        found = facts["format"]
        sizes = {shard["name"]: shard["bytes"] for shard in facts["shards"]}
    except DAMAGE as error:
        raise damaged(root / SHARDS, error) from error
    if found != SHARD_FORMAT:
        raise UserError(
            f"{root} has the format {str(found)[:40]!r}, this program reads '{SHARD_FORMAT}'; "
            f"type: {HOW} FOLDER"
        )
    for name, size in sizes.items():
        if not is_name(name) or type(size) is not int:
            raise damaged(root / SHARDS, f"{name!r} is not the name of a shard, or has no size")
    return sizes


def read_places(path: Path, sizes: Mapping[str, int]) -> dict[tuple[str, str], Place]:
    """`members.csv`: shard, offset and bytes of each clip's stages.

    Raises:
        UserError: it is damaged, or a place is not in a shard.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=MEMBER_TYPES, keep_default_na=False, usecols=list(MEMBER_TYPES))
    except (*DAMAGE, pd.errors.ParserError) as error:
        raise damaged(path, error) from error
    room = table.shard.map(sizes).astype(float)  # NaN where there is no such shard; without any, of texts
    wrong = ~(table.offset.ge(0) & table.bytes.ge(0) & (table.bytes <= room - table.offset))
    if wrong.any():
        raise damaged(path, f"{table[wrong].iloc[0].to_dict()} is not in a shard")
    places = zip(table.shard, table.offset.tolist(), table.bytes.tolist(), strict=True)
    return dict(zip(zip(table.clip_id, table.stage, strict=True), places, strict=True))


def is_name(name: object) -> bool:
    """Whether something is the name of a file in the folder itself."""
    is_text = isinstance(name, str) and name.isprintable()
    return is_text and Path(name).name == name and len(name.encode()) <= LONGEST_NAME


def damaged(path: Path, reason: object) -> UserError:
    """The one line about a table of shards that is not as it was written."""
    text = " ".join(str(reason).split())[:160] or type(reason).__name__
    return UserError(f"{path} is damaged ({text}): get the folder again, or type: {HOW} FOLDER")


class ShardStore(ClipStore):
    """A folder of shards with the interface of the cache that it was made from.

    Args:
        root: what `python -m preprocessing.shards` wrote.

    Raises:
        UserError: not finished, of another format, or a shard is missing or cut.
    """

    def __init__(self, root: str | Path):
        root = Path(root)
        if not is_sharded(root) or not (root / "index.csv").is_file():
            raise UserError(f"{root} holds no finished shards; type: {HOW} {root}")
        sizes = read_sizes(root)
        super().__init__(root)
        for name, size in sizes.items():
            path = root / name
            if not path.is_file() or path.stat().st_size != size:
                raise UserError(f"{path} is missing or cut; copy it again, or type: {HOW} {root}")
        self._places = read_places(root / MEMBERS, sizes)
        self._open: dict[str, BinaryIO] = {}

    def __reduce__(self):
        """A loading process opens the files for itself: a shared one has one reading position for all."""
        return ShardStore, (self.root,)

    def read(self, clip_id: str, stage: str, keys: Sequence[str] | None = None) -> Arrays:
        """The arrays of one clip and stage; `keys` gives those alone."""
        if stage not in self.meta["stages"]:
            raise UserError(f"{self.root} has no stage '{stage}'; it has {', '.join(self.meta['stages'])}")
        place = self._places.get((clip_id, stage))
        if place is None:
            raise UserError(
                f"{self.root} has no {stage} of clip '{clip_id}'; make the shards again from the cache"
            )
        shard, offset, size = place
        try:
            file = self._file(shard)
            file.seek(offset)
            return load_member(file.read(size), keys)
        except (SafetensorError, *DAMAGE) as error:
            raise UserError(
                f"{self.root / shard} is damaged at {stage} of clip '{clip_id}' ({error}); delete it, type: "
                f"{HOW} {self.root}"
            ) from error

    def _file(self, shard: str) -> BinaryIO:
        """The open shard; the one that was opened first is closed when there are too many."""
        if shard not in self._open:
            while len(self._open) >= MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[shard] = (self.root / shard).open("rb")
        return self._open[shard]
