"""`python -m preprocessing.pack`: a cache → one file for a notebook.

The file is a pickle of dicts, lists, texts, numbers and numpy arrays. `pickle.load` reads it wherever
numpy is, without this project; `packed.open_store` reads it without trusting it.

    {"format": ..., "about": how to read it, "meta": ..., "stats": ...,
     "index": {column: list or array}, "clips": {clip_id: {stage: {key: array}}},
     "checksums": {clip_id: {stage: {key: CRC-32, see checksums.py}}}}
"""

import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from preprocessing.archive import check_space
from preprocessing.arguments import Parser
from preprocessing.checksums import SUMS, sum_arrays
from preprocessing.crops import LADDER, CropPlan, encode_crops, take_sample, thin_crops
from preprocessing.errors import UserError, command
from preprocessing.lock import hold_file
from preprocessing.packed import PACK_FORMAT
from preprocessing.settings import digest
from preprocessing.store import Arrays, ClipStore, StageFiles

MARGIN = 0.98  # of the limit, for what is only predicted
NOT_CACHED = ("failed", "refused")
Sums = dict[str, dict[str, dict[str, int]]]  # per clip, stage and array
ABOUT = """Arrays of a preprocessed set of clips. pack["clips"][clip_id][stage][key]; times are seconds.
crop i of faces: jpeg = a["face_jpeg"][a["face_offset"][i]:a["face_offset"][i + 1]], a picture where
a["face_valid"][i]: cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB), or PIL.Image.open(io.BytesIO(jpeg)).
waveform: int16, 16000 a second, full scale 32768. Column names: pack["meta"]["stages"][stage]["keys"].
Labels and splits: pandas.DataFrame(pack["index"])."""


class TooLarge(Exception):
    """What is being written outgrew the limit."""


@dataclass(frozen=True)
class Inventory:
    """What there is to pack.

    Attributes:
        stages: per clip, the stages it has.
        crop_bytes: [clips] of JPEG.
        crop_rows: [clips] crops, found or not.
        other_bytes: of everything else.
        sample: JPEG crops from all over the set.
    """

    stages: dict[str, list[str]]
    crop_bytes: np.ndarray
    crop_rows: np.ndarray
    other_bytes: int
    sample: list[np.ndarray]


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the pack."""
    parser = Parser(
        prog="python -m preprocessing.pack",
        description="Pack a cache into one file below a size limit; face crops are encoded again to fit.",
        epilog="example: python -m preprocessing.pack cache/mosi --out mosi.pack.pkl --max-gb 5",
    )
    parser.add_argument("cache", help="folder that preprocessing wrote")
    parser.add_argument("--out", type=Path, required=True, help="new file")
    parser.add_argument("--max-gb", type=float, default=5.0, help="1 GB = 10^9 bytes; default: 5")
    args = parser.parse_args(argv)
    if not args.max_gb > 0:
        raise UserError(f"--max-gb must be above 0, but is {args.max_gb}; type for example --max-gb 5")
    pack(ClipStore(args.cache), args.out, int(args.max_gb * 1e9))
    return 0


def pack(store: ClipStore, out: Path, limit: int) -> None:
    """Write the cache into the file `out`, which appears only when it is whole.

    Args:
        store: the cache.
        out: file that is not there yet.
        limit: bytes that it may have.

    Raises:
        UserError: `out` exists or another run writes it, the disk is full, or the set does not fit however it
            is packed.
    """
    with hold_file(out, f"the pack {out}") as beside:
        if out.exists():
            raise UserError(f"{out} is there already: delete it, or type another --out")
        write_smallest_loss(store, out, beside, limit)


def write_smallest_loss(store: ClipStore, out: Path, beside: Path, limit: int) -> None:
    """Write the pack to `beside` with the mildest plan that fits, and rename it."""
    inventory = take_inventory(store)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV lets go of the interpreter while it works
        for plan in LADDER:
            predicted = predict_size(store, inventory, plan, pool)
            if predicted > limit * (MARGIN if plan.quality else 1):
                continue
            print(f"predicted: {predicted / 1e9:.3f} GB ({describe_crops(store, plan)})")
            check_space(out.parent, predicted, "for the pack")
            try:
                write_pack(beside, store, inventory, plan, pool, limit)
                beside.replace(out)
            except TooLarge:
                print("it became larger than predicted: packing once more, with smaller crops")
                continue
            except OSError as error:
                raise UserError(
                    f"{out} cannot be written ({error.strerror}): make room, run again"
                ) from error
            print(describe_pack(out, inventory, predicted))
            return
    raise UserError(
        f"{store.root} needs at least {predicted / MARGIN / 1e9:.3g} GB with the smallest crops, more than "
        f"{limit / 1e9:g}: type --max-gb {predicted / MARGIN / 1e9 * 1.01:.3g}"
    )


def describe_pack(out: Path, inventory: Inventory, predicted: int) -> str:
    """What was written and how to read it."""
    size = out.stat().st_size
    first = next(iter(inventory.stages), "")
    return (
        f"{out}: {size / 1e9:.3f} GB, {len(inventory.stages)} clips ({100 * (predicted / size - 1):+.1f} % "
        f"predicted)\nin a notebook:   import pickle; pack = pickle.load(open({out.name!r}, 'rb'))\n"
        f"                 pack['about'], pack['clips'][{first!r}]\n"
        f"in this program: data.cache={out}"
    )


def describe_crops(store: ClipStore, plan: CropPlan) -> str:
    """What becomes of the crops, if the cache has any: one of imported features has none."""
    return plan.describe(*crop_options(store)) if "faces" in store.meta["stages"] else "no crops in it"


def crop_options(store: ClipStore) -> tuple[int, float]:
    """Side and rate of the cache's crops."""
    faces = store.meta["stages"]["faces"]
    return faces["keys"]["face_jpeg"]["size"], faces["options"]["faces"]["rate"]


