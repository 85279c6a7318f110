"""Reads pickles of numbers and texts without trusting them: `untrusted/array_pickle.py`, with texts.

MMSA's files hold dicts and lists of arrays, with ids and transcripts as arrays of texts or of objects that
are texts. All of that is built here; any other name that a pickle asks for is refused before it is looked up.
"""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.errors import UserError
from preprocessing.untrusted.array_pickle import (
    DAMAGE,
    PackUnpickler,
    PendingArray,
    PlainDtype,
    from_buffer,
)
from preprocessing.untrusted.plain_pickle import load_bounded

TEXT_DTYPE = re.compile(r"[<>=]?U[0-9]{1,6}", re.ASCII)
OBJECTS = "O8"


class FeatureDtype(PlainDtype):
    """The type of an array of numbers, texts, or objects that must be texts (`dtype` is None)."""

    __slots__ = ()

    def __init__(self, text: str, align: bool = False, copy: bool = False):
        if text == OBJECTS:
            self.dtype = None
        elif type(text) is str and TEXT_DTYPE.fullmatch(text):
            self.dtype = np.dtype(text)
        else:
            super().__init__(text, align, copy)

    def __setstate__(self, state):
        if self.dtype is not None and self.dtype.kind != "U":
            super().__setstate__(state)
            return
        version, order, *rest = state
        if version != 3 or order not in "<>=|" or any(part is not None for part in rest[:3]):
            raise pickle.UnpicklingError("an array of something other than numbers and texts")
        if self.dtype is not None:
            self.dtype = self.dtype.newbyteorder(order)


class PendingFeatures(PendingArray):
    """An array that a pickle fills after making it; objects are accepted where each is a text."""

    def __setstate__(self, state):
        version, shape, dtype, fortran, data = state
        if isinstance(dtype, FeatureDtype) and dtype.dtype is None:
            if type(data) is not list or not all(type(text) is str for text in data):
                raise pickle.UnpicklingError("an array of objects that are no texts")
            texts = np.array(data, dtype=str)
            dtype, data = FeatureDtype(texts.dtype.str), texts.tobytes()
        super().__setstate__((version, shape, dtype, fortran, data))


def pend_features(*args) -> PendingFeatures:
    """`_reconstruct`: empty, filled afterwards."""
    del args
    return PendingFeatures((0,), np.uint8)


def make_scalar(dtype, data) -> np.generic:
    """A single number, as numpy pickles it."""
    return from_buffer(data, dtype, (), "C")[()]


def encode_text(text, encoding) -> bytes:
    """Bytes, as the second protocol pickles them."""
    if type(text) is not str or encoding != "latin1":
        raise pickle.UnpicklingError("bytes that are no latin-1 text")
    return text.encode("latin1")


class FeatureUnpickler(PackUnpickler):
    """Builds containers and arrays of numbers or texts."""

    makers = PackUnpickler.makers | {
        ("numpy", "dtype"): FeatureDtype,
        ("numpy.core.multiarray", "_reconstruct"): pend_features,
        ("numpy.core.multiarray", "scalar"): make_scalar,
        ("_codecs", "encode"): encode_text,
    }
    holds = "features are arrays of numbers and texts"


def load_pickle(path: Path) -> Any:
    """Read a pickle of containers, numbers, texts and arrays of them.

    Raises:
        UserError: damaged, or it asks for anything else; nothing of it was run.
    """
    try:
        return load_bounded(path, FeatureUnpickler)
    except DAMAGE as error:
        text = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"{path} is no pickle of features, or damaged ({text}); fetch it again") from error
