"""`python -m preprocessing.fetch`: a data set's zip, from the net or the disk → a folder to preprocess.

data/mosi.part/     while it is under way; the same command continues
├── archive.part    bytes so far, with archive.json about the file they belong to
├── archive.zip     the whole archive
└── unpacked/       renamed to data/mosi when it is whole
data/mosi/          clips and labels; .fetched.json says where they came from
"""

import argparse
import fcntl
import json
import os
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from preprocessing.arguments import Parser
from preprocessing.cache.checksums import hash_file
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError, command, make_folder
from preprocessing.fetch.download import DownloadOptions, download
from preprocessing.fetch.download_part import explain_writing, say
from preprocessing.sets.labels import read_labels
from preprocessing.sets.layouts import detect_layout, find_label_file
from preprocessing.untrusted.archive import ArchiveLimits, extract_archive
from preprocessing.untrusted.tables import read_table

COURSE_ZIP = "http://nipg1.inf.elte.hu:8765/MOSI.zip"
MARK = ".fetched.json"
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class FetchOptions:
    """How a data set is fetched.

    Attributes:
        sha256: what the archive must hash to; empty = not checked.
        keep_zip: keep a downloaded archive, as `<out>.zip`.
        limits: what an archive may unpack to.
        patience: retries and timeouts.
    """

    sha256: str = ""
    keep_zip: bool = False
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)
    patience: DownloadOptions = field(default_factory=DownloadOptions)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 only if the set is there and its labels and clips fit together."""
    args = parse_arguments(argv)
    if args.sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", args.sha256):
        raise UserError(f"--sha256 takes 64 hexadecimal digits, but got '{args.sha256}'")
    if args.retries < 0 or min(args.timeout, args.max_files, args.max_gb, args.max_ratio) <= 0:
        raise UserError("--retries is at least 0, --timeout and the limits are above 0; see --help")
    options = FetchOptions(
        args.sha256.lower(),
        args.keep_zip,
        ArchiveLimits(args.max_files, args.max_gb, args.max_ratio),
        DownloadOptions(args.retries, args.timeout),
    )
    fetch(args.url, args.out, options)
    print(describe_set(args.out))
    return 0


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m preprocessing.fetch",
        description="Download a zip of clips and labels (going on where it broke off) and unpack it safely.",
        epilog="examples: python -m preprocessing.fetch --out data/mosi   |   "
        "python -m preprocessing.fetch --url ~/Downloads/MOSI.zip --out data/mosi",
    )
    limits, patience = ArchiveLimits(), DownloadOptions()
    parser.add_argument(
        "--url", default=COURSE_ZIP, help=f"http(s) address or a zip file; default: {COURSE_ZIP}"
    )
    parser.add_argument("--out", type=Path, default=Path("data/mosi"), help="new folder; default: data/mosi")
    parser.add_argument("--sha256", default="", help="refuse an archive with another SHA-256 hash")
    parser.add_argument("--keep-zip", action="store_true", help="keep the downloaded archive as OUT.zip")
    parser.add_argument("--retries", type=int, default=patience.retries, help=f"default: {patience.retries}")
    parser.add_argument(
        "--timeout", type=float, default=patience.timeout_s, help=f"seconds; default: {patience.timeout_s:g}"
    )
    parser.add_argument("--max-files", type=int, default=limits.files, help=f"default: {limits.files}")
    parser.add_argument(
        "--max-gb", type=float, default=limits.total_gb, help=f"unpacked; default: {limits.total_gb:g}"
    )
    parser.add_argument(
        "--max-ratio",
        type=float,
        default=limits.ratio,
        help=f"unpacked to packed; default: {limits.ratio:g}",
    )
    return parser.parse_args(argv)


def fetch(source: str, out: Path, options: FetchOptions) -> None:
    """Bring the data set of `source` into the folder `out`, which appears only when it is whole.

    Args:
        source: http or https address, `file:` address or path of a zip file.
        out: folder; if it holds this source's set already, nothing is done.
        options: checks and limits.

    Raises:
        UserError: `out` holds something else, the archive cannot be had, or it is not to be trusted.
    """
    out = out.absolute()
    local = find_local(source)
    source = str(local) if local else source
    if is_fetched(out, source, options.sha256):
        say(f"{out} is complete already: nothing to do")
        return
    work = out.with_name(f"{out.name}.part")
    with explain_writing(out), claim(work):
        archive = local or fetch_archive(source, out, work, options.patience)
        advice = "get the file again" if local else f"delete {archive} and run again"
        say(f"computing the SHA-256 of {archive}")
        sha256 = hash_file(archive)
        if options.sha256 and sha256 != options.sha256:
            raise UserError(
                f"{archive} has the SHA-256 {sha256}, not {options.sha256}: {advice}, or correct --sha256"
            )
        unpacked = work / "unpacked"
        files = extract_archive(archive, unpacked, options.limits, advice)
        mark = {"source": source, "sha256": sha256, "bytes": archive.stat().st_size, "files": files}
        write_atomic(unpacked / MARK, (json.dumps(mark, indent=1) + "\n").encode())
        if options.keep_zip and not local:
            archive.replace(out.with_name(f"{out.name}.zip"))
        unpacked.replace(out)
        for name in ("archive.zip", "archive.part", "archive.json"):
            (work / name).unlink(missing_ok=True)
    say(f"{files} files unpacked to {out} (archive SHA-256 {sha256})")


def find_local(source: str) -> Path | None:
    """The zip file that `source` names, or None for an address on the net."""
    try:
        address = urlsplit(source)
    except ValueError as error:
        raise UserError(f"'{source}' is not a valid address ({error}): correct --url") from error
    if address.scheme in ("http", "https") and address.hostname:
        return None
    path = Path(source).expanduser()
    if address.scheme == "file" and address.hostname in (None, "localhost"):
        path = Path(unquote(address.path))
    elif "://" in source:
        raise UserError(f"--url takes http, https or file addresses and paths, but got '{source}'")
    if not path.is_file():
        raise UserError(f"there is no file {path}: type --url with the path of a zip file, or its address")
    return path.absolute()


def is_fetched(out: Path, source: str, sha256: str) -> bool:
    """Whether `out` is this source's finished set.

    Raises:
        UserError: something else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / MARK).is_file():
        raise UserError(
            f"{out} is there already and was not made by this command: type another --out, or for what is "
            f"in it: python -m preprocessing labels={shlex.quote(str(out))}"
        )
    mark = read_mark(out)
    other = "source" if mark["source"] != source else "sha256" if sha256 not in ("", mark["sha256"]) else ""
    if other:
        raise UserError(
            f"{out} holds another set (its {other} is {mark[other]}): type another --out, or delete it"
        )
    return True


