"""Imports decord without what it drags in.

At its import decord 3.4 loads every library of the NVIDIA packages that PyTorch installs, for the whole
process. libnvblas among them takes over BLAS calls, and without a GPU PyTorch's convolutions then crash.
decord looks for those libraries through the package `nvidia`, so that is hidden while it is imported.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden_package(name: str) -> Iterator[None]:
    """Make `import name` fail inside the block."""
    before = sys.modules.get(name)
    sys.modules[name] = None
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


with hidden_package("nvidia"):
    import decord

__all__ = ["decord"]
