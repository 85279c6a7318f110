"""What stands before the page: too large uploads are refused unread, and nothing comes from elsewhere."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mosi_e2e.demo.limits import SAY_DISK_FULL, Limits, say_too_large
from mosi_e2e.demo.uploads import Uploads

FRAMING_BYTES = 20_000  # of a multipart message around its file

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

    def __init__(self, app: ASGIApp, limits: Limits, uploads: Uploads):
        self.app, self.limits, self.uploads = app, limits, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        refusal = self.judge(scope) if scope["method"] == "POST" else None
        await (refusal or self.app)(scope, receive, send_guarded)

    def judge(self, scope: Scope) -> PlainTextResponse | None:
        """A refusal of what is being sent, or None. Nothing of it has been read yet."""
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            return PlainTextResponse("What is sent must say how long it is (Content-Length).", 411)
        if int(length) > self.limits.max_bytes + FRAMING_BYTES:
            return PlainTextResponse(say_too_large(self.limits), 413)
        is_file = int(length) > FRAMING_BYTES
        if is_file and self.uploads.count_bytes() + int(length) > self.limits.max_disk_bytes:
            return PlainTextResponse(SAY_DISK_FULL, 507)
        return None
