"""Settings of the fuzz tests: few cases in the suite, as many as `MOSI_FUZZ_CASES` says by hand."""

import os

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


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with a few faults of the kinds that disks, lines and attackers make."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1)) if data else 0
        kind = draw(st.sampled_from(("byte", "number", "cut", "drop", "double", "swap")))
        length = draw(st.integers(1, 64))
        if kind == "byte":
            data[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "number":
            size = draw(st.sampled_from((2, 4)))
            data[place : place + size] = draw(st.sampled_from(NUMBERS)).to_bytes(4, "little")[:size]
        elif kind == "cut":
            del data[place:]
        elif kind == "drop":
            del data[place : place + length]
        elif kind == "double":
            data[place:place] = data[place : place + length]
        else:
            data[place : place + length] = data[place : place + length][::-1]
    return bytes(data)
