"""Downloads over lines that break and from servers that lie; every test talks to a real local server."""

import random
import shutil
import socket
import time
from pathlib import Path

import pytest
from kit.broken_server import BrokenServer, Fault

from preprocessing.errors import UserError
from preprocessing.fetch.download import DownloadOptions, download
from preprocessing.untrusted import archive

CONTENT = random.Random(0).randbytes(700_000)
FAST = DownloadOptions(retries=3, timeout_s=0.3, wait_s=0.001)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with BrokenServer(CONTENT) as server:
        yield server


def bring(server: BrokenServer, target: Path, options: DownloadOptions = FAST) -> bytes:
    download(server.url, target, options, "ADVICE")
    assert sorted(target.parent.iterdir()) == [target]  # neither part nor note stay
    return target.read_bytes()


def refusal(server: BrokenServer, target: Path, options: DownloadOptions = FAST) -> str:
    with pytest.raises(UserError) as caught:
        download(server.url, target, options, "ADVICE")
    assert not target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ranges(server: BrokenServer) -> list[str | None]:
    return [request.get("Range") for request in server.requests]


def test_in_one_go(server, tmp_path):
    assert bring(server, tmp_path / "a.zip") == CONTENT
    assert ranges(server) == [None]
    download(server.url, tmp_path / "a.zip", FAST, "ADVICE")  # it is there: nobody is asked
    assert len(server.requests) == 1


def test_goes_on_where_the_line_broke(server, tmp_path):
    server.faults = [
        Fault(cut=100_000),
        Fault(cut=0),
        Fault(cut=50_000, reset=True),
        Fault(cut=60_000, hang=True),
    ]
    assert bring(server, tmp_path / "a.zip") == CONTENT
    assert ranges(server)[1:3] == ["bytes=100000-"] * 2
    assert ranges(server)[-1] == "bytes=210000-"
    assert {request.get("If-Range") for request in server.requests[1:]} == {'"one"'}


def test_many_breaks_are_no_failure_while_it_gets_on(server, tmp_path):
    server.faults = [Fault(cut=40_000)] * 15
    assert bring(server, tmp_path / "a.zip") == CONTENT


def test_goes_on_in_the_next_run(server, tmp_path, capsys):
    server.faults = [Fault(cut=300_000)] + [Fault(status=503)] * 3
    message = refusal(server, tmp_path / "a.zip")
    assert "503" in message and "0.3 MB are kept" in message and message.endswith("ADVICE")
    assert (tmp_path / "a.part").read_bytes() == CONTENT[:300_000]
    capsys.readouterr()
    server.requests.clear()
    assert bring(server, tmp_path / "a.zip") == CONTENT
    assert ranges(server) == ["bytes=300000-"]
    assert "going on at 0.3 MB of 0.7 MB" in capsys.readouterr().err


def test_server_without_ranges_starts_over_and_says_so(server, tmp_path, capsys):
    server.ranges = False
    server.faults = [Fault(cut=100_000)]
    assert bring(server, tmp_path / "a.zip") == CONTENT
    assert "from its start only" in capsys.readouterr().err


def test_server_without_ranges_that_always_breaks_is_given_up(server, tmp_path):
    server.ranges = False
    server.faults = [Fault(cut=100_000)] * 50
    assert "ended at 100000 of 700000" in refusal(server, tmp_path / "a.zip")
    assert len(server.requests) == 1 + FAST.retries


@pytest.mark.parametrize("validator", ["etag", "modified", "size"])
def test_changed_file_starts_over(server, tmp_path, capsys, validator):
    new = random.Random(1).randbytes(800_000 if validator == "size" else len(CONTENT))
    server.etag, server.modified = {
        "etag": ('"one"', ""),
        "modified": ("", "Mon, 01 Jan 2024 00:00:00 GMT"),
        "size": ("", ""),
    }[validator]
    server.faults = [Fault(cut=100_000)] + [Fault(status=503)] * 3
    refusal(server, tmp_path / "a.zip")
    server.content = new
    if validator != "size":
        setattr(server, validator, {"etag": '"two"', "modified": "Tue, 02 Jan 2024 00:00:00 GMT"}[validator])
    assert bring(server, tmp_path / "a.zip") == new
    assert "has changed" in capsys.readouterr().err


def test_file_that_changes_in_every_answer_is_given_up(server, tmp_path):
    server.faults = [Fault(cut=1000, headers={"ETag": f'"{n}"'}) for n in range(20)]
    refusal(server, tmp_path / "a.zip")
    assert len(server.requests) == 1 + FAST.retries


def test_weak_etag_is_no_condition(server, tmp_path):
    server.etag, server.modified = 'W/"one"', "Mon, 01 Jan 2024 00:00:00 GMT"
    server.faults = [Fault(cut=100_000)]
    assert bring(server, tmp_path / "a.zip") == CONTENT
    assert server.requests[1]["If-Range"] == server.modified


def test_file_that_shrank(server, tmp_path):
    server.etag = ""
    server.faults = [Fault(cut=300_000)] + [Fault(status=503)] * 3
    refusal(server, tmp_path / "a.zip")
    server.content = CONTENT[:200_000]  # the rest that is asked for is behind its end: 416
    assert bring(server, tmp_path / "a.zip") == server.content


