"""Texts of HDF5 files, read without HDF5: it loops for ever where the heap that holds them is damaged.

A text of any length lies in a heap, and the data set holds its length, the heap's address and a number in it:

    heap     "GCOL", version 1, 3 bytes of nothing; bytes of the heap (8); then its objects
    object   number (2), count of references (2), 4 bytes of nothing; bytes (8); content, padded to 8 bytes

Source: HDF5 File Format Specification, version 3.0, section III.E (global heap).
"""

from pathlib import Path
from typing import Any

HEAD = 16  # bytes before the content of a heap, and of an object in it
MOST = 1 << 24  # bytes of a heap that are looked at


def read_text(path: Path, data: Any) -> bytes:
    """The first text of an HDF5 data set.

    Args:
        path: of the file.
        data: the data set (`h5py.Dataset`), as its table of contents describes it.

    Raises:
        ValueError: it holds no text, or the file is damaged there.
    """
    import h5py

    kind = h5py.check_string_dtype(data.dtype)
    if kind is None or not data.size:
        raise ValueError("it holds no text")
    if kind.length is not None:  # it lies in the data set itself
        return bytes(data[(0,) * data.ndim])
    if data.id.get_create_plist().get_nfilters():
        raise ValueError("its text is packed")
    with path.open("rb") as file:
        if data.chunks:
            reference = data.id.read_direct_chunk((0,) * data.ndim)[1]
        else:
            file.seek(data.id.get_offset() or 0)
            reference = file.read(HEAD)
        length, address, number = (
            int.from_bytes(reference[start:end], "little") for start, end in ((0, 4), (4, 12), (12, 16))
        )
        if address >= path.stat().st_size:
            raise ValueError("its text lies beyond the end of the file")
        file.seek(address)
        head = file.read(HEAD)
        if head[:5] != b"GCOL\x01":
            raise ValueError("its text is in no heap")
        heap = file.read(min(MOST, int.from_bytes(head[8:], "little")))
    return find_object(heap, number)[:length]


def find_object(heap: bytes, number: int) -> bytes:
    """The content of an object of a heap. Each step goes on by 16 bytes at least.

    Raises:
        ValueError: there is none.
    """
    place = 0
    while place + HEAD <= len(heap):
        found = int.from_bytes(heap[place : place + 2], "little")
        size = int.from_bytes(heap[place + 8 : place + HEAD], "little")
        place += HEAD
        if found == number:
            return heap[place : place + size]
        place += -(-size // 8) * 8
    raise ValueError("its text is not in the heap")
