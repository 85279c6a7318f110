"""The one error type for what a user can mend, and the wrapper that prints it."""

import functools
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend.

    The message is one line: the rule, what was found, and what to type next.
    """


def command(main: Callable[..., int | None]) -> Callable[..., int]:
    """Turn `main` into a command: a `UserError` becomes one line on stderr and exit status 2.

    Any other exception keeps its traceback: it is a defect of the program, not of the input.
    Ctrl-C exits with 130, as shells expect.
    """

    @functools.wraps(main)
    def run(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted: run the same command again to go on", file=sys.stderr)
            return 130

    return run
