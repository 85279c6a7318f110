"""What happens in the process that scores: the model is opened once, videos follow one after the other."""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from mosi_e2e.demo.limits import Limits, say_too_long, say_unreadable
from mosi_e2e.predict.files import write_csv
from mosi_e2e.predict.result import VideoResult
from preprocessing.errors import UserError
from preprocessing.media.decode import MediaError, probe

REPORT_EVERY_S = 0.2


class Model(Protocol):
    """What the page needs of `mosi_e2e.predict.predictor.Predictor`."""

    facts: Any

    def predict(self, video: Path, on_progress: Callable[[float, str], None] | None) -> VideoResult:
        """Score one video."""


Opener = Callable[[Path], Model]  # importable: it is sent to the process by name


def open_predictor(model: Path) -> Model:
    """A run folder's model."""
    # Torch comes with it, which the page itself does without.
    from mosi_e2e.predict.predictor import PredictOptions
    from mosi_e2e.ready.predictor import open_model

    predictor = open_model([model])
    predictor.choose_listener(PredictOptions())  # a missing recogniser is reported at the start
    if predictor.task == "classes":
        raise UserError(
            f"the page shows sentiment, and {model} knows classes; type: python -m mosi_e2e.predict "
            f"{model} VIDEO"
        )
    return predictor


@dataclass(frozen=True)
class Job:
    """One video to score.

    Attributes:
        open_model, model: how to open which model.
        video: the file; its folder takes all that is written on the way.
        name: what the visitor calls it.
        limits: how long it may be.
    """

    open_model: Opener
    model: Path
    video: Path
    name: str
    limits: Limits

    @property
    def progress(self) -> Path:
        """Where the process says how far it is.

        A file, because a queue shared with a process that may be ended in mid-write can stay locked.
        """
        return self.video.with_name("progress.json")


@cache
def open_once(open_model: Opener, model: Path) -> Model:
    """The model, which stays for the process's whole life."""
    import mosi_e2e.predict.page  # noqa: F401  takes seconds, too, and nobody waits yet

    return open_model(model)


def describe_model(open_model: Opener, model: Path) -> dict[str, Any]:
    """Open the model before the first visitor comes, and say what it is."""
    return {"synthetic": bool(open_once(open_model, model).facts.synthetic)}


@dataclass(frozen=True)
class Answer:
    """What comes back from the process.

    Attributes:
        result: `VideoResult.to_dict()`.
        timeline: its windows as CSV, the same as `python -m mosi_e2e.predict` writes.
        page: the page that it writes.
        people: JPEG of a frame with a box and a name around each face; None with one person.
    """

    result: dict[str, Any]
    timeline: str
    page: str
    people: bytes | None = None


def score(job: Job) -> Answer:
    """Score one video.

    Raises:
        UserError: the video is too long, or nothing can be read in it.
    """
    from mosi_e2e.predict.page import write_result_page
    from mosi_e2e.predict.people import draw_people

    tempfile.tempdir = str(job.video.parent)  # goes with the request, even if this process is ended
    report = Reporter(job.progress)
    try:
        seconds = probe(job.video).duration_s
        if seconds > 60 * job.limits.max_minutes:
            raise UserError(say_too_long(seconds, job.limits))
        report(0.0, "opening the model")
        result = open_once(job.open_model, job.model).predict(job.video, report)
    except MediaError as error:
        raise UserError(say_unreadable(str(error))) from error
    except UserError as error:  # without the name that the file has on this machine
        raise UserError(str(error).replace(str(job.video), "The video")) from error
    result = replace(result, video=job.name)
    table, page = (job.video.with_name(name) for name in ("timeline.csv", "page.html"))
    write_csv(result, table)
    write_result_page(result, page)
    people = draw_people(result) if len(result.people) > 1 else None
    return Answer(result.to_dict(), table.read_text(), page.read_text(), people)


class Reporter:
    """Writes the progress down: each new step, and not much more often than somebody reads it."""

    def __init__(self, path: Path):
        self.path, self._last, self._what = path, 0.0, ""

    def __call__(self, share: float, what: str) -> None:
        """Write down how far the work is, at most a few times a second."""
        now = time.monotonic()
        if what != self._what or now - self._last >= REPORT_EVERY_S:
            self._last, self._what = now, what
            beside = self.path.with_suffix(
                ".new"
            )  # not `write_atomic`: that would bring back a folder that went
            beside.write_text(json.dumps({"share": share, "what": what}))
            beside.replace(self.path)
