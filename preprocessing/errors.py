"""The one error type for what a user can fix, and the wrapper that prints it."""

import errno
import functools
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

NO_TEXT = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines


class UserError(Exception):
    r"""Something the user can fix.

    The message is one line: the rule, what was found, and what to type next. Names of others may be in it,
    so ends of lines and what steers a terminal are shown as escapes.

    >>> print(UserError("there is no clip 'a\n\x1b[2J'"))
    there is no clip 'a\n\x1b[2J'
    """

    def __str__(self) -> str:
        return "".join(
            repr(letter)[1:-1] if unicodedata.category(letter) in NO_TEXT else letter
            for letter in super().__str__()
        )


# What no other file would fare better with: no space, no quota, a limit on file sizes, a read-only disk.
DISK_ERRORS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS))
REFUSED = frozenset((errno.EACCES, errno.EPERM))
TAKEN = frozenset((errno.EEXIST, errno.ENOTDIR, errno.EISDIR))  # something else has the place


def explain_disk(error: OSError) -> str:
    """One line about a disk that takes no more, or a folder that one may not use; empty for other errors."""
    place = error.filename or "a file"
    if error.errno in DISK_ERRORS:
        advice = "make room, or choose a folder that can be written to"
        return f"{place} cannot be written ({error.strerror}): {advice}, then type the same command again"
    if error.errno in REFUSED:
        return f"{place} cannot be used ({error.strerror}): choose a folder that you may read and write"
    if error.errno in TAKEN:
        return f"{place} cannot be written ({error.strerror}): name another place"
    return ""


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if need be.

    Raises:
        OSError: it cannot be made; `NotADirectoryError` where there are no folders to make, as in `/proc`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise NotADirectoryError(errno.ENOTDIR, "no folder can be made there", str(path)) from error


def command(main: Callable[..., int | None]) -> Callable[..., int]:
    """Turn `main` into a command: a `UserError` becomes one line on stderr and exit status 2.

    So does a full disk, or a place that cannot be used, wherever it is met. Any other exception keeps its
    traceback: it is a defect of the program, not of the input.
    Ctrl-C exits with 130, as shells expect.
    """

    @functools.wraps(main)
    def run(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            said = explain_disk(error)
            if not said:
                raise
            print(f"error: {UserError(said)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted: run the same command again to go on", file=sys.stderr)
            return 130

    return run
