"""The checkpoints that the ready model needs: one line where they are missing; on a terminal a question."""

import io
import re
from pathlib import Path

import pytest

import mosi_e2e
from mosi_e2e.predict.__main__ import main as predict
from mosi_e2e.ready import bases
from mosi_e2e.ready import predictor as ready_predictor
from mosi_e2e.ready.folder import read_ready
from preprocessing.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
MPNET = "all-mpnet-base-v2"


class Terminal(io.StringIO):
    """A keyboard on which something was typed, or a screen."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A video, and no checkpoint."""
    (tmp_path / "video.mp4").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOSI_WEIGHTS", str(tmp_path / "weights"))


def get(name):
    """What `get_checkpoint` leaves behind."""
    folder = Path("weights") / name
    folder.mkdir(parents=True)
    (folder / "weights.json").write_text("{}")


def stop(what):
    raise UserError(what)


@pytest.mark.parametrize(("typed", "fetched"), [("y\n", True), ("Yes\n", True), ("\n", False), ("", False)])
def test_on_a_terminal_the_first_prediction_asks_and_fetches(monkeypatch, typed, fetched):
    screen = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(bases, "get_checkpoint", get)
    monkeypatch.setattr(ready_predictor, "open_model", lambda *_: stop("it went on"))
    assert predict(["video.mp4"]) == 2
    told = screen.getvalue()
    sizes = f"whisper-base (134 MB), {MPNET} (405 MB), 539 MB in all"
    assert told.startswith(f"The ready model needs {sizes}. Fetch now? [y/N] ")
    assert ("it went on" in told) is fetched and Path("weights", MPNET).is_dir() is fetched
    assert ("type: make ready (or python -m mosi_e2e.weights get" in told) is not fetched


def test_missing_checkpoints_are_one_line_with_sizes(monkeypatch, capsys):
    monkeypatch.setattr(bases, "get_checkpoint", lambda name: stop("nobody was asked"))
    assert predict(["video.mp4"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"whisper-base (134 MB), {MPNET} (405 MB), 539 MB in all" in error
    with pytest.raises(UserError, match="weights get"):
        mosi_e2e.load()


@pytest.mark.parametrize("name", ["ready", "fast"])
def test_the_command_that_fetches_is_that_of_the_makefile(name):
    target = bases.TARGETS[name].removeprefix("make ")
    rule = re.search(
        rf"^{target}:(.*\n)*?\t.*weights get (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    known = read_ready(ROOT / "models" / name)
    assert rule[2].split() == known.bases
    with pytest.raises(
        UserError, match=rf"type: make {target} \(or python -m mosi_e2e.weights get {rule[2]}\)"
    ):
        bases.check_bases(known)
