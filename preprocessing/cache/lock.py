"""One writer per folder: a second run learns who is at work, and what a killed one left is cleared away.

The lock is the kernel's (`flock`, which NFS passes on to its server): it ends with the process that holds it,
however that ends, so nobody ever has to delete a lock file.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout, UnixFileLock

from preprocessing.cache.store import TEMPORARY
from preprocessing.errors import UserError, make_folder
from preprocessing.untrusted.names import bound_name

LOCK, HOLDER = ".lock", ".holder.json"


@contextmanager
def hold_cache(root: Path) -> Iterator[None]:
    """Be the only run that writes to the cache `root`, which is made if need be.

    The second run does not wait: in a batch queue it would hold its machine for hours unseen, and after the
    first has ended the same command goes on from there anyway. Files that a killed run left half written are
    removed at the start, those of stopped workers at the end. A folder in which nothing was made disappears.

    Raises:
        UserError: another run holds it, or the folder cannot be written to or locked.
    """
    with hold_made(root, f"the cache {root}"):
        remove_leftovers(root)
        try:
            yield
        finally:
            remove_leftovers(root)


@contextmanager
def hold_made(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder that is made if need be; one in which nothing was made disappears.

    Args:
        folder: the folder.
        what: its name in the error, such as `the cache cache/mosi`.

    Raises:
        UserError: another command holds it, or it cannot be made or locked.
    """
    is_new = not folder.exists()
    try:
        make_folder(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}): type out=FOLDER") from error
    try:
        with hold(folder, what):
            yield
    finally:
        if is_new:
            with suppress(OSError):  # not empty, as it should be
                folder.rmdir()


@contextmanager
def hold_file(out: Path, name: str) -> Iterator[Path]:
    """Be the only run that writes the file `out`; yields where to write it before it is renamed.

    What a killed run left there is written over, and gone at the end.

    Raises:
        UserError: another run holds it.
        OSError: its folder cannot be made.
    """
    aside = out.with_name(f".{bound_name(out.name, 255 - 6)}.part")
    make_folder(aside)
    try:
        with hold(aside, name):
            try:
                yield aside / "whole"
            finally:
                (aside / "whole").unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # another run has begun meanwhile
            aside.rmdir()


@contextmanager
def hold(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of a folder, which exists; `name` is what the message calls it.

    Raises:
        UserError: somebody else holds it, or the file system has no locks.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"{name} is being written by another run ({_describe_holder(folder)}): wait until that has ended "
            "and type the same command again"
        ) from error
    except OSError as error:
        raise UserError(
            f"{name} cannot be locked ({error.strerror}): it needs a folder that you may write to, on a file "
            "system with locks; type out=FOLDER"
        ) from error
    try:
        facts = {
            "host": platform.node(),
            "pid": os.getpid(),
            "since": f"{datetime.now():%Y-%m-%d %H:%M}",
        }
        with suppress(OSError):  # on a full disk: the lock holds without it
            (folder / HOLDER).write_text(json.dumps(facts))
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        if type(lock) is UnixFileLock:
            # While it is held: who has opened it meanwhile sees that it lost its name, and starts over.
            (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def _describe_holder(folder: Path) -> str:
    try:
        facts = json.loads((folder / HOLDER).read_text())
        return f"process {facts['pid']} on {facts['host']}, since {facts['since']}"
    except (OSError, ValueError, KeyError):
        return "it has only just begun"


def remove_leftovers(root: Path) -> None:
    """Remove the temporary files of writes that were cut off. Only for who holds the lock."""
    for folder in (root, *(root / "clips").glob("*/")):
        for path in folder.glob(".*.tmp"):
            if TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
