"""Unpacks a zip archive from anywhere without trusting it.

Everything is decided from the table of contents before the first byte is written: names stay below the
target folder, nothing is a link or a device, no two entries are one file on any file system, and count,
size and compression ratio have limits (zip bombs). What is then written are plain files with new
permissions; a checksum that does not fit stops it.
"""

import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from preprocessing.errors import UserError

CHUNK = 1 << 20  # bytes
SMALL = 1 << 20  # bytes; below it no ratio is judged: an empty table shrinks a thousandfold and harms nobody
LOCAL_HEADER = 30  # bytes before an entry's data at least
MAX_NAME = 255  # bytes of one part of a path, on the usual file systems
# What Python's reader raises of damaged archives; `ValueError` covers text that does not decode.
DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    ValueError,
    OverflowError,
)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what every zip program writes by default
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flag bits: entry, strong, hidden table of contents
# What macOS and Windows put beside a user's files, a folder's icon among them; it is not unpacked.
JUNK = ("__MACOSX", ".DS_Store", "Icon\r", "Thumbs.db", "desktop.ini")
PKWARE_UNIX, ASI_UNIX = 0x000D, 0x756E  # extra fields that can name a link's target or a device


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may unpack to.

    Attributes:
        files: entries.
        total_gb: of all entries together, 1 GB = 10^9 bytes.
        ratio: unpacked / packed size of an entry, and of the whole; clips are compressed already, and
            what shrinks a hundredfold is a bomb or digital silence.
    """

    files: int = 100_000
    total_gb: float = 60.0
    ratio: float = 100.0


@dataclass(frozen=True)
class ZipMember:
    """One file to unpack and where it goes, below the target."""

    info: zipfile.ZipInfo
    path: PurePosixPath


def extract_archive(
    archive: Path, target: Path, limits: ArchiveLimits, advice: str, elsewhere: str = "type another --out"
) -> int:
    """Unpack `archive` into the new folder `target` and return the number of files.

    Args:
        archive: the zip file.
        target: folder that does not exist yet.
        limits: what is refused.
        advice: what to type if the archive is damaged; ends the message.
        elsewhere: what to type if `target` has no room, or may not be written to.

    Raises:
        UserError: no zip archive, damaged, not to be trusted, or it does not fit on the disk.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = check_members(opened, archive, limits)
            size = sum(member.info.file_size for member in members)
            check_space(target.parent, size, f"to unpack {archive.name}", elsewhere)
            target.mkdir(parents=True)
            write_members(opened, members, target, size)
    except DAMAGES as error:
        reason = repr(str(error)[:80])  # it may quote any bytes of the file
        raise UserError(f"{archive} is no zip archive, incomplete or damaged ({reason}): {advice}") from error
    except OSError as error:
        raise UserError(
            f"{archive} cannot be unpacked to {target.parent} ({error.strerror or error}): make room and run "
            f"again, or {elsewhere}"
        ) from error
    return len(members)


def write_members(opened: zipfile.ZipFile, members: Sequence[ZipMember], target: Path, size: int) -> None:
    """Write all entries, `size` bytes in all, under a progress bar."""
    with tqdm(total=size, unit="B", unit_scale=True, desc="unpacking") as bar:
        for member in members:
            write_member(opened, member, target, bar)


