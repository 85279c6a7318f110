"""Where uploads lie, and when they go.

    <system's temporary folder>/mosi_demo-<process>-XXXXXXXX/
    ├── incoming/    one file per upload, named at random, until it is scored, replaced, or `KEEP_S` old
    └── requests/    one folder per request: the video, and whatever its scoring writes; gone when it ends

No path ever comes from a visitor: a browser knows an upload by its random name alone, which is looked up in a
table. What is not in the table does not exist, whatever it may be on the disk.

The whole folder goes when the page stops. What a page left that was killed goes when the next one starts.
"""

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import psutil

from mosi_e2e.demo.limits import SAY_DISK_FULL, SAY_GONE, SAY_OWN_SHARE, Limits
from preprocessing.errors import UserError

PREFIX = "mosi_demo-"
KEEP_S = 15 * 60  # an upload that nobody has scored, or that is still arriving
NAME_LENGTH = 100  # characters of a visitor's file name that are kept


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder for everything that is written while the page runs."""
    remove_left_over(Path(tempfile.gettempdir()))
    root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def remove_left_over(folder: Path) -> None:
    """Remove what pages left that did not end by themselves."""
    for path in folder.glob(f"{PREFIX}*-*"):
        process = path.name.removeprefix(PREFIX).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(path, ignore_errors=True)


@dataclass(eq=False)
class Upload:
    """One file from a browser.

    Attributes:
        path: where it lies; the last part is random, and the browser knows the upload by it.
        sender: the address that it came from.
        cost: bytes that it takes of the room on the disk.
        name: what the visitor calls it. It is shown, and never part of a path.
        received: bytes that have arrived.
        since: when it began, in seconds of the monotonic clock.
    """

    path: Path
    sender: str
    cost: int
    name: str = "video"
    received: int = 0
    since: float = field(default_factory=time.monotonic)

    def rename(self, name: str) -> None:
        """Take over what the visitor calls the file, with a suffix that is harmless in a path."""
        name = PurePath(name.replace("\\", "/")).name
        suffix = re.sub(r"[^a-z0-9]", "", PurePath(name).suffix.lower())[:8]
        self.name = name[:NAME_LENGTH] or "video"
        moved = self.path.with_suffix(f".{suffix}" if suffix else "")
        self.path = self.path.rename(moved)


class Uploads:
    """The uploads of all visitors: a visitor (a browser tab) holds one at most."""

    def __init__(self, root: Path, limits: Limits):
        self.incoming, self.requests, self.limits = root / "incoming", root / "requests", limits
        self._present: set[Upload] = set()  # all that take room: arriving, waiting, or being scored
        self._waiting: dict[str, Upload] = {}  # by the name that the browser knows
        self._held: dict[str, Upload] = {}  # by visitor
        self._claimed: set[Path] = set()  # folders of the requests that are at work
        for folder in (self.incoming, self.requests):
            folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def receive(self, sender: str, length: int) -> Iterator[Upload]:
        """Room for an upload that arrives; it waits to be scored once this ends without an error.

        Args:
            sender: the address that it comes from.
            length: bytes that it says it has.

        Raises:
            UserError: there is no room, or this sender has taken its share.
        """
        upload = Upload(
            self.incoming / secrets.token_hex(16), sender, max(length, self.limits.least_cost_bytes)
        )
        self._check_room(upload)
        self._present.add(upload)
        try:
            upload.path.touch()
            yield upload
        except BaseException:  # the visitor is gone, too
            self._remove(upload)
            raise
        self._waiting[upload.path.name] = upload

    def _check_room(self, upload: Upload) -> None:
        taken = upload.cost + sum(one.cost for one in self._present)
        by_sender = upload.cost + sum(one.cost for one in self._present if one.sender == upload.sender)
        if by_sender > self.limits.max_sender_bytes:
            raise UserError(SAY_OWN_SHARE)
        if taken > self.limits.max_disk_bytes:
            raise UserError(SAY_DISK_FULL)

    def find(self, name: str) -> Upload:
        """The upload of this name.

        Raises:
            UserError: there is none.
        """
        if (upload := self._waiting.get(name)) is None:
            raise UserError(SAY_GONE)
        return upload

    def hold(self, visitor: str, upload: Upload | None) -> None:
        """The visitor has chosen a file, or none; the one before goes."""
        before = self._held.pop(visitor, None)
        if upload is not None:
            self._held[visitor] = upload
        if before is not None and before not in self._held.values():
            self._remove(before)

    @contextmanager
    def claim(self, visitor: str, upload: Upload) -> Iterator[Path]:
        """Take an upload out of `incoming` into a request's own folder, which goes with all that is in it.

        Yields:
            The video's new path.

        Raises:
            UserError: it is not there any more.
        """
        self._held.pop(visitor, None)
        if self._waiting.pop(upload.path.name, None) is None:
            raise UserError(SAY_GONE)
        folder = Path(tempfile.mkdtemp(dir=self.requests))
        self._claimed.add(folder)
        try:
            try:
                video = upload.path.rename(folder / f"video{upload.path.suffix}")
            except FileNotFoundError as error:
                raise UserError(SAY_GONE) from error
            yield video
        finally:
            self._claimed.remove(folder)
            shutil.rmtree(folder, ignore_errors=True)
            self._remove(upload)

    def sweep(self) -> None:
        """Remove what nobody will ask for.

        Uploads that nobody scored, and what a process that was ended in mid-work wrote after its request's
        folder had gone.
        """
        latest = time.monotonic() - KEEP_S
        for upload in [one for one in self._waiting.values() if one.since < latest]:
            self._remove(upload)
        for visitor in [visitor for visitor, one in self._held.items() if one not in self._present]:
            del self._held[visitor]
        for folder in set(self.requests.iterdir()) - self._claimed:
            shutil.rmtree(folder, ignore_errors=True)

    def _remove(self, upload: Upload) -> None:
        """Forget an upload, and the file with it if it waits; a request has its own folder for it."""
        self._waiting.pop(upload.path.name, None)
        self._present.discard(upload)
        upload.path.unlink(missing_ok=True)
