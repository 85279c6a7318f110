"""The setting `labels` may name a zip."""

import shutil

import pytest

from preprocessing.errors import UserError
from preprocessing.labels import read_labels
from preprocessing.raw_set import open_raw_set


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
