"""Uploads of the web page: how long they stay and how much room they take."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mosi_e2e.demo import limits as says
from mosi_e2e.demo.limits import Limits
from mosi_e2e.demo.uploads import PREFIX, Upload, Uploads, open_folder, remove_left_over
from preprocessing.errors import UserError

TIMEOUT_S = 2.5
LIMITS = Limits(max_mb=1, max_minutes=0.1, timeout=TIMEOUT_S, max_waiting=1)


def upload(uploads: Uploads, content: bytes = b"video", name: str = "my clip.MP4") -> Upload:
    with uploads.receive("192.0.2.7", len(content)) as upload:
        upload.path.write_bytes(content)
        upload.rename(name)
    return upload


def list_files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.parent != root)


def test_a_claimed_upload_leaves_nothing_whatever_happens(tmp_path):
    uploads = Uploads(tmp_path, LIMITS)
    mine = upload(uploads)
    uploads.hold("a", mine)

    def fail(video: Path):
        assert video.read_bytes() == b"video" and video.suffix == ".mp4" and not mine.path.exists()
        (video.parent / "left").mkdir()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), uploads.claim("a", mine) as video:
        fail(video)
    assert list_files(tmp_path) == []
    with pytest.raises(UserError, match="choose the file again"), uploads.claim("a", mine):
        pass
    removed = upload(uploads)
    removed.path.unlink()  # by a program that cleans the temporary folder
    with pytest.raises(UserError, match="choose the file again"), uploads.claim("a", removed):
        pass
    with uploads.claim("a", upload(uploads)) as video:
        shutil.rmtree(video.parent)  # by the same
    assert list_files(tmp_path) == []


def test_an_upload_goes_when_another_takes_its_place_or_the_visitor_leaves(tmp_path):
    uploads = Uploads(tmp_path, LIMITS)
    first = upload(uploads, b"first")
    uploads.hold("a", first)
    uploads.hold("a", first)  # said twice
    second = upload(uploads, b"second")
    uploads.hold("a", second)
    assert not first.path.exists() and second.path.exists()
    uploads.hold("a", None)
    assert list_files(tmp_path) == []


def test_a_suffix_is_short_and_plain(tmp_path):
    uploads = Uploads(tmp_path / "not" / "there", LIMITS)
    assert upload(uploads, name="a.Müp4567890x").path.suffix == ".mp456789"
    Uploads(tmp_path / "not" / "there", LIMITS)  # the same folder again


def test_the_room_is_used_to_its_last_byte(tmp_path):
    uploads = Uploads(tmp_path, Limits(max_mb=1, max_waiting=0))
    for sender in ("192.0.2.7", "192.0.2.8"):
        with uploads.receive(sender, 1_000_000):
            pass
    with pytest.raises(UserError, match=re.escape(says.SAY_DISK_FULL)), uploads.receive("192.0.2.9", 1):
        pass


def test_what_is_old_is_swept_and_what_is_new_stays(tmp_path, monkeypatch):
    uploads = Uploads(tmp_path, LIMITS)
    upload(uploads, b"old").since -= 15 * 60 + 1
    (uploads.requests / "orphan").mkdir()
    (uploads.requests / "file").touch()  # not made by a page
    new, busy = upload(uploads, b"new"), upload(uploads, b"busy")
    new.since -= 15 * 60 - 30
    uploads.hold("b", new)
    with uploads.claim("a", busy) as video:
        uploads.sweep()
        assert video.exists()
    assert list_files(tmp_path) == sorted([new.path.name, "file"])
    uploads.hold("b", None)
    assert list_files(tmp_path) == ["file"]


def test_the_folder_goes_at_the_end_and_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(root: Path):
        (root / "file").touch()
        remove_left_over(tmp_path)
        assert root.is_dir()  # its process lives
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_folder() as root:
        fail(root)
    assert not root.exists()
    with open_folder() as root:
        root.rmdir()  # by a program that cleans the temporary folder
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f"{PREFIX}{gone.pid}-abc").mkdir()
    (tmp_path / f"{PREFIX}{gone.pid}-file").touch()  # not made by a page
    remove_left_over(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}{gone.pid}-file"]
