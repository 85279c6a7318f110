"""How a file comes in: one per message, written as it arrives, gone if it does not arrive whole.

These take the places of Gradio's own endpoints for uploads, whose answers are paths of the server and which
leave what was broken off.
"""

import asyncio
import json
import logging
import mimetypes
from collections.abc import AsyncIterator
from typing import BinaryIO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from mosi_e2e.demo.limits import SAY_DISK_FULL, SAY_GONE, SAY_ONE_FILE, SAY_SLOW, say_too_large
from mosi_e2e.demo.uploads import KEEP_S, Upload, Uploads
from preprocessing.errors import UserError

LOOK_EVERY_S = 0.1
LOG = logging.getLogger("mosi_e2e.demo")
LOOKS = 10  # for an upload that somebody asks about before it has begun


class Intake:
    """The endpoints that the page's field for videos asks."""

    def __init__(self, uploads: Uploads):
        self.uploads = uploads
        self._arriving: dict[str, Upload] = {}  # by the name that the browser gave the transfer

    def list_routes(self) -> list[Route]:
        """All of them, under the addresses that Gradio's scripts ask."""
        return [
            Route("/gradio_api/upload", self.upload, methods=["POST"]),
            Route("/gradio_api/upload_progress", self.tell_progress),
            Route("/gradio_api/file={name}", self.send_back),
        ]

    async def upload(self, request: Request) -> Response:
        """Take one file, and answer with a list of its name here."""
        transfer = request.query_params.get("upload_id", "")
        sender = request.client.host if request.client else ""
        try:
            with self.uploads.receive(sender, int(request.headers["content-length"])) as upload:
                if transfer:
                    self._arriving[transfer] = upload
                async with asyncio.timeout(KEEP_S):
                    await self._write(request, upload)
        except UserError as error:
            return PlainTextResponse(str(error), 507)
        except TooLarge:
            return PlainTextResponse(say_too_large(self.uploads.limits), 413)
        except MultipartParseError:
            return PlainTextResponse(SAY_ONE_FILE, 400)
        except TimeoutError:
            return PlainTextResponse(SAY_SLOW, 408)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except OSError:
            LOG.exception("an upload could not be written")
            return PlainTextResponse(SAY_DISK_FULL, 507)
        finally:
            self._arriving.pop(transfer, None)
        return JSONResponse([upload.path.name])

    async def _write(self, request: Request, upload: Upload) -> None:
        with upload.path.open("wb") as file:
            message = Message(request.headers.get("content-type", ""), file)
            async for chunk in request.stream():
                upload.received += len(chunk)
                if upload.received > upload.cost:
                    raise TooLarge
                await asyncio.to_thread(message.write, chunk)
                upload.name = message.name or upload.name
            message.check_complete()
        upload.rename(upload.name)

    async def tell_progress(self, request: Request) -> Response:
        """How many bytes have arrived, as server-sent events."""
        transfer = request.query_params.get("upload_id", "")
        return StreamingResponse(self._follow(transfer), media_type="text/event-stream")

    async def _follow(self, transfer: str) -> AsyncIterator[str]:
        told, looks = 0, 0
        while transfer not in self._arriving and looks < LOOKS:
            looks += 1
            await asyncio.sleep(LOOK_EVERY_S)
        while (upload := self._arriving.get(transfer)) is not None:
            if upload.received > told:
                news = {"msg": "update", "orig_name": upload.name, "chunk_size": upload.received - told}
                told = upload.received
                yield f"data: {json.dumps(news)}\n\n"
            await asyncio.sleep(LOOK_EVERY_S)
        yield 'data: {"msg": "done"}\n\n'

    async def send_back(self, request: Request) -> Response:
        """The upload itself, for the visitor's own player; never as something that a browser would run."""
        try:
            upload = self.uploads.find(request.path_params["name"])
        except UserError:
            return PlainTextResponse(SAY_GONE, 404)
        kind = mimetypes.guess_type(upload.path.name)[0] or ""
        media = kind if kind.startswith(("video/", "audio/")) else "application/octet-stream"
        return FileResponse(upload.path, media_type=media, headers={"content-disposition": "attachment"})


class TooLarge(Exception):
    """More has come than was said."""


class Message:
    """A multipart message with one file in it and nothing else.

    Args:
        content_type: the message's header.
        file: where the file in it is written.
    """

    def __init__(self, content_type: str, file: BinaryIO):
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise MultipartParseError("this is no multipart message")
        self.file, self.name = file, ""
        self._parts, self._is_complete = 0, False
        self._field, self._value = b"", b""
        took = ("part_begin", "header_field", "header_value", "header_end", "part_data", "end")
        calls = {f"on_{what}": getattr(self, f"_take_{what}") for what in took}
        self._parser = MultipartParser(options[b"boundary"], calls)

    def write(self, chunk: bytes) -> None:
        """Take the next piece of the message."""
        self._parser.write(chunk)

    def check_complete(self) -> None:
        """Refuse a message that was cut, or that held no file."""
        if not (self._is_complete and self.name):
            raise MultipartParseError("this is no whole file")

    def _take_part_begin(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise MultipartParseError("there is more than one part")

    def _take_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _take_header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self.name = parse_options_header(self._value)[1].get(b"filename", b"").decode(errors="replace")
        self._field, self._value = b"", b""

    def _take_part_data(self, data: bytes, start: int, end: int) -> None:
        self.file.write(data[start:end])

    def _take_end(self) -> None:
        self._is_complete = True
