"""What a pickle may ask for: containers and arrays of plain numbers.

They are built by the functions below and not by numpy's own: those make an array of object pointers out of
any bytes that a file gives them (`numpy.ndarray(1, "O", data)`).
"""

import math
import pickle
import re
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from preprocessing.errors import UserError

PLAIN_DTYPE = re.compile(r"[<>=|]?[biufc][0-9]{1,2}", re.ASCII)  # truth values and numbers
# What a damaged pickle may end with, beside its own error.
DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    BufferError,
    RecursionError,
    ImportError,
)


class Maker:
    """A function under the name by which pickles call it; it has no state that a pickle could set."""

    __slots__ = ("_build",)

    def __init__(self, build: Callable):
        self._build = build

    def __call__(self, *args):
        """Build the object from plain values."""
        return self._build(*args)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("it sets the state of a function")


class PlainDtype:
    """The type of an array's numbers, as `numpy.dtype` is pickled."""

    __slots__ = ("dtype",)

    def __init__(self, text: str, align: bool = False, copy: bool = False):
        del align, copy
        self.dtype = plain_dtype(text)

    def __setstate__(self, state):
        version, order, *rest = state
        if (version, *rest) != (3, None, None, None, -1, -1, 0) or order not in "<>=|":
            raise pickle.UnpicklingError("an array of something other than plain numbers")
        self.dtype = plain_dtype(order + self.dtype.str[1:])


class PendingArray(np.ndarray):
    """An array that a pickle of the fourth protocol fills after making it."""

    def __setstate__(self, state):
        version, shape, dtype, fortran, data = state
        if not isinstance(dtype, PlainDtype) or type(data) is not bytes:
            raise pickle.UnpicklingError("an array of something other than plain numbers")
        super().__setstate__((version, shape, dtype.dtype, fortran, data))


def plain_dtype(text: str) -> np.dtype:
    """A dtype of truth values or numbers: no pointers, no fields."""
    if type(text) is not str or not PLAIN_DTYPE.fullmatch(text):
        raise pickle.UnpicklingError(f"an array of {str(text)[:40]!r} instead of plain numbers")
    return np.dtype(text)


def make_array(shape, text, data) -> np.ndarray:
    """`numpy.ndarray(shape, dtype, data)`, which is how packs are written: any numpy reads that."""
    return from_buffer(data, PlainDtype(text), shape, "C")


def from_buffer(data, dtype, shape, order) -> np.ndarray:
    """`_frombuffer`, which is how numpy pickles arrays in the fifth protocol."""
    if type(data) not in (bytes, bytearray) or not isinstance(dtype, PlainDtype) or type(shape) is not tuple:
        raise pickle.UnpicklingError("an array that is not made of bytes, a plain type and a shape")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise pickle.UnpicklingError("an array whose size is not that of its bytes")
    return np.ndarray(shape, dtype.dtype, data, order=order)


def pend_array(*args) -> PendingArray:
    """`_reconstruct`, which is how numpy pickles arrays in earlier protocols: empty, filled afterwards."""
    del args
    return PendingArray((0,), np.uint8)


class PackUnpickler(pickle.Unpickler):
    """Builds containers and arrays of plain numbers; every other name is refused before it is looked up.

    Attributes:
        makers: (module, name), as pickles name it → what builds it.
        holds: what such a file may hold, for the error.
    """

    makers: ClassVar[dict[tuple[str, str], Callable]] = {
        ("builtins", "dict"): dict,
        ("numpy", "ndarray"): make_array,
        ("numpy", "dtype"): PlainDtype,
        ("numpy.core.numeric", "_frombuffer"): from_buffer,
        ("numpy.core.multiarray", "_reconstruct"): pend_array,
    }
    holds = "a pack holds arrays of numbers"

    def find_class(self, module: str, name: str) -> Maker:
        """What stands in for a class that a pickle names.

        Raises:
            UserError: it may name no such class.
        """
        build = self.makers.get((module.replace("numpy._core.", "numpy.core."), name))
        if build is None:
            raise UserError(
                f"the pickle asks for {module[:60]!r} {name[:60]!r}, but {self.holds}: nothing was run; do "
                "not open this file with pickle.load, and get one that you can trust"
            )
        return Maker(build)
