"""Checksums of stored arrays: a flipped bit is an error that names its clip, and no data.

They lie with the arrays: in the status of a clip's file (`store.py`), which shards copy, and in a pack. What
was stored by versions before them has none, and opens unchecked.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SUMS = "checksums"  # entry of a clip's status
STATUS = ""  # its entry that is of the status itself; the others are called as their arrays
HEADER_LENGTH = 8  # bytes before the header of a safetensors file: its length
# What reading a damaged file may end with, beside the error of its format.
DAMAGE = (OSError, ValueError, TypeError, LookupError, AttributeError, MemoryError, RecursionError)


class Damaged(ValueError):
    """Something is not as it was stored; the message says what."""


def sum_array(key: str, array: np.ndarray) -> int:
    """CRC-32 of an array's name, type, shape and bytes."""
    head = f"{key} {array.dtype.name} {array.shape}".encode()
    return zlib.crc32(np.ascontiguousarray(array), zlib.crc32(head))


def sum_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Each array's checksum."""
    return {key: sum_array(key, array) for key, array in arrays.items()}


def format_status(status: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """The status of a clip as text, with the checksums of itself and of the arrays."""
    sums = {STATUS: _sum_status(status), **sum_arrays(arrays)}
    return json.dumps({**status, SUMS: sums}, sort_keys=True)


def parse_status(metadata: Any) -> tuple[dict[str, Any], dict[str, int] | None]:
    """A clip file's status and its arrays' checksums (None where it has none).

    Raises:
        Damaged: the status is not as it was stored, or is none.
    """
    status = json.loads(metadata["status"])
    if not isinstance(status, dict) or not isinstance(status.get("state"), str):
        raise Damaged("its status is none")
    sums = status.pop(SUMS, None)
    if sums is None and not any(isinstance(value, dict) for value in status.values()):
        return status, None
    # A status is flat but for the checksums: any other table in it is one whose name was damaged.
    if not isinstance(sums, dict) or sums.pop(STATUS, None) != _sum_status(status):
        raise Damaged("the checksum of its status is wrong")
    return status, sums


def check_arrays(arrays: Mapping[str, np.ndarray], sums: Mapping[str, int] | None) -> None:
    """Compare arrays with their checksums.

    Raises:
        Damaged: names the first that is not as it was stored.
    """
    for key in arrays if sums is not None else ():
        if sums.get(key) != sum_array(key, arrays[key]):
            raise Damaged(f"the checksum of {key} is wrong")


def check_names(names: Mapping[str, Any], sums: Mapping[str, int] | None) -> None:
    """Refuse a file that has other arrays than were stored."""
    if sums is not None and set(names) != set(sums):
        raise Damaged("it has other arrays than were stored")


def read_metadata(data: bytes) -> Any:
    """The metadata of a safetensors file that is in memory."""
    size = int.from_bytes(data[:HEADER_LENGTH], "little")
    return json.loads(data[HEADER_LENGTH : HEADER_LENGTH + size])["__metadata__"]


def _sum_status(status: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(status, sort_keys=True).encode())


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
