"""Settings of the fuzz tests: few cases in the suite, as many as `MOSI_FUZZ_CASES` says by hand."""

import os
import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CASES = int(os.environ.get("MOSI_FUZZ_CASES", "100"))
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)

fuzz = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,  # the same cases each time
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file with a few faults, all made of one drawn number: drawing costs more than most readers."""
    return st.binary(min_size=8, max_size=8).map(lambda seed: damage(whole, random.Random(seed)))


def damage(whole: bytes, draw: random.Random) -> bytes:
    """Faults of the kinds that disks, lines and attackers make."""
    data = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        place, length, size = draw.randrange(max(1, len(data))), draw.randint(1, 64), draw.choice((2, 4))
        kind = draw.choice(("byte", "number", "cut", "drop", "double", "swap"))
        if kind == "byte":
            data[place : place + 1] = draw.randbytes(1)
        elif kind == "number":
            data[place : place + size] = draw.choice(NUMBERS).to_bytes(4, "little")[:size]
        elif kind == "cut":
            del data[place:]
        elif kind == "drop":
            del data[place : place + length]
        elif kind == "double":
            data[place:place] = data[place : place + length]
        else:
            data[place : place + length] = data[place : place + length][::-1]
    return bytes(data)
