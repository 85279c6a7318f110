"""Reads CTranslate2's `model.bin` and turns a Whisper model of it into one of transformers.

The format (CTranslate2 4, `python/ctranslate2/specs/model_spec.py`, version 6), all little-endian: version
(uint32), name of the specification, its revision (uint32), number of variables (uint32); for each variable
its name, rank (uint8), sizes (uint32 each), type (uint8), bytes (uint32) and the data; then aliases. A text
is its length with a zero at the end (uint16) and the bytes.
"""

import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from preprocessing.errors import UserError

VERSION = 6
TYPES = {0: torch.float32, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.float16, 5: torch.bfloat16}
QUERY_KEY_VALUE = ("q_proj", "k_proj", "v_proj")
# Names of CTranslate2 → names of transformers; several names share the rows of one matrix.
LAYER = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": tuple(f"self_attn.{name}" for name in QUERY_KEY_VALUE),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
OUTSIDE = {
    "conv1": "conv1",
    "conv2": "conv2",
    "layer_norm": "layer_norm",
    "embeddings": "embed_tokens",
    "position_encodings": "embed_positions",
}
ENDINGS = {"gamma": "weight", "beta": "bias", "encodings": "weight"}


def read_variables(path: Path) -> dict[str, Tensor]:
    """All variables of a `model.bin`, by name; single numbers have no dimension.

    Raises:
        UserError: it is no such file, or a damaged one.
    """
    data = memoryview(bytearray(path.read_bytes()))
    try:
        return dict(Reader(data).read())
    except (struct.error, KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is no readable CTranslate2 model ({error}): fetch it again") from error


class Reader:
    """Walks through the bytes of a `model.bin`."""

    def __init__(self, data: memoryview):
        self.data, self.place = data, 0

    def read(self):
        """Name and value of every variable, in the file's order."""
        version, _, _ = self.number("I"), self.text(), self.number("I")
        if version != VERSION:
            raise ValueError(f"version {version} instead of {VERSION}")
        for _ in range(self.number("I")):
            name = self.text()
            shape = [self.number("I") for _ in range(self.number("B"))]
            dtype, size = TYPES[self.number("B")], self.number("I")
            count = math.prod(shape)
            if size != count * dtype.itemsize or self.place + size > len(self.data):
                raise ValueError(f"{name} is not whole")
            yield (
                name,
                torch.frombuffer(self.data, dtype=dtype, count=count, offset=self.place).reshape(shape),
            )
            self.place += size

    def number(self, kind: str) -> int:
        """The next number, of a type of `struct`."""
        (value,) = struct.unpack_from(f"<{kind}", self.data, self.place)
        self.place += struct.calcsize(kind)
        return value

    def text(self) -> str:
        """The next text."""
        size = self.number("H")
        value = bytes(self.data[self.place : self.place + size]).rstrip(b"\0").decode()
        self.place += size
        return value


def rename_whisper(variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `WhisperForConditionalGeneration`, in 32 bits, from the variables of CTranslate2."""
    state = {}
    for name, value in variables.items():
        for target, part in split_variable(name, value):
            state[target] = part.float().clone()
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    return state


def split_variable(name: str, value: Tensor) -> list[tuple[str, Tensor]]:
    """Where the rows of one variable go; none for the numbers that describe the architecture."""
    side, _, rest = name.partition("/")
    place, _, ending = rest.rpartition("/")
    ending = ENDINGS.get(ending, ending)
    found = re.fullmatch(r"layer_(\d+)/(.+)", place)
    if found is None:
        known = OUTSIDE.get(place)
        return [(f"model.{side}.{known}.{ending}", value)] if known else []
    targets = LAYER[found[2]]
    parts = value.chunk(len(targets))
    return [
        (f"model.{side}.layers.{found[1]}.{target}.{ending}", part)
        for target, part in zip(targets, parts, strict=True)
        if (target.rpartition(".")[2], ending) != ("k_proj", "bias")  # Whisper's keys have none: zeros here
    ]
