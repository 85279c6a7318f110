"""Brings one file over HTTP, over poor lines and across runs.

Beside the target lie `<name>.part`, the bytes so far, and `<name>.json`, what the server said about the
file they belong to. The next connection asks for the rest, on the condition that it is still the same
file (`Range`, `If-Range`: RFC 9110, sections 13 and 14); otherwise it starts over and says so.
"""

import http.client
import io
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from preprocessing.errors import UserError
from preprocessing.fetch.download_part import Part, RemoteFile, explain_writing, say
from preprocessing.untrusted.archive import check_space

CHUNK = 1 << 18  # bytes
AGENT = "mosi_e2e"
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others in a moment
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class DownloadOptions:
    """Patience.

    Attributes:
        retries: tries in a row that may fail without getting further.
        timeout_s: a connection that is silent for longer counts as broken.
        wait_s: before the first retry; doubles with each, up to a minute.
    """

    retries: int = 5
    timeout_s: float = 30.0
    wait_s: float = 1.0


class Setback(Exception):
    """A failed try that may go better the next time."""

    def __init__(self, message: str, wait_s: float = 0.0):
        super().__init__(message)
        self.wait_s = wait_s  # what the server asks to wait


def download(url: str, target: Path, options: DownloadOptions, advice: str) -> None:
    """Bring `url` into the file `target`, which appears only when it is whole.

    Args:
        url: http or https address.
        target: file in an existing folder; if it is there already, nothing is asked of the server.
        options: retries and timeouts.
        advice: what to do if it cannot be had; ends the message.

    Raises:
        UserError: it cannot be had now; the bytes so far stay for the next run.
    """
    if target.is_file():
        return
    part, failures = Part(target, url), 0
    furthest = part.size
    if part.size:
        whole = "?" if part.remote.total is None else f"{part.remote.total / 1e6:.1f}"
        say(f"going on at {part.size / 1e6:.1f} MB of {whole} MB")
    while not part.complete:
        try:
            transfer(part, options)
        except Setback as setback:
            failures = 1 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            if failures > options.retries:
                kept = f"; {part.size / 1e6:.1f} MB are kept, the same command goes on there"
                raise UserError(f"{url}: {setback}{kept if part.size else ''}: {advice}") from setback
            wait = min(max(options.wait_s * 2 ** (failures - 1), setback.wait_s), LONGEST_WAIT_S)
            say(f"{setback}; next try in {wait:.0f} s ({failures} of {options.retries})")
            time.sleep(wait)
        except urllib.error.HTTPError as error:
            raise UserError(f"{url} answers {describe_status(error.code)}: {advice}") from error
    part.finish()


def transfer(part: Part, options: DownloadOptions) -> None:
    """One connection: ask for what is missing and write it down.

    Raises:
        Setback: it may go better the next time.
        urllib.error.HTTPError: an answer that is final.
    """
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity", **ask_for_rest(part)}
    try:
        request = urllib.request.Request(part.remote.url, headers=headers)
        with make_opener().open(request, timeout=options.timeout_s) as response:
            accept(response.status, response.headers, part)
            receive(response, part)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            part.start_over(RemoteFile(part.remote.url))
            raise Setback("the file on the server is shorter than what is here: starting over") from error
        if error.code not in PASSING:
            raise
        asked = error.headers.get("Retry-After", "")
        message = f"the server answers {describe_status(error.code)}"
        raise Setback(message, float(asked) if asked.isdecimal() else 0.0) from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise explain(error, part) from error


def make_opener() -> urllib.request.OpenerDirector:
    """An opener for http and https alone: a redirect to `file:` or `ftp:` leads nowhere."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def ask_for_rest(part: Part) -> dict[str, str]:
    """Request headers for the bytes after those that are here, if it is still the same file."""
    if not part.size:
        return {}
    weak = part.remote.etag.startswith("W/")  # says "equivalent", which is not "the same bytes"
    condition = part.remote.modified if weak else part.remote.etag or part.remote.modified
    return {"Range": f"bytes={part.size}-"} | ({"If-Range": condition} if condition else {})


def accept(status: int, headers: Mapping[str, str], part: Part) -> None:
    """Decide from a good answer whether the bytes go on or start over.

    Raises:
        Setback: the answer contradicts what was asked or said before.
        UserError: no room for the file.
    """
    length = headers.get("Content-Length", "")
    said = RemoteFile(
        part.remote.url,
        int(length) if length.isdecimal() else None,
        headers.get("ETag", ""),
        headers.get("Last-Modified", ""),
    )
    if status == 206:
        start, total = read_range(headers.get("Content-Range", ""))
        said = replace(said, total=total)
        if start == part.size and not part.remote.differs(said):
            return
    if part.size:
        changed = part.remote.differs(said)
        say(
            "the file on the server has changed"
            if changed
            else "the server sends the file from its start only"
        )
        say(f"starting over; {part.size / 1e6:.1f} MB are lost")
    if status != 200:
        part.start_over(RemoteFile(part.remote.url))
        raise Setback("the server sent another part than the one asked for")
    part.start_over(said)
    # Clips hardly shrink in an archive: what comes takes its size once more when it is unpacked.
    check_space(part.path.parent, 2 * (said.total or 0), "for the archive and what is in it")


def read_range(text: str) -> tuple[int | None, int | None]:
    """First byte and whole size out of `bytes 100-199/1000`; None where it is not said."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text)
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def receive(response: http.client.HTTPResponse, part: Part) -> None:
    """Append the body to the part, up to the promised size.

    Raises:
        Setback: it ended before.
    """
    total, size = part.remote.total, part.size
    with (
        open_to_append(part.path) as file,
        tqdm(total=total, initial=size, unit="B", unit_scale=True, desc="downloading") as bar,
    ):
        # read1: what has arrived is kept at once, so that a line that often breaks gets on too.
        while chunk := response.read1(CHUNK if total is None else min(CHUNK, total - size)):
            write_chunk(file, chunk)
            size += len(chunk)
            bar.update(len(chunk))
    if total is None:
        part.ended = True
    elif size < total:
        raise Setback(f"the connection ended at {size} of {total} bytes")


def open_to_append(path: Path) -> io.FileIO:
    """A file whose bytes are added to."""
    with explain_writing(path):
        return path.open("ab", buffering=0)


def write_chunk(file: io.FileIO, chunk: bytes) -> None:
    """Write all of it to disk; what fits of it stays."""
    with explain_writing(Path(file.name)):
        while chunk:
            chunk = chunk[file.write(chunk) :]


def explain(error: Exception, part: Part) -> Exception:
    """A broken connection as a setback, one that will always break as an error of the user's."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UserError(
            f"{part.remote.url}: the server's certificate is not valid ({reason.verify_message})"
        )
    if isinstance(error, (http.client.InvalidURL, UnicodeError)):
        return UserError(f"{part.remote.url} is not a valid address ({error}): correct --url")
    if isinstance(reason, str) and "unknown url type" in reason:
        return UserError(f"{part.remote.url} leads to an address that is neither http nor https ({reason})")
    return Setback(f"no connection, or it broke ({reason or type(error).__name__})")


def describe_status(code: int) -> str:
    """The number and its usual name; a server's own words may hold anything."""
    return f"{code} {http.client.responses.get(code, '')}".strip()
