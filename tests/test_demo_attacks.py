"""What strangers sent to the web page, and what must not come of it. Each attack is as small as it can be."""

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="needs the extra demo (Gradio)")

from kit.demo_door import HOME, LIMITS, VIDEO, Door, name_file, upload

from mosi_e2e.demo import limits as says
from mosi_e2e.demo.guard import FRAMING_BYTES, Guard
from mosi_e2e.demo.intake import Intake
from mosi_e2e.demo.uploads import Uploads


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("server"))
    with door.client:
        yield door


@pytest.fixture
def door(page, monkeypatch) -> Iterator[Door]:
    """The page, without what the test before sent."""
    yield page
    monkeypatch.setattr("mosi_e2e.demo.uploads.KEEP_S", -1)
    page.uploads.sweep()
    page.scorer.seen.clear()


CHOOSE, SCORE = 0, 1
WAYS = {
    "a path": lambda path, url: name_file(path),
    "a stream": lambda path, url: name_file(path, is_stream=True),
    "a picture that counts as harmless": lambda path, url: name_file(path + ".svg"),
    "upwards": lambda path, url: name_file("../../" + path.rpartition("/")[2]),
    "a url of a file": lambda path, url: name_file("file://" + path, url="file://" + path),
    "another server": lambda path, url: name_file(url, url=url),
    "a path beside an upload": lambda path, url: name_file("x.mp4", video=name_file(path)),
    "nested": lambda path, url: [[name_file(path, is_stream=True)]],
    "in a dictionary": lambda path, url: {"video": name_file(path), "subtitles": name_file(path)},
    "a text": lambda path, url: path,
    "a number": lambda path, url: name_file(7),
    "a list as path": lambda path, url: name_file([path]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [CHOOSE, SCORE])
def test_what_a_visitor_names_is_neither_read_nor_copied_nor_deleted(door, tmp_path, way, number):
    victim = tmp_path / "victim"
    for path in (victim, tmp_path / "victim.svg"):
        path.write_bytes(b"private")
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.1)
        url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/x.mp4"
        told = door.call(number, [WAYS[way](str(victim), url)]) + door.call(number, [None])
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert says.SAY_GONE in told
    assert victim.read_bytes() == b"private" and (tmp_path / "victim.svg").exists()
    assert door.scorer.seen == [] and door.files() == []
    assert str(door.root) not in told


def test_a_file_or_link_below_the_page_s_folder_that_nobody_uploaded_is_not_there(door, tmp_path):
    victim = tmp_path / "victim.mp4"
    victim.write_bytes(b"private")
    link = door.uploads.incoming / "link.mp4"
    link.symlink_to(victim)
    for path in (link.name, str(link)):
        told = door.call(CHOOSE, [name_file(path)]) + door.call(SCORE, [name_file(path)])
        assert says.SAY_GONE in told
        assert door.client.get(f"/gradio_api/file={path}").status_code == 404
    assert link.is_symlink() and victim.exists() and door.scorer.seen == []
    link.unlink()


def test_an_upload_is_known_by_a_random_name_and_what_else_is_said_of_it_is_ignored(door, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"private")
    (name,) = upload(door.client).json()
    assert str(door.root) not in name and len(name) >= 32
    assert door.client.get(f"/gradio_api/file={name}").content == VIDEO
    sent = name_file(name, url=f"file://{victim}", orig_name=str(victim), is_stream=True)
    message = {"fn_index": CHOOSE, "data": [sent, sent], "session_hash": "a"}
    assert door.client.post("/gradio_api/run/predict", json=message).status_code == 200
    assert "result-title" in door.call(SCORE, [sent])
    assert door.scorer.seen[0] == ("my clip.mp4", VIDEO)
    assert door.files() == [] and victim.exists()


def test_a_score_that_nobody_would_read_to_its_end_is_not_begun(door):
    (name,) = upload(door.client).json()
    message = {"fn_index": SCORE, "data": [name_file(name)], "session_hash": "a"}
    assert door.client.post("/gradio_api/run/predict", json=message).status_code == 404
    assert door.uploads.find(name)


def test_gradio_s_own_check_of_paths_is_active(door):
    assert door.app.routes[-1].app.get_blocks().has_launched


