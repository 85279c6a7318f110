"""Imports mediapipe without the plotting library that it draws pictures with, and keeps its log quiet.

Its import loads all of matplotlib, which takes each worker process longer than everything else of mediapipe;
nothing here plots with it.

Its native library writes five lines of information per landmarker to the process's standard error. No setting
stops that: it never reads the flags and environment variables of its logging library.
"""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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


# Information and warnings of the native library; its errors (E, F) are no noise.
NOISE = re.compile(
    rb"[IW]\d{4} [\d:.]+ +\d+ \S+\.cc:\d+\]|INFO: (Created|Initialized) TensorFlow Lite"
    rb"|WARNING: (Logging before|All log messages before)"
)
_error_output = threading.Lock()  # standard error is the process's: one at a time


@contextmanager
def leave_out_noise() -> Iterator[None]:
    """Pass on what is written to standard error meanwhile, by whatever thread, but for `NOISE`."""
    with _error_output, ExitStack() as stack:
        try:
            written = stack.enter_context(tempfile.TemporaryFile())
            kept = os.dup(2)
        except OSError:  # no room, or no standard error: the lines come, or are lost, as they would be
            yield
            return
        stack.callback(os.close, kept)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            written.seek(0)
            lines = written.read().splitlines(keepends=True)
            os.write(2, b"".join(line for line in lines if not NOISE.match(line)))


with stand_in("matplotlib", "pyplot"):
    import mediapipe
    from mediapipe.tasks.python.vision import face_landmarker

__all__ = ["face_landmarker", "leave_out_noise", "mediapipe"]