@pytest.mark.parametrize(
    "claimed", ["bytes 5-699999/700000", "bytes 100000-699999/999", "nonsense", "bytes */7"]
)
def test_wrong_part_is_not_appended(server, tmp_path, claimed):
    server.faults = [Fault(cut=100_000), Fault(range=claimed)]
    assert bring(server, tmp_path / "a.zip") == CONTENT


def test_part_without_being_asked(server, tmp_path):
    server.faults = [Fault(range="bytes 100-699999/700000")]
    assert bring(server, tmp_path / "a.zip") == CONTENT


def test_promised_more_than_sent(server, tmp_path):
    server.faults = [Fault(length=900_000)] + [Fault(status=500)] * 9
    assert "0.7 MB are kept" in refusal(server, tmp_path / "a.zip")
    server.faults = []
    assert bring(server, tmp_path / "a.zip") == CONTENT


def test_more_than_the_file_has(server, tmp_path):
    server.faults = [Fault(cut=100_000), Fault(extra=b"surplus")]
    assert bring(server, tmp_path / "a.zip") == CONTENT
    assert ranges(server) == [None, "bytes=100000-"]


def test_promised_less_than_sent(server, tmp_path):
    server.faults = [Fault(length=1000)]
    assert bring(server, tmp_path / "a.zip") == CONTENT[:1000]  # the archive's own check finds that out


def test_unknown_length(server, tmp_path):
    (tmp_path / "a").mkdir()
    server.faults = [Fault(length=-1)]
    assert bring(server, tmp_path / "a" / "a.zip") == CONTENT
    server.faults = [Fault(chunked=True)]
    (tmp_path / "b").mkdir()
    assert bring(server, tmp_path / "b" / "a.zip") == CONTENT
    server.requests.clear()
    (tmp_path / "c").mkdir()
    server.faults = [Fault(chunked=True, cut=9000)]
    assert bring(server, tmp_path / "c" / "a.zip") == CONTENT
    assert ranges(server) == [None, "bytes=9000-"]


def test_hanging_server(server, tmp_path):
    server.faults = [Fault(cut=0, hang=True)] * 9
    begin = time.monotonic()
    assert "timed out" in refusal(server, tmp_path / "a.zip", DownloadOptions(1, 0.2, 0.001))
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_final_answers(server, tmp_path, status):
    server.faults = [Fault(status=status)]
    assert f"answers {status}" in refusal(server, tmp_path / "a.zip")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_answers(server, tmp_path, status):
    server.faults = [Fault(status=status), Fault(status=status)]
    assert bring(server, tmp_path / "a.zip") == CONTENT


def test_waits_longer_and_longer_and_as_long_as_asked(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("preprocessing.fetch.download.time.sleep", waits.append)
    server.faults = [Fault(status=503)] * 3 + [Fault(status=429, headers={"Retry-After": "20"})]
    assert bring(server, tmp_path / "a.zip", DownloadOptions(9, 0.3, 1.0)) == CONTENT
    assert waits == [1, 2, 4, 20]


def test_redirects(server, tmp_path):
    server.faults = [Fault(status=302, headers={"Location": "/elsewhere.zip"})]
    assert bring(server, tmp_path / "a.zip") == CONTENT
    for place, word in (("file:///etc/passwd", "302"), ("ftp://127.0.0.1/x", "neither http nor https")):
        server.faults = [Fault(status=302, headers={"Location": place})]
        (tmp_path / place[:3]).mkdir()
        assert word in refusal(server, tmp_path / place[:3] / "a.zip")
    server.faults = [Fault(status=302, headers={"Location": server.url})] * 30
    (tmp_path / "loop").mkdir()
    assert "302" in refusal(server, tmp_path / "loop" / "a.zip")


def test_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/MOSI.zip"
        with pytest.raises(UserError, match=r"refused.*ADVICE"):
            download(url, tmp_path / "a.zip", FAST, "ADVICE")
    assert not list(tmp_path.iterdir())


def test_no_room(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_399_999)  # archive and content
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: usage)
    assert "GB free" in refusal(server, tmp_path / "a.zip")
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: usage._replace(free=1_400_000))
    assert bring(server, tmp_path / "a.zip") == CONTENT


def test_full_disk_is_no_broken_line(server, tmp_path, monkeypatch):
    class Full:
        name = "a.part"

        def write(self, chunk):
            raise OSError(28, "No space left on device")

    from preprocessing.fetch import download as module

    real = module.write_chunk
    monkeypatch.setattr(module, "write_chunk", lambda file, chunk: real(Full(), chunk))
    assert "No space left" in refusal(server, tmp_path / "a.zip")
    assert len(server.requests) == 1


def test_part_of_another_address(server, tmp_path):
    server.faults = [Fault(cut=1000)] + [Fault(status=503)] * 3
    refusal(server, tmp_path / "a.zip")
    with pytest.raises(UserError, match="another address"):
        download(server.url + "?other", tmp_path / "a.zip", FAST, "ADVICE")
    assert (tmp_path / "a.part").stat().st_size == 1000
