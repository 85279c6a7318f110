"""Serves the page: the port, who may come in, and the end."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mosi_e2e.demo.app import Page, make_head, make_theme
from mosi_e2e.demo.guard import Guard
from mosi_e2e.demo.intake import Intake
from mosi_e2e.demo.limits import Limits
from mosi_e2e.demo.uploads import Uploads

SWEEP_EVERY_S = 60
LOCAL = ("127.0.0.1", "localhost")


def build_server(page: Page, uploads: Uploads, limits: Limits, host: str) -> FastAPI:
    """The page as an ASGI application."""

    @contextlib.asynccontextmanager
    async def sweep(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep_for_ever(uploads))
        yield
        task.cancel()

    app = FastAPI(
        lifespan=sweep, routes=Intake(uploads).list_routes(), docs_url=None, redoc_url=None, openapi_url=None
    )
    if host in LOCAL:  # another name means that some web site leads its readers' browsers here
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL))
    app.add_middleware(Guard, limits=limits)
    blocks = page.build()
    app = gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        server_name=host,
        footer_links=[],
        run_history=False,
        max_file_size=limits.max_bytes,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,  # what was not foreseen may have a path in it
        theme=make_theme(),
        head=make_head(),
    )
    # Only `launch()` sets this, and until then Gradio does not check which files a message may name. Here it
    # is never asked to open one (`app.Messages`): this is the second lock.
    blocks.has_launched = True
    return app


def serve(app: FastAPI, port: socket.socket) -> None:
    """Until Ctrl-C or SIGTERM."""
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[port])


async def _sweep_for_ever(uploads: Uploads) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        uploads.sweep()
