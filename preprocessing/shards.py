"""`python -m preprocessing.shards`: a cache → tar shards in WebDataset's format.

A cache has a file per clip and stage: for tens of thousands of clips more files than shared file systems
like. Shards are few large files. Any program that knows WebDataset reads them from front to back, this one
reads any clip at once (`cache/sharded.py`).

    DIR/
    ├── train-000000.tar ...   <key>.json, <key>.faces.safetensors, <key>.waveform.safetensors, ...
    ├── members.csv            clip_id, stage, shard, offset, bytes: where each member's content lies
    ├── meta.json, stats.json, summary.json, failures.csv      as in the cache
    ├── shards.json            format, digest of the plan, shards with clips and bytes
    └── index.csv              as in the cache; last: its presence means that all is there

`<key>` is the clip id, escaped where file systems or WebDataset would trip over it; `<key>.json` has the
clip's line of the index. Equal caches give equal bytes. Clips lie in an order that mixes videos, since a
reader from front to back can shuffle no more than it holds in memory.
"""

import hashlib
import json
import math
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from tqdm import tqdm

from preprocessing.arguments import Parser
from preprocessing.cache.checksums import DAMAGE
from preprocessing.cache.lock import hold_cache
from preprocessing.cache.sharded import MEMBERS, SHARD_FORMAT, SHARDS, is_sharded, load_member, member_key
from preprocessing.cache.store import ClipStore, StageFiles, name_beside, write_atomic, write_table
from preprocessing.errors import UserError, command
from preprocessing.settings import digest
from preprocessing.untrusted.archive import check_space

BLOCK = tarfile.BLOCKSIZE  # bytes: headers and contents begin at multiples of it
RECORD = tarfile.RECORDSIZE  # bytes: the whole file is a multiple of it
NOT_CACHED = ("failed", "refused")
COPIED = ("meta.json", "stats.json", "summary.json", "failures.csv", "remarks.csv")


@dataclass(frozen=True)
class ShardMember:
    """One file of a shard: `path` is copied, or `data` written. `stage` is empty for the clip's facts."""

    clip_id: str
    stage: str
    name: str
    size: int
    path: Path | None = None
    data: bytes = b""