@pytest.mark.parametrize("kind", ["/", "\\"])
def test_a_name_is_shown_and_bounded_but_never_part_of_a_path(door, kind):
    long = kind.join(["..", "..", "x" * 300 + ".M%P/4" + "4" * 300])
    (name,) = upload(door.client, name=long).json()
    assert [path.name for path in door.files()] == [name] and len(name) < 48
    assert len(door.uploads.find(name).name) == 100


def test_nothing_answers_but_what_the_page_asks_for(door, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("private")
    for path in ("openapi.json", "docs", "redoc", "login", "monitoring", "static/../../etc/passwd"):
        assert door.client.get(f"/{path}").status_code == 404
    api = (
        "openapi.json", "info", "deep_link", "app_id", "dev/reload", f"file={secret}", f"file/{secret}",
        "file=..%2F..%2Fsecret", "proxy=http://127.0.0.1:1/", "stream/a/b/0/playlist-file",
    )  # fmt: skip
    for path in api:
        assert door.client.get(f"/gradio_api/{path}").status_code == 404
    for path in ("api/predict", "call/score", "call/v2/score", "process_recording", "stream/a", "vibe-edit"):
        assert door.client.post(f"/gradio_api/{path}", json={"data": []}).status_code == 404
    assert door.client.request("TRACE", "/").status_code == 404
    for path in ("", "config"):
        told = door.client.get(f"/{path}")
        assert told.status_code == 200 and str(door.root) not in told.text
        assert told.headers["content-security-policy"].startswith("default-src 'self';")
    assert door.client.get("/", headers={"host": "elsewhere.example"}).status_code == 400


FOREIGN = (
    {"sec-fetch-site": "cross-site", "origin": HOME},
    {"sec-fetch-site": "same-site"},  # another port of this machine
    {"origin": "https://elsewhere.example"},
    {"origin": "http://127.0.0.1:9"},
    {"origin": "null"},
)


@pytest.mark.parametrize("headers", FOREIGN)
def test_other_sites_may_neither_upload_nor_call(door, headers):
    assert upload(door.client, **headers).status_code == 403
    simple = headers | {"content-type": "text/plain"}  # browsers send this without asking first
    message = json.dumps({"fn_index": CHOOSE, "data": [None], "session_hash": "a"})
    told = door.client.post("/gradio_api/run/predict", content=message, headers=simple)
    assert told.status_code == 403 and door.files() == []


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "same-origin"}, {"origin": HOME}, {}])
def test_the_page_itself_may_upload(door, headers):
    assert upload(door.client, **headers).status_code == 200


def test_one_address_cannot_fill_the_room_and_small_files_count(door):
    tiny = [upload(door.client, b"x").status_code for _ in range(101)]
    assert tiny == [200] * 100 + [507] and len(door.files()) == 100
    assert upload(door.client).text == says.SAY_OWN_SHARE
    other = door.come_from("192.0.2.7")
    assert upload(other, b"x" * 900_000).status_code == 200
    third = upload(door.come_from("192.0.2.8"), b"x" * 900_000)
    assert third.status_code == 507 and third.text == says.SAY_DISK_FULL
    assert sum(path.stat().st_size for path in door.files()) <= LIMITS.max_disk_bytes


def test_room_comes_back_with_the_score_and_with_the_next_choice(door):
    for _ in range(3):
        (name,) = upload(door.client, b"x" * 900_000).json()
        door.call(CHOOSE, [name_file(name)], "a")
        door.call(CHOOSE, [None], "a")
    (name,) = upload(door.client, b"x" * 900_000).json()
    assert "result-title" in door.call(SCORE, [name_file(name)])
    assert upload(door.client, b"x" * 900_000).status_code == 200


def test_what_is_too_long_or_of_no_said_length_is_refused_unread(door):
    post = door.client.post
    assert upload(door.client, b"x" * (LIMITS.max_bytes + FRAMING_BYTES)).status_code == 413
    assert post("/gradio_api/upload", content=iter([b"x"])).status_code == 411
    long = {"fn_index": CHOOSE, "data": ["x" * FRAMING_BYTES], "session_hash": "a"}
    assert post("/gradio_api/run/predict", json=long).status_code == 413
    assert door.files() == []