def write_member(opened: zipfile.ZipFile, member: ZipMember, target: Path, bar: tqdm) -> None:
    """Write one entry; zipfile yields no more than its declared size and checks its checksum."""
    path = target / member.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member.info) as source, path.open("xb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def check_members(opened: zipfile.ZipFile, archive: Path, limits: ArchiveLimits) -> list[ZipMember]:
    """The files of an archive, after all that can be known without unpacking was checked.

    Raises:
        UserError: names the first entry that is refused, and why.
    """
    infos = opened.infolist()
    if len(infos) > limits.files:
        raise UserError(
            f"{archive} has {len(infos)} entries, more than {limits.files}: if that is right, "
            f"give preprocessing.fetch the option --max-files {len(infos)}"
        )
    members = []
    for info in infos:
        if is_junk(info.filename):
            continue
        problem = find_problem(info, limits)
        if problem:
            raise UserError(f"{archive}: entry {shorten(info.orig_filename)} {problem}; nothing was unpacked")
        if not info.is_dir():
            members.append(ZipMember(info, PurePosixPath(info.filename)))
    problem = next(chain(find_clashes(members), find_overlaps(infos, opened.start_dir)), None)
    if problem:
        raise UserError(f"{archive}: {problem}; nothing was unpacked")
    check_size(members, archive, limits)
    if not members:
        raise UserError(f"{archive} is an empty archive: it should hold a label file and clips")
    return members


def is_junk(name: str) -> bool:
    """Whether an entry is no file of the user's.

    >>> is_junk("__MACOSX/MOSI/._1.mp4"), is_junk("MOSI/.DS_Store"), is_junk("MOSI/Raw/1.mp4")
    (True, True, False)
    """
    return any(part in JUNK or part.startswith("._") for part in name.split("/"))


def find_problem(info: zipfile.ZipInfo, limits: ArchiveLimits) -> str:
    """What is wrong with one entry; empty if nothing is."""
    mode = info.external_attr >> 16
    parts = PurePosixPath(info.filename).parts
    ratio = info.file_size / max(info.compress_size, 1)
    faults = {
        "has control characters in its name": any(ord(c) < 32 or ord(c) == 127 for c in info.orig_filename),
        "has a backslash in its name; pack the folder again with another zip program": "\\"
        in info.orig_filename,
        "has an absolute path": info.filename.startswith("/"),
        "has a drive letter": re.match(r"[A-Za-z]:", info.filename) is not None,
        "points out of the folder with '..'": ".." in parts,
        "has an empty name": not parts,
        f"has a name of more than {MAX_NAME} bytes": any(len(p.encode()) > MAX_NAME for p in parts),
        "is a link or a device, and only files and folders belong into a data set": stat.S_IFMT(mode)
        not in (0, stat.S_IFREG, stat.S_IFDIR)
        or names_link(info.extra),
        "is encrypted; unpack it with its password and type --url with a plain zip": info.flag_bits
        & ENCRYPTED,
        f"is packed with method {info.compress_type} instead of 'deflate'; pack the folder again with "
        "'zip -r'": info.compress_type not in METHODS,
        f"unpacks to {ratio:.0f} times its size, as zip bombs do; if it is right, give "
        f"preprocessing.fetch the option --max-ratio {ratio + 1:.0f}": info.file_size > SMALL
        and ratio > limits.ratio,
    }
    return next((fault for fault, found in faults.items() if found), "")


def names_link(extra: bytes) -> bool:
    """Whether an extra field of an entry holds a link's target or a device number."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == PKWARE_UNIX and len(body) > 12:  # two times, user and group; then the target
            return True
        if kind == ASI_UNIX and any(body[6:10]):  # checksum, mode; then the target's length or the device
            return True
    return False


def find_clashes(members: Sequence[ZipMember]) -> Iterator[str]:
    """Entries that are one file where case, Unicode form or trailing dots do not count."""
    seen: dict[tuple[str, ...], ZipMember] = {}
    folders: dict[tuple[str, ...], ZipMember] = {}
    for member in members:
        key = tuple(fold_name(part) for part in member.path.parts)
        if key in seen:
            yield f"{shorten(str(seen[key].path))} and {shorten(str(member.path))} are one file on some disks"
        seen[key] = member
        folders |= {key[:depth]: member for depth in range(1, len(key))}
    for key in seen.keys() & folders.keys():
        yield f"{shorten(str(seen[key].path))} is a file and the folder of {shorten(str(folders[key].path))}"


def fold_name(part: str) -> str:
    """What macOS and Windows make of a name when they compare it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold()).rstrip(". ")


def find_overlaps(infos: Sequence[zipfile.ZipInfo], end: int) -> Iterator[str]:
    """Entries whose data lie in one another: honest programs never do that, zip bombs live from it."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    limits = [*(info.header_offset for info in ordered), end][1:]
    for info, limit in zip(ordered, limits, strict=True):
        if info.header_offset + LOCAL_HEADER + info.compress_size > limit:
            yield f"entry {shorten(info.filename)} overlaps the next one, as in zip bombs"


def check_size(members: Sequence[ZipMember], archive: Path, limits: ArchiveLimits) -> None:
    """Refuse what unpacks to more than the limits on the whole."""
    total, packed = sum(member.info.file_size for member in members), archive.stat().st_size
    if total > limits.total_gb * 1e9:
        raise UserError(
            f"{archive} unpacks to {total / 1e9:.1f} GB, more than {limits.total_gb:g}: if that is right, "
            f"give preprocessing.fetch the option --max-gb {total / 1e9 + 1:.0f}"
        )
    if total > SMALL and total > limits.ratio * packed:
        raise UserError(
            f"{archive} unpacks to {total / packed:.0f} times its size, as zip bombs do: if that is right, "
            f"give preprocessing.fetch the option --max-ratio {total / packed + 1:.0f}"
        )


def check_space(folder: Path, needed: int, purpose: str, elsewhere: str = "type another --out") -> None:
    """Refuse to start what the disk has no room for; `elsewhere` is what to type instead.

    Raises:
        UserError: names the folder, what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} has {free / 1e9:.2f} GB free and {needed / 1e9:.2f} GB are needed {purpose}: "
            f"make room, or {elsewhere}"
        )


def shorten(name: str) -> str:
    """Quote a name for a one-line message."""
    return repr(name if len(name) <= 60 else f"...{name[-57:]}")
