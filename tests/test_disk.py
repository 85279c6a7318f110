"""Full and read-only disks: one line from any command, and the same command works once there is room."""

import doctest
import errno
import os
from pathlib import Path

import pytest
from kit.made_cache import make_cache

from mosi_e2e import evaluate
from mosi_e2e.export import __main__ as export
from preprocessing import errors, pack
from preprocessing.cache.store import write_atomic
from preprocessing.errors import command
from preprocessing.sample import __main__ as sample
from preprocessing.sample import render


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.ENOTDIR])
def test_a_disk_that_takes_no_more_is_one_line_of_any_command(capsys, number):
    @command
    def main():
        raise OSError(number, os.strerror(number), "out/file")

    assert main() == 2
    said = capsys.readouterr().err
    assert said.startswith("error: out/file cannot be") and said.count("\n") == 1


def test_what_others_named_neither_ends_the_line_nor_steers_the_terminal(capsys):
    assert doctest.testmod(errors).failed == 0

    @command
    def main():
        raise OSError(errno.ENOSPC, "No space left on device", "a\n\x1b[2J\u2028.csv")

    assert main() == 2
    said = capsys.readouterr().err
    assert said.startswith(r"error: a\n\x1b[2J\u2028.csv cannot be written") and said.count("\n") == 1


def test_any_other_error_keeps_its_traceback():
    @command
    def main():
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        main()


def test_a_write_that_finds_no_room_names_its_file(tmp_path, monkeypatch):
    def fill(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space left") as error:
        write_atomic(tmp_path / "a.csv", b"x")
    assert error.value.filename == str(tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs the folder /proc of Linux")
def test_a_place_that_has_no_folders_is_one_line_of_any_command(tmp_path, capsys):
    cache, place = str(make_cache(tmp_path / "set", size=16)), "/proc/no_folder"
    mine = tmp_path / "mine.csv"
    mine.write_text("label,score,video_id\n1,0.5,a\n-1,0.5,b\n2,1,c\n")
    for main, words in (
        (evaluate.main, ["--predictions", str(mine), "--out", f"{place}/metrics.json"]),
        (evaluate.main, [str(tmp_path), "--out", place]),
        (sample.main, ["--out", place, "--clips", "3", "--videos", "3", "--workers", "1"]),
        (pack.main, [cache, "--out", f"{place}/a.pkl"]),
        (export.main, [str(tmp_path), "--out", place]),
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: /proc/") and said.count("\n") == 1, said


def test_sample_continues_once_there_is_room(tmp_path, monkeypatch, capsys):
    def fill(clip, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    words = ["--out", str(tmp_path / "s"), "--clips", "3", "--videos", "3", "--workers", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(render, "render_clip", fill)
        assert sample.main(words) == 2
    assert "make room" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "s").exists()
    assert sample.main(words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
