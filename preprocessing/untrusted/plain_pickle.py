"""Bounds what the reading of a pickle may take, before it is read."""

import pickle
import pickletools
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def load_bounded(path: Path, reader: type[pickle.Unpickler]) -> Any:
    """Read a pickle whose objects cannot have numbers far beyond how many there are.

    A pickle may number its objects, to name them again. Python keeps room for all numbers up to the highest:
    16 bytes each, so 32 GiB for ten bytes that number an object 2,147,483,647.

    Args:
        path: of the file.
        reader: builds what it knows to be harmless (`packed.PackUnpickler`).

    Raises:
        pickle.UnpicklingError, ValueError: damaged, or a number is above that of the instructions so far.
    """
    with path.open("rb") as file:
        stream = SimpleNamespace(read=file.read, readline=file.readline)  # no places, which take time
        for count, (code, number, _) in enumerate(pickletools.genops(stream)):
            if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and number > count:
                raise pickle.UnpicklingError(f"it gives object {count} the number {number}")
        file.seek(0)
        return reader(file).load()
