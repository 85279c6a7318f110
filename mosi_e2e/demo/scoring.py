"""One video at a time, in a process that may hang, die or be ended without harm to the page."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from pebble import ProcessExpired

from mosi_e2e.demo import worker
from mosi_e2e.demo.limits import SAY_BROKEN, SAY_DIED, Limits, say_late, say_line_full
from preprocessing.errors import UserError
from preprocessing.run.executor import open_pool

LOOK_EVERY_S = 0.25
LOG = logging.getLogger("mosi_e2e.demo")


@dataclass(frozen=True)
class RequestState:
    """Where a request is.

    Attributes:
        ahead: videos before it in the line; 0 when it is being scored.
        share: how much of the work is done, 0 to 1.
        what: what is being done.
        seconds: since its scoring began.
    """

    ahead: int = 0
    share: float = 0.0
    what: str = ""
    seconds: float = 0.0


class ScoringProcess:
    """The model's process, and the line before it."""

    def __init__(self, model: Path, open_model: worker.Opener, limits: Limits):
        self.model, self.open_model, self.limits = model, open_model, limits
        self._line: list[object] = []
        self._pool = open_pool(1)

    def open(self) -> Future:
        """Start the process, unless it runs, and open the model in it.

        Returns:
            What will be `worker.describe_model`'s answer, or the `UserError` that there is no model.
        """
        return self._pool.schedule(worker.describe_model, args=(self.open_model, self.model))

    def close(self) -> None:
        """End the process, whatever it does."""
        self._pool.stop()
        self._pool.join()

    async def score(self, video: Path, name: str) -> AsyncIterator[RequestState | worker.Answer]:
        """Wait in the line, then score.

        Closing the iterator gives the place up, and ends the process if it is at work on this video.

        Args:
            video: the file.
            name: what the visitor calls it.

        Yields:
            The progress several times a second; at last the answer.

        Raises:
            UserError: the line is full, the time is over, the process died, or the video is at fault.
        """
        if len(self._line) > self.limits.max_waiting:
            raise UserError(say_line_full(self.limits))
        place = object()
        self._line.append(place)
        try:
            while ahead := self._line.index(place):
                yield RequestState(ahead=ahead)
                await asyncio.sleep(LOOK_EVERY_S)
            job = worker.Job(self.open_model, self.model, video, name, self.limits)
            async with aclosing(self._run(job)) as steps:
                async for step in steps:
                    yield step
        finally:
            self._line.remove(place)

    async def _run(self, job: worker.Job) -> AsyncIterator[RequestState | worker.Answer]:
        future = self._pool.schedule(worker.score, args=(job,), timeout=self.limits.timeout)
        clock = asyncio.get_running_loop()
        start = clock.time()
        try:
            while not future.done():
                yield _read_progress(job.progress, clock.time() - start)
                await asyncio.sleep(LOOK_EVERY_S)
            if error := future.exception():
                raise self._explain(error)
            yield future.result()
        finally:
            if future.cancel() or isinstance(future.exception(), Late | ProcessExpired):
                self.open()  # the process that takes its place has no model yet

    def _explain(self, error: BaseException) -> UserError:
        """What the visitor reads; what only the operator can fix goes to the log, too."""
        if isinstance(error, UserError):
            return error
        if isinstance(error, Late):
            return UserError(say_late(self.limits))
        LOG.error("scoring a video failed", exc_info=error)
        return UserError(SAY_DIED if isinstance(error, ProcessExpired) else SAY_BROKEN)


def _read_progress(path: Path, seconds: float) -> RequestState:
    if not path.is_file():
        return RequestState(what="starting", seconds=seconds)
    return RequestState(seconds=seconds, **json.loads(path.read_text()))
