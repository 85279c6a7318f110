"""`python -m mosi_e2e.demo`: a web page that scores one's own video."""

import importlib.util
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from mosi_e2e.demo.limits import Limits, check_limits
from mosi_e2e.demo.scoring import ScoringProcess
from mosi_e2e.demo.uploads import Uploads, open_folder
from mosi_e2e.demo.worker import Opener, open_predictor
from mosi_e2e.predict.inputs import check_is_run
from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command

DEFAULT = Limits()


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C."""
    parser = Parser(
        prog="python -m mosi_e2e.demo",
        description="A web page: upload or record a video, see its score. It keeps nothing.",
        epilog="example: python -m mosi_e2e.demo runs/sample_crossmodal --port 7860",
    )
    parser.add_argument(
        "run", type=Path, nargs="?", help="run folder with a trained model; default: the ready model"
    )
    parser.add_argument("--fast", action="store_true", help="without a run: the smaller ready model")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; default: this machine only"
    )
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one; default: 7860")
    parser.add_argument(
        "--max-mb", type=float, default=DEFAULT.max_mb, help=f"size of a file; default: {DEFAULT.max_mb:g}"
    )
    parser.add_argument(
        "--max-minutes",
        type=float,
        default=DEFAULT.max_minutes,
        help=f"length of a video; default: {DEFAULT.max_minutes:g}",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=DEFAULT.timeout,
        help=f"seconds of computing for one video; default: {DEFAULT.timeout:g}",
    )
    parser.add_argument(
        "--max-waiting",
        type=int,
        default=DEFAULT.max_waiting,
        help=f"videos that may wait behind the one at work; default: {DEFAULT.max_waiting}",
    )
    args = parser.parse_args(argv)
    limits = Limits(args.max_mb, args.max_minutes, args.timeout, args.max_waiting)
    check_limits(limits)
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the web page needs Gradio; type: pip install 'mosi-e2e[demo]'")
    run_page(find_model(args.run, args.fast), open_predictor, limits, args.host, args.port)
    return 0


def find_model(run: Path | None, fast: bool = False) -> Path:
    """The folder of the model that is asked for, or of the ready model.

    Raises:
        UserError: there is no model, or a checkpoint that the ready model needs is not here.
    """
    if run is not None and fast:
        raise UserError(f"--fast is a smaller ready model, used without a run: leave out --fast, or {run}")
    if run is not None:
        check_is_run(run)
        return run
    from mosi_e2e.ready.bases import check_bases
    from mosi_e2e.ready.folder import find_ready, read_ready

    folder = find_ready(fast)
    check_bases(read_ready(folder))
    return folder


def run_page(model: Path, open_model: Opener, limits: Limits, host: str, port: int) -> None:
    """Open the model, listen, and clean up whatever happens.

    Args:
        model: run folder.
        open_model: how to open it; importable, since another process calls it.
        limits: what one request may cost.
        host, port: where to listen.
    """
    with (
        sigterm_as_exit(),
        open_folder() as root,
        everything_within(root),
        closing(open_port(host, port)) as taken,
        closing(ScoringProcess(model, open_model, limits)) as scorer,
    ):
        print("opening the model ...", flush=True)
        opening = scorer.open()
        from mosi_e2e.demo.app import Page  # takes seconds, while the other process opens the model
        from mosi_e2e.demo.server import build_server, serve

        uploads = Uploads(root, limits)
        app = build_server(Page(scorer, uploads, limits, opening.result()), uploads, limits, host)
        announce(host, taken.getsockname()[1])
        serve(app, taken)


def open_port(host: str, port: int) -> socket.socket:
    """Take the port before anything slow is done.

    Raises:
        UserError: somebody else has it, or the address is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host} port {port}: {error.strerror}; type another one: --port {port + 1}"
        ) from error
    return taken


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does: by an exception, so that what was opened is closed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def everything_within(root: Path) -> Iterator[None]:
    """Let whatever is temporary lie in one folder, and libraries call nobody.

    Gradio reads these settings when it is imported, and the scoring process inherits them.
    """
    settings = {
        "GRADIO_TEMP_DIR": str(root / "incoming"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TMPDIR": str(root),
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    tempfile.tempdir = str(root)
    try:
        yield
    finally:
        tempfile.tempdir = None
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def announce(host: str, port: int) -> None:
    """Where to look, and who else can."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    print(f"open http://{shown}:{port} in a browser; Ctrl-C ends it", flush=True)
    if host not in ("127.0.0.1", "localhost", "::1"):
        print(
            f"note: --host {host} lets everybody who reaches this machine use the page; there is no password"
        )


if __name__ == "__main__":
    sys.exit(main())
