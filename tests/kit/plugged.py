"""Stages and streams from a file, known to one test and to the processes that it starts."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mosi_e2e.data import streams
from preprocessing import plugins, stages


@contextmanager
def plug(path: Path, content: str) -> Iterator[None]:
    """Write the file and name it in the environment; afterwards nobody knows it."""
    path.write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(plugins.VARIABLE, str(path))
        patch.setattr(plugins, "_loaded", set())
        patch.setattr(stages, "_STAGES", dict(stages._STAGES))
        patch.setattr(streams, "_STREAMS", dict(streams._STREAMS))
        yield
    sys.modules.pop(path.stem, None)
