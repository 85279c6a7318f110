"""Damaged and hostile archives: unpacked as they say, or refused in one line with nothing left behind."""

import io
import random
import tempfile
import zipfile
from pathlib import Path

import pytest
from kit.fuzzing import CASES, damage, seeded

from preprocessing.errors import UserError
from preprocessing.sets.labels import read_labels
from preprocessing.untrusted.archive import ArchiveLimits, extract_archive

pytestmark = pytest.mark.timeout(max(300, CASES))  # seconds
LIMITS = ArchiveLimits(files=50, total_gb=0.001)
NOISE = random.Random(0).randbytes(300)


def make_archive(kind: str) -> bytes:
    """A small set: deflated, stored, with a comment, in the 64-bit form, as a stream, or with odd extras."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(Unseekable(buffer) if kind == "stream" else buffer, "w", method) as opened:
        opened.comment = b"a comment" if kind == "comment" else b""
        for name, data in {"MOSI/labels.csv": b"clip,label\n" * 9, "MOSI/Müller_1.mp4": NOISE}.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            info.extra = b"UT\x05\x00\x03\x00\x00\x00\x00" if kind == "extra" else b""
            with opened.open(info, "w", force_zip64=kind == "zip64") as file:
                file.write(data)
    return buffer.getvalue()


class Unseekable:
    """A pipe: sizes and checksums then stand behind the data."""

    def __init__(self, buffer: io.BytesIO):
        self._buffer = buffer

    def write(self, data: bytes) -> int:
        return self._buffer.write(data)

    def flush(self) -> None:
        pass


ARCHIVES = [make_archive(kind) for kind in ("deflated", "stored", "comment", "zip64", "stream", "extra")]


def unpack(data: bytes) -> tuple[str, int]:
    """The message of a refusal, and how many bytes were written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.zip").write_bytes(data)
        target = folder / "inside" / "target"
        target.parent.mkdir()
        message, before = "", sorted(folder.iterdir())
        try:
            extract_archive(folder / "a.zip", target, LIMITS, "get it again")
        except UserError as error:
            message = str(error)
        assert sorted(folder.iterdir()) == before and set(target.parent.iterdir()) <= {target}
        return message, sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


@pytest.mark.parametrize("whole", ARCHIVES, ids=range(len(ARCHIVES)))
def test_the_archives_are_right_before_they_are_damaged(whole):
    message, size = unpack(whole)
    assert message == "" and size == 99 + len(NOISE)


@seeded(100)
def test_a_damaged_archive_is_right_or_refused_in_one_line(draw):
    message, size = unpack(damage(draw.choice(ARCHIVES), draw))
    assert "\n" not in message and len(message) < 500
    assert size <= 1e6


@seeded(100)
def test_a_damaged_archive_as_a_label_file_is_one_line(tmp_path, draw):
    path = tmp_path / "labels.csv"
    path.write_bytes(damage(draw.choice(ARCHIVES), draw))
    with pytest.raises(UserError) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)
