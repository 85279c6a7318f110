"""Archives as people make them, and archives that nobody should unpack."""

import os
import random
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from preprocessing.errors import UserError
from preprocessing.untrusted import archive
from preprocessing.untrusted.archive import ArchiveLimits, extract_archive

ADVICE = "get the file again"


def make_zip(path: Path, *entries, compression=zipfile.ZIP_DEFLATED) -> Path:
    """A zip of (name or ZipInfo, bytes) pairs."""
    with zipfile.ZipFile(path, "w", compression) as opened:
        for name, data in entries:
            opened.writestr(name, data)
    return path


def refusal(path: Path, limits: ArchiveLimits | None = None) -> str:
    """The message of a refused archive, after a look that it left nothing behind."""
    target = path.parent / "inside" / "target"
    target.parent.mkdir(exist_ok=True)
    before = set(path.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        extract_archive(path, target, limits or ArchiveLimits(), ADVICE)
    assert set(path.parent.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rename(path: Path, old: bytes, new: bytes) -> Path:
    """Write a name into an archive that zipfile would not write."""
    assert len(old) == len(new)
    raw = path.read_bytes()
    assert raw.count(old) == 2  # beside the data, and in the table of contents
    path.write_bytes(raw.replace(old, new))
    return path


def test_plain_archive(tmp_path):
    content = {
        "MOSI/labels.csv": b"clip,label,split\n",
        "MOSI/Raw/-v_x/1.mp4": random.Random(0).randbytes(2_300_000),  # more than one chunk
        "MOSI/Raw/empty.mp4": b"",
        "MOSI/Raw/Übung ä.mp4": b"x",
        "./MOSI//b.mp4": b"y",
    }
    path = make_zip(tmp_path / "a.zip", ("MOSI/Raw/", b""), *content.items())
    assert extract_archive(path, tmp_path / "out", ArchiveLimits(), ADVICE) == len(content)
    found = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*")}
    assert {n: p.read_bytes() for n, p in found.items() if p.is_file()} == {
        name.replace("./", "").replace("//", "/"): data for name, data in content.items()
    }


def test_what_a_mac_or_windows_adds_is_left_out(tmp_path):
    junk = ("MOSI/Icon\r", "__MACOSX/MOSI/._a.mp4", "MOSI/._a.mp4", "MOSI/.DS_Store", "MOSI/Thumbs.db")
    entries = [("MOSI/a.mp4", b"x"), *((name, b"junk") for name in junk)]
    assert (
        extract_archive(make_zip(tmp_path / "a.zip", *entries), tmp_path / "out", ArchiveLimits(), ADVICE)
        == 1
    )
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["a.mp4"]
    assert "empty archive" in refusal(make_zip(tmp_path / "b.zip", *entries[1:]))


def test_the_icon_of_a_mac_folder(shared, tmp_path):
    assert (
        extract_archive(shared / "data/faults/icon/icon.zip", tmp_path / "out", ArchiveLimits(), ADVICE) == 2
    )


def test_permissions_are_not_taken_over(tmp_path):
    info = zipfile.ZipInfo("tool")
    info.external_attr = (stat.S_IFREG | stat.S_ISUID | 0o777) << 16
    extract_archive(make_zip(tmp_path / "a.zip", (info, b"#!")), tmp_path / "out", ArchiveLimits(), ADVICE)
    assert not (tmp_path / "out" / "tool").stat().st_mode & (stat.S_ISUID | 0o111)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("../evil", "'..'"),
        ("a/../../evil", "'..'"),
        ("a/..", "'..'"),
        ("/etc/evil", "absolute"),
        ("//host/share", "absolute"),
        ("C:/evil", "drive letter"),
        ("c:evil", "drive letter"),
        ("..\\evil", "backslash"),
        ("a\\b.mp4", "backslash"),
        ("a\x1b[31m", "control characters"),
        ("a\nb", "control characters"),
        (".", "empty name"),
        ("x" * 256, "255 bytes"),
        ("ä" * 128, "255 bytes"),
    ],
)
def test_names_that_lead_elsewhere(tmp_path, name, word):
    path = make_zip(tmp_path / "a.zip", ("labels.csv", b"fine"), (name, b"evil"))
    assert word in refusal(path)