@dataclass(frozen=True)
class Shard:
    """One tar file, planned to the byte.

    Attributes:
        name: file name.
        members: in order.
        offsets: of each member's content.
        size: bytes of the file.
        clips: how many there are in it.
    """

    name: str
    members: Sequence[ShardMember]
    offsets: Sequence[int]
    size: int
    clips: int


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the shards."""
    parser = Parser(
        prog="python -m preprocessing.shards",
        description="Write a cache as WebDataset tar shards per split; data.source=shards trains on them.",
        epilog="example: python -m preprocessing.shards cache/mosei --out shards/mosei --shard-mb 512",
    )
    parser.add_argument("cache", help="folder that preprocessing wrote")
    parser.add_argument("--out", type=Path, required=True, help="new folder, or one to go on with")
    parser.add_argument("--shard-mb", type=float, default=256.0, help="1 MB = 10^6 bytes; default: 256")
    args = parser.parse_args(argv)
    if not args.shard_mb > 0:
        raise UserError(
            f"--shard-mb must be above 0, but is {args.shard_mb}; type for example --shard-mb 256"
        )
    if is_sharded(args.cache):
        raise UserError(f"{args.cache} holds shards already; give the cache that they were made from")
    write_shards(ClipStore(args.cache), args.out, int(args.shard_mb * 1e6))
    return 0


def write_shards(store: ClipStore, out: Path, limit: int) -> None:
    """Write all shards that are not there yet, then the index.

    Args:
        store: the cache.
        out: folder; what an interrupted run left there is used.
        limit: bytes of a shard; only one that holds a single clip may have more.

    Raises:
        UserError: `out` holds something else, the disk is full, or the cache changes meanwhile.
    """
    shards = plan_shards(store, limit)
    facts = describe_plan(store, shards)
    with hold_cache(out):
        check_target(out, facts)
        todo = [shard for shard in shards if not is_written(out, shard)]
        total = sum(shard.size for shard in shards)
        print(f"predicted: {total / 1e9:.3f} GB in {len(shards)} shards; to write: {len(todo)}", flush=True)
        if not todo and (out / "index.csv").is_file():
            print(f"{out} is complete: nothing to do")
            return
        check_space(out, sum(shard.size for shard in todo), "for the shards")
        try:
            write_missing(store, out, todo, facts)
            write_index(store, out, shards)
        except OSError as error:
            raise UserError(
                f"{out} cannot be written ({error.strerror}): make room, type the same command again"
            ) from error
    print(f"{out}: {total / 1e9:.3f} GB, {sum(shard.clips for shard in shards)} clips")
    print(f"to train on it: data.source=shards data.cache={out}")


def plan_shards(store: ClipStore, limit: int) -> list[Shard]:
    """Which clip goes where, per split; the same cache gives the same plan."""
    shards = []
    for split in [name for name in ("train", "valid", "test") if (store.index.split == name).any()]:
        rows = store.index[store.index.split == split].to_dict("records")
        clips = [list_members(store, row) for row in rows]
        clips = sorted(filter(None, clips), key=lambda members: mix(members[0].clip_id))
        groups = list(group_clips(clips, limit))
        shards += [lay_out(f"{split}-{number:06d}.tar", group) for number, group in enumerate(groups)]
    return shards


def mix(clip_id: str) -> str:
    """Sorts clips into an order that has nothing to do with their videos."""
    return hashlib.sha256(clip_id.encode()).hexdigest()


def list_members(store: ClipStore, row: Mapping[str, Any]) -> list[ShardMember]:
    """The members of one clip (its line of the index), facts first; none where no stage has it."""
    clip_id = row["clip_id"]
    key, members = member_key(clip_id), []
    for stage in store.meta["stages"]:
        if row[stage] in NOT_CACHED:
            continue
        path = StageFiles(store.root, stage, store.recipe(stage)).path(clip_id)
        if not path.is_file():
            raise UserError(f"{path} is missing; run preprocessing again")
        members.append(ShardMember(clip_id, stage, f"{key}.{stage}.safetensors", path.stat().st_size, path))
    if not members:
        return []
    facts = {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()
    }
    data = json.dumps(facts, sort_keys=True).encode()
    return [ShardMember(clip_id, "", f"{key}.json", len(data), data=data), *members]


def group_clips(clips: Sequence[Sequence[ShardMember]], limit: int) -> Iterator[list[Sequence[ShardMember]]]:
    """Clips one after another, as many into a shard as fit."""
    group: list[Sequence[ShardMember]] = []
    size = RECORD
    for members in clips:
        more = sum(len(make_header(one)) + round_up(one.size, BLOCK) for one in members)
        if group and size + more > limit:
            yield group
            group, size = [], RECORD
        group.append(members)
        size += more
    if group:
        yield group


def lay_out(name: str, group: Sequence[Sequence[ShardMember]]) -> Shard:
    """Where everything in one shard lies."""
    members = [member for clip in group for member in clip]
    position, offsets = 0, []
    for member in members:
        offsets.append(position + len(make_header(member)))
        position = offsets[-1] + round_up(member.size, BLOCK)
    return Shard(name, members, offsets, round_up(position + 2 * BLOCK, RECORD), len(group))


def make_header(member: ShardMember) -> bytes:
    """A tar header that says nothing about when and by whom it was written."""
    info = tarfile.TarInfo(member.name)
    info.size = member.size
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")  # time, user and group are 0 by default


def round_up(size: int, unit: int) -> int:
    """The next multiple of a unit."""
    return -(-size // unit) * unit


def describe_plan(store: ClipStore, shards: Sequence[Shard]) -> dict:
    """`shards.json`; the digest changes with anything that a shard depends on."""
    members = [[m.name, m.size, m.data.decode()] for shard in shards for m in shard.members]
    recipes = {stage: store.recipe(stage) for stage in store.meta["stages"]}
    return {
        "format": SHARD_FORMAT,
        "plan": digest(SHARD_FORMAT, recipes, [shard.name for shard in shards], members),
        "shards": [{"name": shard.name, "clips": shard.clips, "bytes": shard.size} for shard in shards],
    }


def check_target(out: Path, facts: dict) -> None:
    """Refuse a folder that holds anything but the beginning of these shards."""
    if is_sharded(out):
        try:
            is_same = json.loads((out / SHARDS).read_bytes()) == facts
        except DAMAGE:
            is_same = False
        if not is_same:
            raise UserError(
                f"{out} holds shards of another cache, size or label file, or damaged ones; type another "
                "--out, or delete it"
            )
    elif any(not path.name.startswith(".") for path in out.iterdir()):
        raise UserError(f"{out} contains files other than shards; type another --out")


def is_written(out: Path, shard: Shard) -> bool:
    """A shard has its name only when it is whole."""
    path = out / shard.name
    return path.is_file() and path.stat().st_size == shard.size


def write_missing(store: ClipStore, out: Path, todo: Sequence[Shard], facts: dict) -> None:
    """Write shards, each aside and then renamed."""
    (out / "index.csv").unlink(missing_ok=True)
    write_atomic(out / SHARDS, (json.dumps(facts, indent=1) + "\n").encode())
    with tqdm(total=sum(shard.clips for shard in todo), unit="clip", desc="writing shards") as bar:
        for shard in todo:
            beside = name_beside(out / shard.name)
            try:
                write_tar(beside, shard, bar)
                beside.replace(out / shard.name)
            finally:
                beside.unlink(missing_ok=True)


def write_tar(path: Path, shard: Shard, bar: tqdm) -> None:
    """Write one shard as planned."""
    with path.open("wb") as file:
        for member, offset in zip(shard.members, shard.offsets, strict=True):
            data = member.data if member.path is None else read_member(member)
            file.write(make_header(member))
            assert file.tell() == offset
            file.write(data + b"\0" * (round_up(len(data), BLOCK) - len(data)))
            bar.update(not member.stage)
        file.write(b"\0" * (shard.size - file.tell()))


def read_member(member: ShardMember) -> bytes:
    """A clip's file of the cache, as it is copied.

    Raises:
        UserError: it changed since the shards were planned, or is damaged.
    """
    data = member.path.read_bytes()
    if len(data) != member.size:
        raise UserError(f"{member.path} changed while the shards were written; type the same command again")
    try:
        load_member(data)
    except (SafetensorError, *DAMAGE) as error:
        raise UserError(
            f"{member.path} is damaged ({error}): type the command that made the cache again, then this one"
        ) from error
    return data


def write_index(store: ClipStore, out: Path, shards: Sequence[Shard]) -> None:
    """All that is no shard, the index last."""
    rows = [
        {"clip_id": m.clip_id, "stage": m.stage, "shard": shard.name, "offset": offset, "bytes": m.size}
        for shard in shards
        for m, offset in zip(shard.members, shard.offsets, strict=True)
    ]
    write_table(out / MEMBERS, rows, ("clip_id", "stage", "shard", "offset", "bytes"))
    for name in [name for name in COPIED if (store.root / name).is_file()]:
        write_atomic(out / name, (store.root / name).read_bytes())
    write_atomic(out / "index.csv", (store.root / "index.csv").read_bytes())


if __name__ == "__main__":
    sys.exit(main())