@pytest.mark.parametrize(
    ("path", "most", "said"),
    [
        ("/gradio_api/run/predict", 20_000, says.SAY_WORDY),
        ("/gradio_api/upload", 1_020_000, says.say_too_large(LIMITS)),
    ],
)
def test_a_message_may_have_as_many_bytes_as_it_may_and_not_one_more(path, most, said):
    def judge(length: int):
        headers = [(b"content-length", str(length).encode())]
        return Guard(None, LIMITS).judge({"type": "http", "method": "POST", "path": path, "headers": headers})

    assert judge(most) is None
    refusal = judge(most + 1)
    assert refusal.status_code == 413 and refusal.body.decode() == said


PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.mp4"\r\n\r\nx\r\n'
MALFORMED = {
    "no message": b"what is no message",
    "cut": PART,
    "two files": PART + PART + b"--b--\r\n",
    "no file": b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n',
    "nothing": b"",
    "endless header": b"--b\r\nContent-Disposition: " + b"x" * 10_000 + b"\r\n\r\nx\r\n--b--\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_not_one_whole_file_leaves_nothing(door, kind):
    headers = {"content-type": "multipart/form-data; boundary=b"}
    told = door.client.post("/gradio_api/upload", content=MALFORMED[kind], headers=headers)
    assert (told.status_code, told.text) == (400, says.SAY_ONE_FILE)
    for no_boundary in ({}, {"content-type": "multipart/form-data"}):
        assert door.client.post("/gradio_api/upload", content=PART, headers=no_boundary).status_code == 400
    assert door.files() == []
    assert upload(door.client, b"x" * 900_000).status_code == 200  # and takes no room


def test_an_upload_that_is_broken_off_leaves_nothing(tmp_path):
    uploads = Uploads(tmp_path, LIMITS)
    seen = []

    async def break_off():
        pieces = iter([PART, b"x" * 5000])

        async def receive():
            if (piece := next(pieces, None)) is not None:
                return {"type": "http.request", "body": piece, "more_body": True}
            seen.extend(path.stat().st_size for path in uploads.incoming.iterdir())
            return {"type": "http.disconnect"}

        async def send(_):
            pass

        headers = [(b"content-length", b"900000"), (b"content-type", b"multipart/form-data; boundary=b")]
        scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": headers}
        scope |= {"query_string": b"upload_id=t", "client": ("127.0.0.1", 1)}
        await Intake(uploads).list_routes()[0].handle(scope, receive, send)

    asyncio.run(break_off())
    assert len(seen) == 1 and list(uploads.incoming.iterdir()) == []
    with uploads.receive("127.0.0.1", 900_000):
        pass  # and takes no room


def test_an_upload_comes_back_as_nothing_that_a_browser_would_run(door):
    unknown = "application/octet-stream"
    for name, kind in (("x.html", unknown), ("x.svg", unknown), ("x.mp4", "video/mp4")):
        (known,) = upload(door.client, b"<script>alert(1)</script>", name).json()
        told = door.client.get(f"/gradio_api/file={known}")
        assert told.headers["content-type"] == kind and told.headers["content-disposition"] == "attachment"
        assert told.headers["x-content-type-options"] == "nosniff"


def test_an_error_that_nobody_foresaw_names_no_path(door):
    (name,) = upload(door.client, name="fail.mp4").json()
    told = door.call(SCORE, [name_file(name)])
    assert door.scorer.seen and "nobody foresaw" not in told and str(door.root) not in told
    assert door.files() == []


def test_equal_uploads_are_two_and_one_upload_is_scored_once(door):
    (first,), (second,) = upload(door.client).json(), upload(door.client).json()
    assert first != second
    assert "result-title" in door.call(SCORE, [name_file(first)])
    assert says.SAY_GONE in door.call(SCORE, [name_file(first)])
    assert len(door.scorer.seen) == 1 and door.client.get(f"/gradio_api/file={second}").content == VIDEO


NAMED = re.compile(r"(test_\w+\.py)::(test_\w+)")


@pytest.mark.parametrize("page", ["security.md", "reliability.md"])
def test_the_pages_name_tests_that_there_are(page):
    here = Path(__file__).parent
    named = NAMED.findall((here.parent / "docs" / page).read_text())
    assert len(named) > 20
    missing = [test for file, test in named if f"def {test}(" not in (here / file).read_text()]
    assert missing == []