def test_name_cut_by_zero_byte(tmp_path):
    path = rename(make_zip(tmp_path / "a.zip", ("labels.csv?.sh", b"evil")), b".csv?.sh", b".csv\0.sh")
    assert "control characters" in refusal(path)


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK], ids=oct
)
def test_links_and_devices(tmp_path, kind):
    info = zipfile.ZipInfo("innocent.mp4")
    info.external_attr = (kind | 0o644) << 16
    assert "link or a device" in refusal(make_zip(tmp_path / "a.zip", (info, b"/etc/passwd")))


@pytest.mark.parametrize(
    "extra",
    [
        struct.pack("<HH", 0x000D, 12 + 4) + bytes(12) + b"/etc",
        struct.pack("<HHIHIHH", 0x756E, 14 + 4, 0, stat.S_IFREG | 0o644, 4, 0, 0) + b"/etc",
        struct.pack("<HHIHIHH", 0x756E, 14, 0, stat.S_IFREG | 0o644, 0x0801, 0, 0),
    ],
    ids=["pkware hard link", "asi link", "asi device"],
)
def test_links_in_extra_fields(tmp_path, extra):
    harmless = struct.pack("<HHI", 0x5455, 4, 0)  # a time stamp
    info = zipfile.ZipInfo("innocent.mp4")
    info.extra = harmless
    path = make_zip(tmp_path / "fine.zip", (info, b"data"))
    assert extract_archive(path, tmp_path / "fine", ArchiveLimits(), ADVICE) == 1
    shutil.rmtree(tmp_path / "fine")
    info = zipfile.ZipInfo("innocent.mp4")
    info.extra = harmless + extra
    assert "link or a device" in refusal(make_zip(tmp_path / "a.zip", (info, b"data")))


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ("Raw/Clip_1.mp4", "raw/clip_1.mp4", "one file"),
        ("a.mp4", "./a.mp4", "one file"),
        ("a.mp4", "a.mp4. ", "one file"),
        ("caf\u00e9.mp4", "cafe\u0301.mp4", "one file"),
        ("stra\u00dfe", "STRASSE", "one file"),
        ("a", "A/b.mp4", "is a file and the folder"),
        ("a/b/c.mp4", "a/B", "is a file and the folder"),
    ],
)
def test_names_that_are_one_file(tmp_path, first, second, word):
    assert word in refusal(make_zip(tmp_path / "a.zip", (first, b"1"), (second, b"2")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_same_name_twice(tmp_path):
    assert "one file" in refusal(make_zip(tmp_path / "a.zip", ("a.mp4", b"1"), ("a.mp4", b"2")))


def test_encrypted(tmp_path):
    path = make_zip(tmp_path / "a.zip", ("a.mp4", b"secret"))
    raw = bytearray(path.read_bytes())
    for start, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        raw[raw.index(start) + offset] |= 1
    path.write_bytes(raw)
    assert "is encrypted" in refusal(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods(tmp_path, method):
    assert "zip -r" in refusal(make_zip(tmp_path / "a.zip", ("a.mp4", b"x" * 99), compression=method))


def test_limits(tmp_path):
    noise = random.Random(0).randbytes
    many = make_zip(tmp_path / "many.zip", *((f"{i}.mp4", noise(10)) for i in range(7)))
    assert "--max-files 7" in refusal(many, ArchiveLimits(files=6))
    big = make_zip(tmp_path / "big.zip", ("a", noise(600_000)), ("b", noise(600_000)))
    assert "--max-gb" in refusal(big, ArchiveLimits(total_gb=0.001))
    bomb = make_zip(tmp_path / "bomb.zip", ("a", bytes(20_000_000)), ("b", noise(10_000)))
    message = refusal(bomb)
    assert "'a'" in message and "--max-ratio" in message
    allowed = float(message.split("--max-ratio ")[1].split(";")[0])
    assert extract_archive(bomb, tmp_path / "bomb", ArchiveLimits(ratio=allowed), ADVICE) == 2
    # Many small ones, none of which is judged alone.
    swarm = make_zip(tmp_path / "swarm.zip", *((f"{i}", bytes(1_000_000)) for i in range(20)))
    assert "--max-ratio" in refusal(swarm)
    small = make_zip(tmp_path / "small.zip", ("labels.csv", b"," * 100_000))
    assert extract_archive(small, tmp_path / "small", ArchiveLimits(), ADVICE) == 1


def test_overlapping_entries(tmp_path):
    """Several names over one run of data, as in the bombs that need no nesting."""
    path = make_zip(tmp_path / "a.zip", ("a", b"x" * 1000), ("b", b"y" * 1000), compression=0)
    raw = bytearray(path.read_bytes())
    second = raw.index(b"PK\1\2", raw.index(b"PK\1\2") + 4)
    raw[second + 42 : second + 46] = bytes(4)  # where its data lie: at the first one's place
    path.write_bytes(raw)
    assert "overlaps" in refusal(path)


def test_quoted_overlap(tmp_path):
    """The first entry's data reach over the second entry's header."""
    path = make_zip(tmp_path / "a.zip", ("a", b"x" * 1000), ("b", b"y" * 1000), compression=0)
    raw = bytearray(path.read_bytes())
    first = raw.index(b"PK\1\2")
    raw[first + 20 : first + 28] = struct.pack("<II", 1500, 1500)
    path.write_bytes(raw)
    assert "overlaps" in refusal(path)


def test_no_archive_at_all(tmp_path):
    for number, data in enumerate((b"", b"<!DOCTYPE html>", b"PK\3\4 and then nothing")):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(data)
        assert ADVICE in refusal(path)
    assert "is an empty archive" in refusal(make_zip(tmp_path / "none.zip"))
    assert "is an empty archive" in refusal(make_zip(tmp_path / "folder.zip", ("a/", b"")))


def test_checksum_and_lying_size(tmp_path):
    path = make_zip(
        tmp_path / "a.zip", ("good", b"0123456789" * 50), ("clip", b"abcdefgh" * 50), compression=0
    )
    raw = path.read_bytes()
    whole = tmp_path / "broken"
    path.write_bytes(raw.replace(b"abcdefgh", b"abcdefgX", 1))
    with pytest.raises(UserError, match="clip"):
        extract_archive(path, whole, ArchiveLimits(), ADVICE)
    # Declared shorter than it is: never more than declared is written, and the checksum stops it.
    lying = bytearray(make_zip(tmp_path / "b.zip", ("clip", b"z" * 100_000)).read_bytes())
    for start, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = lying.index(start) + offset
        lying[at : at + 4] = struct.pack("<I", 1000)
    (tmp_path / "b.zip").write_bytes(lying)
    with pytest.raises(UserError, match=ADVICE):
        extract_archive(tmp_path / "b.zip", tmp_path / "lying", ArchiveLimits(), ADVICE)
    assert (tmp_path / "lying" / "clip").stat().st_size <= 1000


def test_damaged_archives_are_refused_or_right(tmp_path):
    """No damage leads to a traceback, nor to a file outside, nor to wrong content unnoticed."""
    content = {f"Raw/v/{i}.mp4": random.Random(i).randbytes(300) for i in range(4)}
    raw = make_zip(tmp_path / "a.zip", *content.items()).read_bytes()
    rng = random.Random(1)
    refused = 0
    for trial in range(160):
        damaged = bytearray(raw)
        if trial % 4 == 0:
            del damaged[rng.randrange(len(raw)) :]
        for _ in range(rng.randrange(1, 4) if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / "d.zip").write_bytes(damaged)
        target = tmp_path / "box" / "target"
        target.parent.mkdir()
        try:
            extract_archive(tmp_path / "d.zip", target, ArchiveLimits(), ADVICE)
            found = sorted(p.read_bytes() for p in target.rglob("*") if p.is_file())
            assert all(data in content.values() for data in found)
        except UserError:
            refused += 1
        assert set(target.parent.iterdir()) <= {target}
        shutil.rmtree(target.parent)
    assert 80 < refused < 160


def test_disk_space(tmp_path, monkeypatch):
    path = make_zip(tmp_path / "a.zip", ("a", os.urandom(5000)))
    usage = shutil.disk_usage(tmp_path)._replace(free=4999)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: usage)
    assert "GB free" in refusal(path)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: usage._replace(free=5000))
    assert extract_archive(path, tmp_path / "out", ArchiveLimits(), ADVICE) == 1
