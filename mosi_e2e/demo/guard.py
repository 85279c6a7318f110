"""What stands before the page: who may send, what may be asked for, and how much may come."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mosi_e2e.demo.limits import SAY_ELSEWHERE, SAY_LENGTH, SAY_NOT_HERE, SAY_WORDY, Limits, say_too_large

FRAMING_BYTES = 20_000  # of a multipart message around its file; no other message is longer
UPLOAD = "/gradio_api/upload"
# What the page asks for. Gradio answers at some fifty more addresses, which nobody needs here. Its field for
# videos also loads 32 MB of FFmpeg, for buttons that are not shown.
READ = re.compile(
    r"/|/assets/.+|/static/(?!ffmpeg/).+|/theme\.css|/favicon\.ico|/robots\.txt|/config/?"
    r"|/gradio_api/(startup-events|heartbeat/\w+|queue/data|upload_progress|file=[\w.]+)"
)
WRITE = re.compile(r"/gradio_api/(upload|run/predict|queue/join|cancel|reset)/?")
ASKED = {"GET": READ, "HEAD": READ, "POST": WRITE}

# The page's own scripts and styles are inline and Gradio builds functions from text; nothing else is allowed
# in, and nothing goes out but to this server.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Guard:
    """ASGI middleware around the whole page."""

    def __init__(self, app: ASGIApp, limits: Limits):
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._pass_or_refuse(scope, receive, send)
        # a web socket: the page has none, and the server closes what is not answered

    async def _pass_or_refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await (self.judge(scope) or self.app)(scope, receive, send_guarded)

    def judge(self, scope: Scope) -> PlainTextResponse | None:
        """A refusal of what is asked or sent, or None. Nothing of it has been read yet."""
        asked = ASKED.get(scope["method"])
        if asked is None or not asked.fullmatch(scope["path"]):
            return PlainTextResponse(SAY_NOT_HERE, 404)
        if asked is READ:
            return None
        headers = Headers(scope=scope)
        if not is_own(headers):
            return PlainTextResponse(SAY_ELSEWHERE, 403)
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            return PlainTextResponse(SAY_LENGTH, 411)
        is_upload = scope["path"].rstrip("/") == UPLOAD
        if int(length) > FRAMING_BYTES + self.limits.max_bytes * is_upload:
            return PlainTextResponse(say_too_large(self.limits) if is_upload else SAY_WORDY, 413)
        return None


def is_own(headers: Headers) -> bool:
    """Whether a message comes from this page, or from a program that is not a browser.

    A browser says where a POST comes from, whatever that site wants: in `Sec-Fetch-Site` on `https` and on
    this machine, in `Origin` elsewhere.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")