def take_inventory(store: ClipStore) -> Inventory:
    """Measure the cache without reading what is large."""
    stages = {
        row.clip_id: [stage for stage in store.meta["stages"] if getattr(row, stage) not in NOT_CACHED]
        for row in store.index.itertuples()
    }
    files = {stage: StageFiles(store.root, stage, store.recipe(stage)) for stage in store.meta["stages"]}
    # A file has about as much around its arrays as a pickle has.
    total = sum(files[s].path(clip).stat().st_size for clip, names in stages.items() for s in names)
    with_faces = [clip for clip, names in stages.items() if "faces" in names]
    offsets = [store.read(clip, "faces", ["face_offset"])["face_offset"] for clip in with_faces]
    crop_bytes = np.array([offset[-1] for offset in offsets], dtype=np.int64)
    crop_rows = np.array([len(offset) - 1 for offset in offsets], dtype=np.int64)
    head = len(pickle.dumps(make_head(store, CropPlan())))
    seen = [clip for clip, size in zip(with_faces, crop_bytes, strict=True) if size]
    return Inventory(
        stages, crop_bytes, crop_rows, total + head - int(crop_bytes.sum()), take_sample(store, seen)
    )


def predict_size(store: ClipStore, inventory: Inventory, plan: CropPlan, pool: ThreadPoolExecutor) -> int:
    """Bytes of the pack."""
    kept = -(-inventory.crop_rows // plan.every) / np.maximum(inventory.crop_rows, 1)
    before = sum(map(len, inventory.sample))
    after = sum(map(len, encode_crops(inventory.sample, plan, pool)))
    ratio = after / before if before else 1.0
    return inventory.other_bytes + int(ratio * (inventory.crop_bytes * kept).sum())


def write_pack(
    path: Path,
    store: ClipStore,
    inventory: Inventory,
    plan: CropPlan,
    pool: ThreadPoolExecutor,
    limit: int,
) -> None:
    """Write the file clip by clip: what is in memory is one clip.

    Raises:
        TooLarge: it outgrew `limit`; what is written is to be thrown away.
    """
    with path.open("wb") as file:
        pickler = pickle.Pickler(file, protocol=5)
        # Without this every array lives until the end, in case that it comes again as the same object.
        pickler.fast = True
        pickler.dispatch_table = {np.ndarray: reduce_array, ClipItems: ClipItems.reduce}
        sums: Sums = {}  # full when the clips are written, which is before it is written itself
        clips = ClipItems(read_clips(store, inventory, plan, pool, file, limit, sums))
        pickler.dump(make_head(store, plan) | {"clips": clips, SUMS: sums})
        if file.tell() > limit:
            raise TooLarge


class ClipItems:
    """Pickled as a dict of the items that an iterator gives, one after another."""

    def __init__(self, items: Iterator[tuple[str, Any]]):
        self._items = items

    def reduce(self) -> tuple:
        """`dict()`, filled with the items."""
        return dict, (), None, None, self._items


def reduce_array(array: np.ndarray) -> tuple:
    """`numpy.ndarray(shape, dtype, bytearray)`: any numpy reads it, and the result can be written to.

    numpy's own pickles name modules that moved between its versions 1 and 2.
    """
    return np.ndarray, (array.shape, array.dtype.str, bytearray(array.tobytes()))


def make_head(store: ClipStore, plan: CropPlan) -> dict[str, Any]:
    """All but the clips."""
    meta = dict(store.meta)
    if plan.quality:
        faces = dict(meta["stages"]["faces"])
        keys = dict(faces["keys"])
        keys["face_jpeg"] = keys["face_jpeg"] | {"size": round(plan.scale * keys["face_jpeg"]["size"])}
        faces |= {"keys": keys, "recipe": digest(faces["recipe"], plan), "packed": asdict(plan)}
        meta["stages"] = meta["stages"] | {"faces": faces}
    columns = {
        name: column.to_numpy() if column.dtype.kind in "if" else column.tolist()
        for name, column in store.index.items()
    }
    return {"format": PACK_FORMAT, "about": ABOUT, "meta": meta, "stats": store.stats, "index": columns}


def read_clips(
    store: ClipStore,
    inventory: Inventory,
    plan: CropPlan,
    pool: ThreadPoolExecutor,
    file: BinaryIO,
    limit: int,
    sums: Sums,
) -> Iterator[tuple[str, dict[str, Arrays]]]:
    """The clips' arrays as they go into the pack; their checksums go into `sums`.

    Raises:
        TooLarge: `file` outgrew `limit`.
    """
    for clip_id, names in tqdm(inventory.stages.items(), unit="clip", desc="packing"):
        clip = {stage: store.read(clip_id, stage) for stage in names}
        if plan.quality and "faces" in clip:
            clip["faces"] = thin_crops(clip["faces"], plan, pool)
        sums[clip_id] = {stage: sum_arrays(arrays) for stage, arrays in clip.items()}
        yield clip_id, clip
        if file.tell() > limit:
            raise TooLarge


if __name__ == "__main__":
    sys.exit(main())
