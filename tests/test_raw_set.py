"""The setting `labels` may name a zip."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from preprocessing.errors import UserError
from preprocessing.sets import raw_set
from preprocessing.sets.labels import read_labels
from preprocessing.sets.raw_set import open_raw_set


def test_a_folder_or_file_is_taken_as_it_is(tmp_path):
    assert open_raw_set(str(tmp_path)) == tmp_path


def test_a_zip_is_unpacked_once(sample_cache, tmp_path):
    raw = sample_cache.parent / "raw"
    shutil.make_archive(str(tmp_path / "MOSI"), "zip", raw)
    folder = open_raw_set(str(tmp_path / "MOSI.zip"))
    assert [e.clip_id for e in read_labels(folder)] == [e.clip_id for e in read_labels(raw)]
    before = (folder / "labels.csv").stat().st_mtime_ns
    assert open_raw_set(str(tmp_path / "MOSI.zip")) == folder
    assert (folder / "labels.csv").stat().st_mtime_ns == before


def test_a_damaged_zip_leaves_no_folder(tmp_path):
    (tmp_path / "MOSI.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match="download it again"):
        open_raw_set(str(tmp_path / "MOSI.zip"))
    assert not (tmp_path / "MOSI").exists()


@pytest.fixture
def read_only_folder(tmp_path):
    """A folder with a zip in which nothing can be made; who may write anywhere becomes somebody else."""
    user, parent = os.geteuid(), tempfile.mkdtemp(dir="/tmp")
    folder = Path(parent) / "sets"
    folder.mkdir()
    shutil.make_archive(str(folder / "My MOSI"), "zip", tmp_path)
    os.chmod(parent, 0o755)  # noqa: PTH101
    folder.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o755)
    shutil.rmtree(parent)


def test_a_zip_in_a_read_only_folder_says_how_to_unpack_it_elsewhere(read_only_folder):
    path = read_only_folder / "My MOSI.zip"
    with pytest.raises(UserError) as caught:
        open_raw_set(str(path))
    command = f"python -m preprocessing.fetch --url '{path}' --out 'data/My MOSI'"
    assert command in str(caught.value) and "set labels='data/My MOSI'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_nothing_and_goes_on_once_there_is_room(sample_cache, tmp_path, monkeypatch):
    shutil.make_archive(str(tmp_path / "MOSI"), "zip", sample_cache.parent / "raw")

    def fill_disk(archive, target, *_):
        (target / "Raw").mkdir(parents=True)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(raw_set, "extract_archive", fill_disk)
        with pytest.raises(OSError, match="No space"):
            open_raw_set(str(tmp_path / "MOSI.zip"))
    assert [path.name for path in tmp_path.iterdir()] == ["MOSI.zip"]
    assert (open_raw_set(str(tmp_path / "MOSI.zip")) / "labels.csv").is_file()