def read_mark(out: Path) -> dict[str, str]:
    """Where a fetched set came from: `source` and `sha256`.

    Raises:
        UserError: the note is damaged.
    """
    try:
        mark = json.loads((out / MARK).read_text())
        return {name: str(mark[name]) for name in ("source", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{out / MARK} is damaged, so nothing tells where {out} came from: type another --out, or "
            f"delete {out}"
        ) from error


@contextmanager
def claim(work: Path) -> Iterator[None]:
    """Have the folder `work` alone; of what is in it, the archive outlives a failure.

    Raises:
        UserError: another process has it.
    """
    make_folder(work)
    handle = os.open(work, os.O_RDONLY)
    with ExitStack() as stack:
        stack.callback(os.close, handle)
        lock(handle, work)
        stack.callback(tidy, work)
        shutil.rmtree(work / "unpacked", ignore_errors=True)  # of a run that was killed
        yield


def lock(handle: int, work: Path) -> None:
    """Lock an open folder for this process; the system lets go when the process ends, however it ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"another process is fetching into {work}: wait for it, then run again") from error


def tidy(work: Path) -> None:
    """Remove what is half unpacked, and the folder if no archive is in it."""
    shutil.rmtree(work / "unpacked", ignore_errors=True)
    if not any(work.iterdir()):
        work.rmdir()


def fetch_archive(url: str, out: Path, work: Path, patience: DownloadOptions) -> Path:
    """Download the archive into the work folder, and look whether it is one."""
    archive = work / "archive.zip"
    give = f"python -m preprocessing.fetch --url MOSI.zip --out {shlex.quote(str(out))}"
    advice = f"check the address, or get the file in another way and type: {give}"
    if url == COURSE_ZIP:
        advice = (
            f"this server is often down; try again later, or ask your course for the zip and type: {give}"
        )
    download(url, archive, patience, advice)
    with archive.open("rb") as file:
        start = file.read(len(ZIP_STARTS[0]))
    if start not in ZIP_STARTS:
        archive.unlink()
        raise UserError(f"{url} sent no zip archive (it begins with {start!r}): {advice}")
    return archive


def describe_set(out: Path) -> str:
    """What was fetched and what to type next.

    Raises:
        UserError: labels and clips do not fit together; preprocessing has the settings to help with.
    """
    name = shlex.quote(str(out))
    preprocess = f"python -m preprocessing --config configs/preprocess.yaml labels={name} out=cache/"
    preprocess += shlex.quote(out.absolute().name)
    try:
        table, _ = find_label_file(out.absolute())
        layout = detect_layout(read_table(table))
        entries = read_labels(out)
    except UserError as error:
        raise UserError(f"the files are in {out}, but {error}; add settings to: {preprocess}") from error
    splits = Counter(entry.split for entry in entries)
    counts = ", ".join(f"{split} {splits[split]}" for split in ("train", "valid", "test"))
    videos = len({entry.video_id for entry in entries})
    return (
        f"{out}: layout {layout} ({table.name}), {len(entries)} clips of {videos} videos ({counts})\n"
        f"next: {preprocess}"
    )


if __name__ == "__main__":
    sys.exit(main())
