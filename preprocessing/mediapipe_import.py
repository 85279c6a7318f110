"""Imports mediapipe without the plotting library that it draws pictures with.

Its import loads all of matplotlib, which takes each worker process longer than everything else of mediapipe;
nothing here plots with it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def stand_in(package: str, module: str) -> Iterator[None]:
    """Let `import package.module` succeed with nothing in it, unless the package is loaded already."""
    if package in sys.modules:
        yield
        return
    names = (package, f"{package}.{module}")
    sys.modules |= {name: ModuleType(name) for name in names}
    setattr(sys.modules[package], module, sys.modules[f"{package}.{module}"])
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


with stand_in("matplotlib", "pyplot"):
    import mediapipe
    from mediapipe.tasks.python.vision import face_landmarker

__all__ = ["face_landmarker", "mediapipe"]
