"""Where uploads lie, and when they go.

    <system's temporary folder>/mosi_demo-<process>-XXXXXXXX/
    ├── incoming/    what the browser sent, until it is scored, replaced, or `KEEP_S` old
    └── requests/    one folder per request: the video, and whatever its scoring writes; gone when it ends

The whole folder goes when the page stops. What a page left that was killed goes when the next one starts.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mosi_e2e.demo.limits import SAY_GONE
from preprocessing.errors import UserError

PREFIX = "mosi_demo-"
KEEP_S = 15 * 60  # an upload that nobody has scored


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


class Uploads:
    """The uploads of all visitors.

    A visitor (a browser tab) holds one upload at most. Equal files share one place in `incoming`, because
    their folder there is named after their content, so a file goes only when nobody holds it any more.
    """

    def __init__(self, root: Path):
        self.incoming, self.requests = root / "incoming", root / "requests"
        self._held: dict[str, Path] = {}
        self._claimed: set[Path] = set()  # folders of the requests that are at work
        for folder in (self.incoming, self.requests):
            folder.mkdir(parents=True, exist_ok=True)

    def hold(self, visitor: str, path: Path | None) -> None:
        """The visitor has chosen a file, or none; the one before goes."""
        before = self._held.pop(visitor, None)
        if path is not None:
            self._held[visitor] = path
        if before is not None and before not in self._held.values():
            self._remove(before)

    @contextmanager
    def claim(self, visitor: str, path: Path) -> Iterator[Path]:
        """Take an upload out of `incoming` into a request's own folder, which goes with all that is in it.

        Yields:
            The video's new path.

        Raises:
            UserError: it is not there any more.
        """
        self._held.pop(visitor, None)
        folder = Path(tempfile.mkdtemp(dir=self.requests))
        self._claimed.add(folder)
        video = folder / f"video{path.suffix.lower()}"
        try:
            try:
                if path in self._held.values():
                    shutil.copyfile(path, video)
                else:
                    path.rename(video)
                    self._remove(path)
            except FileNotFoundError as error:
                raise UserError(SAY_GONE) from error
            yield video
        finally:
            self._claimed.remove(folder)
            shutil.rmtree(folder, ignore_errors=True)

    def count_bytes(self) -> int:
        """Size of all uploads on the disk."""
        return sum(map(_size, [*_list_files(self.incoming), *_list_files(self.requests)]))

    def sweep(self) -> None:
        """Remove what nobody will ask for.

        Uploads that nobody scored, parts of such that never ended, and what a process that was ended in
        mid-work wrote after its request's folder had gone.
        """
        latest = time.time() - KEEP_S
        for path in _list_files(self.incoming):
            if path.stat().st_mtime < latest:
                self._remove(path)
        for folder in set(self.requests.iterdir()) - self._claimed:
            shutil.rmtree(folder, ignore_errors=True)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if path.parent != self.incoming and path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


def _list_files(root: Path) -> list[Path]:
    return [Path(folder) / name for folder, _, names in os.walk(root) for name in names]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it went in the meantime
        return 0
