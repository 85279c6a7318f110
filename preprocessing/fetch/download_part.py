"""The bytes of a download so far, and what the server said about the file that they belong to."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError


@dataclass(frozen=True)
class RemoteFile:
    """What a server said about a file."""

    url: str
    total: int | None = None  # bytes
    etag: str = ""
    modified: str = ""

    def differs(self, other: "RemoteFile") -> bool:
        """Whether the two are known to be different files."""
        pairs = ((self.total, other.total), (self.etag, other.etag), (self.modified, other.modified))
        return any(a and b and a != b for a, b in pairs)


class Part:
    """The bytes of a download so far."""

    def __init__(self, target: Path, url: str):
        self.target = target
        self.path = target.with_suffix(".part")
        self._note = target.with_suffix(".json")
        self.remote = self._read_note(url)
        self.ended = False  # the server closed a body of unknown length in order

    def _read_note(self, url: str) -> RemoteFile:
        if not (self._note.is_file() and self.path.is_file()):
            return RemoteFile(url)
        try:
            remote = RemoteFile(**json.loads(self._note.read_text()))
        except (ValueError, TypeError):
            say(f"{self._note} is damaged: the download starts over")
            return RemoteFile(url)
        if remote.url != url:
            raise UserError(
                f"{self.path} belongs to another address, {remote.url}: go on with that one, "
                f"or delete {self.path} and run again"
            )
        return remote

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.ended or (self.remote.total is not None and self.size == self.remote.total)

    def start_over(self, remote: RemoteFile) -> None:
        """Forget the bytes; the note is written first, so that bytes never lie under a foreign one."""
        with explain_writing(self.path):
            self.path.unlink(missing_ok=True)
            self.remote = remote
            write_atomic(self._note, json.dumps(asdict(remote)).encode())
            self.path.touch()

    def finish(self) -> None:
        """Give the file its name."""
        with explain_writing(self.target):
            self.path.replace(self.target)
            self._note.unlink(missing_ok=True)


@contextmanager
def explain_writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong on this machine's disk into one line: no retry of the connection helps."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): make room, or type another --out; what "
            "is here is kept, the same command continues there"
        ) from error


def say(text: str) -> None:
    """What happens, for the user; results alone go to standard output."""
    print(text, file=sys.stderr)
