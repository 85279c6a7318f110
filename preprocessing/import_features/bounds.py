"""What a stranger's feature file may hold, decided from its tables of contents before an array is read.

HDF5 can name other files (external links, external storage, virtual datasets): reading it would copy a local
file into the cache. HDF5 and zip can declare far more than they hold.
"""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.cache.checksums import DAMAGE
from preprocessing.errors import UserError

MAX_ARRAY = 1 << 30  # bytes of one entry of a .csd: five hours of COVAREP
FREE = 1 << 28  # bytes; below it no ratio is judged
MAX_RATIO = 100  # unpacked to packed, of a whole file: padded features stay far below
HDF5_FILTERS = (1, 2, 3, 4, 5, 6, 32000)  # HDF5's own and lzf; any other is a plug-in
ARRAY_KINDS = "biufUS"  # truth values, numbers, texts: no objects, no fields
MAX_HEADER = 10_000  # bytes of an array's header in a .npz


@contextmanager
def one_line(path: Path, what: str) -> Iterator[None]:
    """Turn what reading a damaged file may end with into a `UserError` of one line."""
    try:
        yield
    except (*DAMAGE, RuntimeError, ArithmeticError, EOFError, zipfile.BadZipFile) as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} is no {what}, or damaged ({text}); get the file again") from error


def find_child(group: Any, name: str, path: Path) -> Any:
    """A member of an HDF5 group, or None.

    Raises:
        UserError: it is a link to something else, here or in another file.
    """
    import h5py

    link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise UserError(
            f"{path}: '{name}' is a {type(link).__name__}, and a feature file must hold its data itself: "
            "nothing was read; get a file that you can trust"
        )
    return group[name]


def find_dataset(group: Any, name: str, path: Path) -> Any:
    """A data set of an HDF5 group that holds its own data, of bounded size; None where there is none.

    Raises:
        UserError: its data lie in another file, need a plug-in, or are too large.
    """
    import h5py

    data = find_child(group, name, path)
    if not isinstance(data, h5py.Dataset):
        return None
    plan = data.id.get_create_plist()
    filters = {plan.get_filter(number)[0] for number in range(plan.get_nfilters())}
    faults = {
        "takes its data from another file": bool(data.external) or data.is_virtual,
        "needs a plug-in of HDF5 to be read": not filters <= set(HDF5_FILTERS),
        f"has more than {MAX_ARRAY >> 20} MB": max(data.nbytes, count_chunk(data)) > MAX_ARRAY,
    }
    fault = next((fault for fault, found in faults.items() if found), "")
    if fault:
        raise UserError(f"{path}: {data.name} {fault}: nothing was read; get a file that you can trust")
    return data


def count_chunk(data: Any) -> int:
    """Bytes of one chunk of an HDF5 data set, which is read as a whole."""
    return math.prod(data.chunks) * data.dtype.itemsize if data.chunks else 0


def check_ratio(path: Path, size: int) -> None:
    """Refuse a file that declares far more bytes of arrays than it has.

    Raises:
        UserError: names both sizes.
    """
    packed = path.stat().st_size
    if size > FREE and size > MAX_RATIO * packed:
        raise UserError(
            f"{path} has {packed / 1e6:.1f} MB and declares {size / 1e6:.0f} MB of arrays, more than "
            f"{MAX_RATIO} times as much: nothing was read; get a file that you can trust"
        )


def measure_archive(archive: zipfile.ZipFile, names: list[str]) -> int:
    """Bytes of the named arrays of an `.npz`, from their headers alone.

    Raises:
        ValueError: an array holds objects, or not as many bytes as its header says.
    """
    return sum(_measure_array(archive, archive.getinfo(f"{name}.npy")) for name in names)


def _measure_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is packed in an unusual way")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise ValueError(f"{info.filename} has version {version} of the format")
        shape, _, dtype = readers[version](file, max_header_size=MAX_HEADER)
        header = file.tell()
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in ARRAY_KINDS or dtype.fields is not None:
        raise ValueError(f"{info.filename} holds {dtype} instead of numbers or texts")
    if min(shape, default=0) < 0 or size != info.file_size - header:
        raise ValueError(f"{info.filename} declares {size} bytes and has {info.file_size - header}")
    return size
