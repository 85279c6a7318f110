"""`python -m preprocessing.pack`: a cache → one file for a notebook.

The file is a pickle of dicts, lists, texts, numbers and numpy arrays. `pickle.load` reads it wherever
numpy is, without this project; `packed.open_store` reads it without trusting it.

    {"format": ..., "about": how to read it, "meta": ..., "stats": ...,
     "index": {column: list or array}, "clips": {clip_id: {stage: {key: array}}},
     "checksums": {clip_id: {stage: {key: CRC-32, see checksums.py}}}}
"""

import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from preprocessing.arguments import Parser
from preprocessing.cache.checksums import SUMS, sum_arrays
from preprocessing.cache.lock import hold_file
from preprocessing.cache.packed import PACK_FORMAT
from preprocessing.cache.store import Arrays, ClipStore, StageFiles
from preprocessing.errors import UserError, command
from preprocessing.untrusted.archive import check_space

NOT_CACHED = ("failed", "refused")
Sums = dict[str, dict[str, dict[str, int]]]  # per clip, stage and array
ABOUT = """Arrays of a preprocessed set of clips. pack["clips"][clip_id][stage][key]; times are seconds.
crop i of faces: jpeg = a["face_jpeg"][a["face_offset"][i]:a["face_offset"][i + 1]], a picture where
a["face_valid"][i]: cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB), or PIL.Image.open(io.BytesIO(jpeg)).
waveform: int16, 16000 a second, full scale 32768. Column names: pack["meta"]["stages"][stage]["keys"].
Labels and splits: pandas.DataFrame(pack["index"])."""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the pack."""
    parser = Parser(
        prog="python -m preprocessing.pack",
        description="Pack a cache into one file, if it fits below a size limit.",
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
        UserError: `out` exists or another run writes it, the disk is full, or the set does not fit.
    """
    with hold_file(out, f"the pack {out}") as beside:
        if out.exists():
            raise UserError(f"{out} is there already: delete it, or type another --out")
        stages = list_stages(store)
        predicted = predict_size(store, stages)
        refuse_larger(store, predicted, limit)
        check_space(out.parent, predicted, "for the pack")
        try:
            write_pack(beside, store, stages)
            refuse_larger(store, beside.stat().st_size, limit)
            beside.replace(out)
        except OSError as error:
            raise UserError(f"{out} cannot be written ({error.strerror}): make room, run again") from error
        print(describe_pack(out, stages, predicted))


def refuse_larger(store: ClipStore, size: int, limit: int) -> None:
    """Refuse a set that does not fit, and name the size that does."""
    if size > limit:
        raise UserError(
            f"{store.root} needs {size / 1e9:.3g} GB as one file, more than {limit / 1e9:g}: type --max-gb "
            f"{size / 1e9 * 1.03:.3g}, or preprocess into another folder with smaller or fewer crops "
            "(faces.size, faces.rate)"
        )


def describe_pack(out: Path, stages: Mapping[str, Sequence[str]], predicted: int) -> str:
    """What was written and how to read it."""
    size = out.stat().st_size
    first = next(iter(stages), "")
    return (
        f"{out}: {size / 1e9:.3f} GB, {len(stages)} clips ({100 * (predicted / size - 1):+.1f} % "
        f"predicted)\nin a notebook:   import pickle; pack = pickle.load(open({out.name!r}, 'rb'))\n"
        f"                 pack['about'], pack['clips'][{first!r}]\n"
        f"in this program: data.cache={out}"
    )


def list_stages(store: ClipStore) -> dict[str, list[str]]:
    """Per clip, the stages it has."""
    return {
        row.clip_id: [stage for stage in store.meta["stages"] if getattr(row, stage) not in NOT_CACHED]
        for row in store.index.itertuples()
    }


def predict_size(store: ClipStore, stages: Mapping[str, Sequence[str]]) -> int:
    """Bytes of the pack: a file of the cache has about as much around its arrays as a pickle has."""
    files = {stage: StageFiles(store.root, stage, store.recipe(stage)) for stage in store.meta["stages"]}
    total = sum(files[s].path(clip).stat().st_size for clip, names in stages.items() for s in names)
    return total + len(pickle.dumps(make_head(store)))


def write_pack(path: Path, store: ClipStore, stages: Mapping[str, Sequence[str]]) -> None:
    """Write the file clip by clip: what is in memory is one clip."""
    with path.open("wb") as file:
        pickler = pickle.Pickler(file, protocol=5)
        # Without this every array lives until the end, in case that it comes again as the same object.
        pickler.fast = True
        pickler.dispatch_table = {np.ndarray: reduce_array, ClipItems: ClipItems.reduce}
        sums: Sums = {}  # full when the clips are written, which is before it is written itself
        pickler.dump(make_head(store) | {"clips": ClipItems(read_clips(store, stages, sums)), SUMS: sums})


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


def make_head(store: ClipStore) -> dict[str, Any]:
    """All but the clips."""
    columns = {
        name: column.to_numpy() if column.dtype.kind in "if" else column.tolist()
        for name, column in store.index.items()
    }
    return {"format": PACK_FORMAT, "about": ABOUT, "meta": store.meta, "stats": store.stats, "index": columns}


def read_clips(
    store: ClipStore, stages: Mapping[str, Sequence[str]], sums: Sums
) -> Iterator[tuple[str, dict[str, Arrays]]]:
    """The clips' arrays as they go into the pack; their checksums go into `sums`."""
    for clip_id, names in tqdm(stages.items(), unit="clip", desc="packing"):
        clip = {stage: store.read(clip_id, stage) for stage in names}
        sums[clip_id] = {stage: sum_arrays(arrays) for stage, arrays in clip.items()}
        yield clip_id, clip


if __name__ == "__main__":
    sys.exit(main())
