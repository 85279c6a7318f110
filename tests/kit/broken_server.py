"""A real HTTP server on this machine that fails as servers do, in the order a test says."""

import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """What one answer does wrong.

    Attributes:
        status: answer with this error and no file.
        cut: close the connection after so many bytes of the body.
        reset: close it hard, as a crashed machine does.
        hang: send nothing more after that, and keep the connection open.
        length: the Content-Length that is promised; -1 = none.
        chunked: send the body in chunks, without a length.
        range: the Content-Range that is claimed for the whole file.
        extra: bytes behind the file's own.
        headers: further ones.
    """

    status: int = 0
    cut: int | None = None
    reset: bool = False
    hang: bool = False
    length: int | None = None
    chunked: bool = False
    range: str = ""
    extra: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class BrokenServer(ThreadingHTTPServer):
    """Serves one file; `faults` are used up by the requests, then it behaves.

    Attributes:
        content, etag, modified: the file, and how it is distinguished from another.
        ranges: whether parts of it can be asked for.
        requests: headers of all requests so far.
    """

    daemon_threads = True

    def __init__(self, content: bytes = b""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.modified, self.ranges = content, '"one"', "", True
        self.faults: list[Fault] = []
        self.requests: list[dict[str, str]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/MOSI.zip"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Clients that go away are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: BrokenServer

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(dict(self.headers))
        fault = server.faults.pop(0) if server.faults else Fault()
        content = server.content
        if fault.status:
            return self.answer(fault.status, {"Content-Length": "0", **fault.headers})
        headers = {"ETag": server.etag, "Last-Modified": server.modified, **fault.headers}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range", server.etag)
        start, status = 0, 200
        if wanted and server.ranges and condition in (server.etag, server.modified):
            start, status = int(wanted[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            if start >= len(content):
                return self.answer(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
        if fault.range:
            headers["Content-Range"], status, start = fault.range, 206, 0
        body = content[start:] + fault.extra
        headers["Content-Length"] = str(len(body) if fault.length is None else fault.length)
        if fault.chunked:
            headers["Transfer-Encoding"] = "chunked"
        if fault.chunked or fault.length == -1:
            del headers["Content-Length"]
        self.answer(status, headers)
        return self.send_body(body, fault)

    def answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def send_body(self, body: bytes, fault: Fault) -> None:
        sent = body if fault.cut is None else body[: fault.cut]
        if fault.chunked:
            self.wfile.write(
                b"%x\r\n" % len(sent) + sent + b"\r\n" + (b"0\r\n\r\n" if fault.cut is None else b"")
            )
        else:
            self.wfile.write(sent)
        if fault.hang:
            self.server.released.wait(10)
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def send_response(self, code, message=None):
        """Without the date and the server's name, and with the version that allows chunks."""
        self.protocol_version = "HTTP/1.1"
        self.close_connection = True
        self.send_response_only(code, message)
        self.send_header("Connection", "close")

    def log_message(self, format, *args):
        """Quiet."""
