"""Pretrained checkpoints on this machine: where they are kept, which one is meant, whether it is whole."""

import os
import tempfile
from functools import cache
from pathlib import Path
from pickle import UnpicklingError

from safetensors import SafetensorError

from preprocessing.cache.checksums import hash_file
from preprocessing.errors import UserError
from preprocessing.pretrained.hub_access import check_reachable
from preprocessing.settings import digest
from preprocessing.untrusted.plain_text import LFS_MARK

PLACE = "MOSI_WEIGHTS"  # environment variable
# What timm, transformers and torch raise on damaged or foreign files.
LIBRARY_ERRORS = (
    *(AssertionError, AttributeError, EOFError, IndexError, KeyError, OSError, RuntimeError),
    *(SafetensorError, TypeError, UnpicklingError, ValueError),
)
CHECKPOINT_FILES = ("*.safetensors", "*.bin", "*.pth", "*.pt", "*.json")
OWNERS = {"whisper-": "openai/"}  # on the hub, of names that `mosi weights` knows without them


def weights_folder() -> Path:
    """Where checkpoints are kept: `$MOSI_WEIGHTS`, else `~/.cache/mosi_e2e/weights`."""
    if PLACE in os.environ:
        return Path(os.environ[PLACE]).expanduser()
    try:
        return Path.home() / ".cache" / "mosi_e2e" / "weights"
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir()) / "mosi_e2e" / "weights"


def find_checkpoint(name: str) -> str:
    """What `from_pretrained` takes: a folder, one of `mosi weights` by its name, or a name on the hub."""
    if Path(name).is_dir():
        return name
    kept = weights_folder() / name
    if kept.is_dir():
        return str(kept)
    owner = next((owner for start, owner in OWNERS.items() if name.startswith(start)), "")
    return f"{owner}{name}"


def check_checkpoint(setting: str, name: str, instead: str = "") -> None:
    """Find out before it is needed whether a checkpoint can be opened.

    Args:
        setting: that names it, such as `words.model`.
        name: as `find_checkpoint` takes it.
        instead: what to type for a copy of it; default `SETTING=FOLDER`.

    Raises:
        UserError: there is no such folder, or the hub would have to be asked and does not answer.
    """
    found = find_checkpoint(name)
    if Path(found).is_dir():
        check_pointers(Path(found))
    elif found.count("/") > 1 or Path(found).is_absolute() or found.startswith("."):
        raise UserError(f"{setting} is a folder or a name on the hub, but there is no folder {name}")
    else:
        check_reachable(instead or f"{setting}=FOLDER", found, ("config.json",))


def check_pointers(path: Path) -> None:
    """Refuse Git LFS pointers in place of files.

    Args:
        path: a checkpoint's folder, or one file of weights.

    Raises:
        UserError: says what fetches the files.
    """
    files = (
        [path] if path.is_file() else [one for form in CHECKPOINT_FILES for one in sorted(path.glob(form))]
    )
    for file in files:
        with file.open("rb") as content:
            if content.read(len(LFS_MARK)) == LFS_MARK:
                raise UserError(
                    f"{file} is a Git LFS pointer, not the file itself; fetch it, then run this again: "
                    f"git -C {file.parent} lfs install && git -C {file.parent} lfs pull"
                )


def name_checkpoint(name: str) -> str:
    """A checkpoint's name without the place where it lies: that belongs to a machine."""
    path = Path(name)
    return path.resolve().name if path.is_dir() or path.is_absolute() else name


def print_checkpoint(name: str) -> str:
    """Eight hex digits over a folder's files; empty for a name on the hub."""
    found = Path(find_checkpoint(name))
    if not found.is_dir():
        return ""
    files = sorted(one for form in ("*.safetensors", "*.json") for one in found.glob(form))
    return digest([[one.name, _hash_once(one, one.stat().st_mtime_ns)] for one in files])


@cache
def _hash_once(path: Path, changed_ns: int) -> str:
    del changed_ns  # another file since: another key
    return hash_file(path)
