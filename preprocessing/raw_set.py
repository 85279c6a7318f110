"""Finds the raw set that the setting `labels` names."""

import shutil
from pathlib import Path

from preprocessing.archive import Limits, extract_archive
from preprocessing.lock import hold


def open_raw_set(labels: str) -> Path:
    """The label file or folder; a zip is unpacked once, into the folder of its name beside it.

    >>> open_raw_set("data/mosi")
    PosixPath('data/mosi')
    """
    path = Path(labels)
    if path.suffix.lower() != ".zip" or not path.is_file():
        return path
    folder = path.with_suffix("")
    if not folder.exists():
        with hold(path.parent, f"the folder {path.parent}"):
            beside = folder.with_name(f".{folder.name}.unpacking")
            shutil.rmtree(beside, ignore_errors=True)
            extract_archive(path, beside, Limits(), "download it again")
            beside.rename(folder)
    return folder
