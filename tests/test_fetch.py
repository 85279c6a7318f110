"""`python -m preprocessing.fetch` from a zip on the disk or on a local server to a folder to preprocess."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from kit.broken_server import BrokenServer, Fault
from kit.fetched import NOISE, SETS, error, limited_disk, run, tree, zip_set

from preprocessing.fetch import __main__ as fetch
from preprocessing.sets.labels import read_labels


@pytest.fixture
def archive(tmp_path) -> Path:
    path = tmp_path / "down loads" / "MOSI.zip"
    path.parent.mkdir()
    path.write_bytes(zip_set())
    return path


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("preprocessing.fetch.download.time.sleep", lambda seconds: None)
    with BrokenServer(zip_set()) as server:
        yield server


@pytest.mark.parametrize("layout", SETS)
def test_finds_the_layout(tmp_path, capsys, layout):
    (tmp_path / "a.zip").write_bytes(zip_set(layout))
    out = tmp_path / "my data" / "mosi"
    assert run("--url", tmp_path / "a.zip", "--out", out) == 0
    said = capsys.readouterr().out
    assert f"layout {layout} " in said
    assert "4 clips of 3 videos (train 2, valid 1, test 1)" in said
    command = said.splitlines()[-1].removeprefix("next: ")
    assert f"labels='{out}' out=cache/mosi" in command
    assert len(read_labels(out)) == 4
    mark = json.loads((out / fetch.MARK).read_text())
    assert mark["sha256"] == hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert mark["files"] == len(SETS[layout])
    assert list(out.parent.iterdir()) == [out]


def test_a_second_time_does_nothing(archive, tmp_path, capsys):
    out = tmp_path / "mosi"
    assert run("--url", archive, "--out", out) == 0
    before = {path: path.stat().st_mtime_ns for path in (out, *out.rglob("*"))}
    first = capsys.readouterr().out
    assert run("--url", archive, "--out", out) == 0
    again = capsys.readouterr()
    assert "complete already" in again.err and again.out == first
    assert before == {path: path.stat().st_mtime_ns for path in (out, *out.rglob("*"))}
    assert archive.is_file()


def test_does_not_touch_what_is_there(archive, tmp_path, capsys):
    out = tmp_path / "mosi"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert "was not made by this command" in error(capsys, "--url", archive, "--out", out)
    assert tree(out) == {"thesis.txt": b"mine"}
    (out / "thesis.txt").unlink()
    assert run("--url", archive, "--out", out) == 0  # an empty folder is taken
    copy = shutil.copy(archive, tmp_path / "other.zip")
    assert "holds another set (its source is" in error(capsys, "--url", copy, "--out", out)
    assert "its sha256 is" in error(capsys, "--url", archive, "--out", out, "--sha256", "0" * 64)
    own = tmp_path / "new.part" / "notes.txt"
    own.parent.mkdir()
    own.write_text("mine")
    assert run("--url", archive, "--out", tmp_path / "new") == 0
    assert own.read_text() == "mine"


@pytest.mark.parametrize("prefix", ["file://", "file://localhost", "file:"])
def test_file_addresses(archive, tmp_path, prefix):
    url = prefix + str(archive).replace(" ", "%20")
    assert run("--url", url, "--out", tmp_path / "mosi") == 0


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ftp://host/MOSI.zip", "http, https or file"),
        ("file://host/MOSI.zip", "http, https or file"),
        ("data://x", "http, https or file"),
        ("http:///MOSI.zip", "http, https or file"),
        ("http://[::1/MOSI.zip", "not a valid address"),
        ("nowhere.zip", "there is no file nowhere.zip"),
        ("http://127.0.0.1:1/a b", "not a valid address"),
        ("http://127.0.0.1:99999/a", "127.0.0.1:99999"),
        ("http://ü/ü", "http://ü/ü"),
    ],
)
def test_bad_addresses(tmp_path, capsys, monkeypatch, url, word):
    monkeypatch.setenv("no_proxy", "*")
    assert word in error(capsys, "--url", url, "--out", tmp_path / "mosi", "--retries", 0, "--timeout", 2)
    assert not list(tmp_path.iterdir())


def test_bad_settings(archive, tmp_path, capsys):
    where = ("--url", archive, "--out", tmp_path / "mosi")
    assert "64 hexadecimal" in error(capsys, *where, "--sha256", "abc")
    assert "--retries" in error(capsys, *where, "--retries", -1)
    assert "above 0" in error(capsys, *where, "--max-gb", 0)
    assert not (tmp_path / "mosi").exists()


def test_download_over_a_bad_line(server, tmp_path, capsys):
    server.faults = [Fault(status=500), Fault(cut=200_000), Fault(cut=90_000, reset=True)]
    out = tmp_path / "data" / "mosi"
    sha256 = hashlib.sha256(server.content).hexdigest()
    assert run("--url", server.url, "--out", out, "--sha256", sha256.upper()) == 0
    assert "4 clips" in capsys.readouterr().out
    assert list(out.parent.iterdir()) == [out]
    server.requests.clear()
    assert run("--url", server.url, "--out", out) == 0
    assert not server.requests


def test_keeps_the_archive_if_asked(server, tmp_path):
    assert run("--url", server.url, "--out", tmp_path / "mosi", "--keep-zip") == 0
    assert (tmp_path / "mosi.zip").read_bytes() == server.content
    assert {path.name for path in tmp_path.iterdir()} == {"mosi", "mosi.zip"}


def test_broken_off_and_taken_up(server, tmp_path, capsys):
    server.faults = [Fault(cut=200_000), Fault(status=404)]
    message = error(capsys, "--url", server.url, "--out", tmp_path / "mosi")
    assert "404" in message and "python -m preprocessing.fetch --url MOSI.zip" in message
    assert [path.name for path in tmp_path.iterdir()] == ["mosi.part"]
    assert run("--url", server.url, "--out", tmp_path / "mosi") == 0
    assert server.requests[-1]["Range"] == "bytes=200000-"
    assert [path.name for path in tmp_path.iterdir()] == ["mosi"]


def test_course_server_is_known_to_be_down(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fetch, "COURSE_ZIP", server.url)
    server.faults = [Fault(status=503)] * 2
    message = error(capsys, "--url", server.url, "--out", tmp_path / "mosi", "--retries", 1)
    assert "often down" in message and "--url MOSI.zip --out" in message
    assert list(tmp_path.iterdir()) == []


def test_wrong_hash(server, archive, tmp_path, capsys):
    for source in (archive, server.url):
        message = error(capsys, "--url", source, "--out", tmp_path / "mosi", "--sha256", "0" * 64)
        assert hashlib.sha256(archive.read_bytes()).hexdigest() in message and "--sha256" in message
        assert not (tmp_path / "mosi").exists()
    server.requests.clear()
    assert run("--url", server.url, "--out", tmp_path / "mosi") == 0
    assert not server.requests  # the archive was kept


def test_a_web_page_instead_of_a_zip(server, tmp_path, capsys):
    server.content = b"<!DOCTYPE html>please log in"
    message = error(capsys, "--url", server.url, "--out", tmp_path / "mosi")
    assert "no zip archive (it begins with b'<!DO')" in message
    server.content = zip_set()
    assert run("--url", server.url, "--out", tmp_path / "mosi") == 0


def test_damaged_zip(server, tmp_path, capsys):
    whole = server.content
    server.content = whole.replace(NOISE[:9], b"X" * 9)
    message = error(capsys, "--url", server.url, "--out", tmp_path / "mosi")
    kept = tmp_path / "mosi.part" / "archive.zip"
    assert f"delete {kept} and run again" in message
    assert list(kept.parent.iterdir()) == [kept]
    kept.unlink()
    server.content = whole
    assert run("--url", server.url, "--out", tmp_path / "mosi") == 0


def test_limits_reach_the_archive(archive, tmp_path, capsys):
    where = ("--url", archive, "--out", tmp_path / "mosi")
    assert "--max-files 5" in error(capsys, *where, "--max-files", 4)
    assert "--max-gb" in error(capsys, *where, "--max-gb", 0.0005)
    assert sorted(tmp_path.iterdir()) == [archive.parent]


def test_labels_that_need_a_decision(archive, tmp_path, capsys):
    archive.write_bytes(zip_set(**{"MOSI/labels.csv": "what,how\na_1,1\n"}))
    out = tmp_path / "mosi"
    message = error(capsys, "--url", archive, "--out", out)
    assert f"the files are in {out}" in message and "labels_columns.clip" in message
    archive.write_bytes(zip_set(**{"MOSI/labels.csv": "clip,label,subset\nz_9,1.0,train\n"}))
    shutil.rmtree(out)
    assert "1 of 1 clips have no media file" in error(capsys, "--url", archive, "--out", out)


def test_two_at_once(server, tmp_path, capsys):
    work, out = tmp_path / "mosi.part", tmp_path / "mosi"
    with fetch.claim(work):
        (work / "unpacked").mkdir()
        (work / "unpacked" / "half").touch()
        assert "another process" in error(capsys, "--url", server.url, "--out", out)
        assert (work / "unpacked" / "half").exists()
    assert run("--url", server.url, "--out", out) == 0


def test_a_full_disk_keeps_the_download_and_goes_on_once_there_is_room(server, tmp_path, capsys):
    where = ("--url", server.url, "--out", tmp_path / "mosi")
    with limited_disk(300_000):
        message = error(capsys, *where)
    assert "archive.part cannot be written (File too large): make room" in message
    assert len(server.requests) == 1  # it is not the connection's fault
    assert run(*where) == 0 and server.requests[-1]["Range"] == "bytes=300000-"
    assert [path.name for path in tmp_path.iterdir()] == ["mosi"]


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_disk_too_full_to_unpack_leaves_nothing(archive, tmp_path, capsys, size):
    where = ("--url", archive, "--out", tmp_path / "mosi")
    with limited_disk(size):
        assert "(File too large): make room" in error(capsys, *where)
    assert list(tmp_path.iterdir()) == [archive.parent]
    assert run(*where) == 0


def test_where_nothing_can_be_written(archive, capsys):
    assert "cannot be written" in error(capsys, "--url", archive, "--out", "/proc/mosi")


@pytest.mark.parametrize("damage", [b"", b"[1, 2]", b'{"source": 1}', b"\xff"])
def test_damaged_notes(server, archive, tmp_path, capsys, damage):
    out = tmp_path / "mosi"
    assert run("--url", archive, "--out", out) == 0
    (out / fetch.MARK).write_bytes(damage)
    assert "is damaged" in error(capsys, "--url", archive, "--out", out)
    server.faults = [Fault(cut=1000), Fault(status=404)]
    other = tmp_path / "other"
    error(capsys, "--url", server.url, "--out", other)
    (tmp_path / "other.part" / "archive.json").write_bytes(damage)
    assert run("--url", server.url, "--out", other) == 0
    assert "the download starts over" in capsys.readouterr().err


def test_killed_at_any_moment(tmp_path, monkeypatch):
    """Kill -9 in the middle of download and unpacking; the same command ends with the same folder."""
    content = zip_set(**{f"MOSI/more/{n}.bin": NOISE for n in range(40)})
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with BrokenServer(content) as server:
        server.faults = [Fault(cut=2_000_000, hang=True)]
        out = tmp_path / "mosi"
        command = [sys.executable, "-m", "preprocessing.fetch", "--url", server.url, "--out", str(out)]
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(Path(fetch.__file__).parents[2])},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        part = tmp_path / "mosi.part" / "archive.part"
        until = time.monotonic() + 30
        while not (part.is_file() and part.stat().st_size >= 1_000_000) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert 1_000_000 <= part.stat().st_size < len(content)
        half = tmp_path / "mosi.part" / "unpacked" / "MOSI"  # as a kill during unpacking leaves it
        half.mkdir(parents=True)
        (half / "labels.csv").write_text("half")
        (half / "stray.mp4").touch()
        assert run("--url", server.url, "--out", out) == 0
        assert server.requests[-1]["Range"].startswith("bytes=")
    found = tree(out)
    del found[fetch.MARK]
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert found == {name: opened.read(name) for name in opened.namelist()}


def test_help_names_address_and_example(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "nipg1.inf.elte.hu:8765/MOSI.zip" in text and "example" in text
