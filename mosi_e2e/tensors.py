"""Files of weights and moments: written so that a full disk is reported as one, read only where they fit."""

import errno
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from preprocessing.errors import UserError
from preprocessing.untrusted.plain_text import LFS_MARK, first_line

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


class Stored(NamedTuple):
    """What a file says of one tensor."""

    shape: tuple[int, ...]
    type: str


def read_header(path: Path) -> dict[str, Stored]:
    """Names, shapes and types of a safetensors file, without its values.

    Raises:
        UserError: it is a Git LFS pointer, cut or damaged.
    """
    try:
        with path.open("rb") as file:
            is_pointer = file.read(len(LFS_MARK)) == LFS_MARK
        if is_pointer:
            raise UserError(f"{path} is a Git LFS pointer, not the weights; in its folder type: git lfs pull")
        with safe_open(path, "pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  not a dictionary
            return {name: Stored(tuple(one.get_shape()), one.get_dtype()) for name, one in parts.items()}
    except (OSError, SafetensorError) as error:
        raise say_damaged(path, error) from error


def load_tensors(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a file whose header was looked at.

    Raises:
        UserError: the file is damaged, or a value in it is not finite.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise say_damaged(path, error) from error
    broken = next((name for name, value in tensors.items() if not is_finite(value)), None)
    if broken is not None:
        raise UserError(
            f"{path} holds values that are not finite (first: {broken[:80]}), so scores made with it mean "
            "nothing; copy it again from where it came, or train again"
        )
    return tensors


def is_finite(value: Tensor) -> bool:
    """Whether no value is NaN or infinite; by the extremes: a mask costs twice the time."""
    if not value.is_floating_point() or not value.numel():
        return True
    return all(bool(edge.isfinite()) for edge in value.aminmax())


def say_damaged(path: Path, error: Exception) -> UserError:
    """The one line about a file that is not what safetensors wrote."""
    return UserError(f"{path} is damaged or cut ({first_line(error)}); copy it again from where it came")


def read_tensors(path: Path, wanted: Mapping[str, tuple[int, ...]], some: bool = False) -> dict[str, Tensor]:
    """The tensors of a file, which are those that are wanted.

    Args:
        path: safetensors file.
        wanted: names and shapes; looked at in the file's header, before anything large is read.
        some: fewer than these are allowed.

    Raises:
        UserError: the file cannot be read, holds other tensors, or a value that is not finite.
    """
    found = {name: one.shape for name, one in read_header(path).items()}
    check_shapes(path, found, wanted, some)
    return load_tensors(path, found)


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
