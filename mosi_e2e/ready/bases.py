"""The checkpoints that a ready model needs: are they here, and shall they be fetched?"""

import sys

from mosi_e2e.ready.folder import FAST, NAME, Ready
from mosi_e2e.weights.catalogue import CHECKPOINTS
from mosi_e2e.weights.fetch import get_checkpoint, is_here
from preprocessing.errors import UserError

TARGETS = {NAME: "make ready", FAST: "make ready-fast"}  # by the model's name
YES = ("y", "yes")


def check_bases(ready: Ready) -> None:
    """Refuse to start without the checkpoints: the message has their sizes and the command that fetches them.

    Raises:
        UserError: some are not here.
    """
    lacking = list_lacking(ready)
    if not lacking:
        return
    get = f"python -m mosi_e2e.weights get {' '.join(lacking)}"
    target = TARGETS.get(ready.name)
    raise UserError(
        f"the ready model needs {say_sizes(lacking)}, not here yet; type: "
        + (f"{target} (or {get})" if target else get)
    )


def offer_bases(ready: Ready) -> None:
    """As `check_bases`; on a terminal it asks first, and fetches the checkpoints if the answer is yes.

    Raises:
        UserError: some are not here and nobody can be asked, the answer is no, or they cannot be fetched.
    """
    lacking = list_lacking(ready)
    if lacking and is_terminal() and ask(f"The ready model needs {say_sizes(lacking)}. Fetch now? [y/N] "):
        for name in lacking:
            print(f"{name}: {get_checkpoint(name)}", file=sys.stderr)
    check_bases(ready)


def list_lacking(ready: Ready) -> list[str]:
    """Names of the checkpoints that are not here."""
    return [name for name in ready.bases if not is_here(name)]


def say_sizes(names: list[str]) -> str:
    """What has to be downloaded.

    >>> say_sizes(["whisper-base"]), say_sizes(["whisper-base", "all-mpnet-base-v2"])
    ('whisper-base (134 MB)', 'whisper-base (134 MB), all-mpnet-base-v2 (405 MB), 539 MB in all')
    """
    sizes = {name: CHECKPOINTS[name].megabytes for name in names}
    told = ", ".join(f"{name} ({size} MB)" for name, size in sizes.items())
    return told if len(sizes) == 1 else f"{told}, {sum(sizes.values())} MB in all"


def is_terminal() -> bool:
    """Whether somebody sees a question and can answer it."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> bool:
    """Whether the answer is yes. The question goes to stderr: stdout may be a file."""
    print(question, end="", file=sys.stderr, flush=True)
    try:
        return input().strip().lower() in YES
    except EOFError:
        print(file=sys.stderr)
        return False
