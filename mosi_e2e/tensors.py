"""Files of weights and moments: written so that a full disk is reported as one, read only where they fit."""

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from preprocessing.errors import UserError

OS_ERROR = re.compile(r"os error (\d+)")


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write aside, then rename.

    Raises:
        OSError: the disk is full or cannot be written to; safetensors has an error class of its own for it.
    """
    beside = path.with_name(f".{path.name}.tmp")
    try:
        beside.touch()
        mode = beside.stat().st_mode
        save_file({name: value.contiguous() for name, value in tensors.items()}, beside)
        beside.chmod(mode)  # safetensors lets nobody but the owner read it
        beside.replace(path)
    except SafetensorError as error:
        number = OS_ERROR.search(str(error))
        code = int(number.group(1)) if number else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def read_tensors(path: Path, wanted: Mapping[str, tuple[int, ...]], some: bool = False) -> dict[str, Tensor]:
    """The tensors of a file, which are those that are wanted.

    Args:
        path: safetensors file.
        wanted: names and shapes; looked at in the file's header, before anything large is read.
        some: fewer than these are allowed.

    Raises:
        UserError: the file cannot be read, holds other tensors, or one that is NaN or infinite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            check_shapes(path, found, wanted, some)
            tensors = {name: file.get_tensor(name) for name in found}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or missing ({error}); restore it from a copy") from error
    broken = next((n for n, v in tensors.items() if v.is_floating_point() and not v.isfinite().all()), None)
    if broken is not None:
        raise UserError(f"{path} holds values that are NaN or infinite (first: {broken}); restore a copy")
    return tensors


def check_shapes(path: Path, found: Mapping, wanted: Mapping, some: bool) -> None:
    """Refuse tensors of another model, and name the first."""
    names = sorted(found) if some else sorted(found.keys() | wanted.keys())
    odd = next((name for name in names if found.get(name) != wanted.get(name)), None)
    if odd is not None:
        shapes = [f"{list(one[odd])}" if odd in one else "nothing" for one in (found, wanted)]
        raise UserError(
            f"{path} belongs to another model (first difference: {odd} is {shapes[0]} there and {shapes[1]} "
            "here); resume the run that it was stored for, or train again with another name=NAME"
        )
