"""Finds the raw set that the setting `labels` names."""

import shlex
import shutil
import tempfile
from pathlib import Path

from preprocessing.cache.lock import hold
from preprocessing.errors import UserError
from preprocessing.untrusted.archive import ArchiveLimits, extract_archive


def open_raw_set(labels: str) -> Path:
    """The label file or folder; a zip is unpacked once, into the folder of its name beside it.

    >>> open_raw_set("data/mosi")
    PosixPath('data/mosi')

    Raises:
        UserError: the zip is damaged or not to be trusted, or there is no room for its files beside it.
    """
    path = Path(labels)
    if path.suffix.lower() != ".zip" or not path.is_file():
        return path
    folder = path.with_suffix("")
    if not folder.exists():
        elsewhere = advise_elsewhere(path)
        check_writable(path, elsewhere)
        with hold(path.parent, f"the folder {path.parent}"):
            unpack_beside(path, folder, elsewhere)
    return folder


def unpack_beside(path: Path, folder: Path, elsewhere: str) -> None:
    """Unpack into a hidden folder and rename it; one that failed leaves nothing."""
    beside = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(beside, ignore_errors=True)  # of a run that was killed
    try:
        extract_archive(path, beside, ArchiveLimits(), "download it again", elsewhere)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_writable(path: Path, elsewhere: str) -> None:
    """Refuse a zip in a folder where nothing can be made."""
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be unpacked beside itself ({error.strerror}): {elsewhere}") from error


def advise_elsewhere(path: Path) -> str:
    """What to type where there is no room beside the zip."""
    url, out = shlex.quote(str(path)), shlex.quote(f"data/{path.stem}")
    unpack = f"python -m preprocessing.fetch --url {url} --out {out}"
    return f"unpack it elsewhere with: {unpack} and set labels={out}"
