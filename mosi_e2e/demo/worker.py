"""What happens in the process that scores: the model is opened once, videos follow one after the other."""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from mosi_e2e.demo.limits import Limits, say_too_long
from preprocessing.decode import MediaError, probe
from preprocessing.errors import UserError
from preprocessing.store import write_atomic

REPORT_EVERY_S = 0.2


class Model(Protocol):
    """What the page needs of `mosi_e2e.predict.predictor.Predictor`."""

    facts: Any

    def predict(self, video: Path, on_progress: Callable[[float, str], None] | None) -> Any: ...


Opener = Callable[[Path], Model]  # importable: it is sent to the process by name


@dataclass(frozen=True)
class Job:
    """One video to score.

    Attributes:
        open_model, model: how to open which model.
        video: the file; its folder takes all that is written on the way.
        limits: how long it may be.
    """

    open_model: Opener
    model: Path
    video: Path
    limits: Limits

    @property
    def progress(self) -> Path:
        """Where the process says how far it is: a file, because a queue shared with a process that may be
        ended in mid-write can stay locked.
        """
        return self.video.with_name("progress.json")


@cache
def open_once(open_model: Opener, model: Path) -> Model:
    """The model, which stays for the process's whole life."""
    return open_model(model)


def describe_model(open_model: Opener, model: Path) -> dict[str, Any]:
    """Open the model before the first visitor comes, and say what it is."""
    return {"synthetic": bool(open_once(open_model, model).facts.synthetic)}


def score(job: Job) -> dict[str, Any]:
    """Score one video.

    Returns:
        `VideoResult.to_dict()`.

    Raises:
        UserError: the video is too long, or nothing can be read in it.
    """
    tempfile.tempdir = str(job.video.parent)  # goes with the request, even if this process is ended
    try:
        info = probe(job.video)
        if info.duration_s > 60 * job.limits.max_minutes:
            raise UserError(say_too_long(info.duration_s, job.limits))
        report = Reporter(job.progress)
        report(0.0, "opening the model")
        return open_once(job.open_model, job.model).predict(job.video, report).to_dict()
    except MediaError as error:
        raise UserError(
            f"This file cannot be scored: {error}. Save it as MP4 (H.264 and AAC) and try that."
        ) from error


class Reporter:
    """Writes the progress down, not more often than somebody reads it."""

    def __init__(self, path: Path):
        self.path, self._last = path, 0.0

    def __call__(self, share: float, what: str) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_EVERY_S:
            self._last = now
            write_atomic(self.path, json.dumps({"share": share, "what": what}).encode())
