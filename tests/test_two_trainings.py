"""Two trainings into one folder, really at once: one goes on, the other ends in one line."""

import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from kit.launched import end_all, start
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

from mosi_e2e.runs.resume import find_resume

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

LONG = ("optim.epochs=5000", "stopping.patience=5000")


@pytest.fixture
def race(tmp_path):
    """Starts two equal trainings; returns what the one that ended printed, and the other."""
    write_recipe(tmp_path / "late.yaml", make_cache(tmp_path), "late_fusion")
    started: list[subprocess.Popen] = []

    def run(*words):
        command = (sys.executable, "-m", "mosi_e2e.train", "--config", tmp_path / "late.yaml", "name=run")
        pair = [start(*command, *LONG, *words) for _ in range(2)]
        started.extend(pair)
        deadline = time.monotonic() + 200
        while len(going := [one for one in pair if one.poll() is None]) == 2:
            assert time.monotonic() < deadline, "both train into one folder"
            time.sleep(0.05)
        loser = next(one for one in pair if one not in going)
        assert len(going) == 1 and loser.returncode == 2, [one.communicate()[0] for one in pair]
        return loser.communicate()[0], going[0]

    yield run
    end_all(started)


def read_epochs(run):
    return pd.read_csv(run / "history.csv").epoch.tolist() if (run / "history.csv").is_file() else []


@pytest.mark.slow  # four trainings in processes of their own
@pytest.mark.timeout(500)
def test_of_two_at_once_one_trains_and_one_is_refused(tmp_path, race):
    """Also of two that resume: each pair adds to one history, in which no epoch is missing or twice."""
    run, seen = tmp_path / "runs" / "run", 0
    for words in ((), ("--resume",)):
        printed, winner = race(*words)
        assert printed.startswith("error: ") and printed.count("\n") == 1, printed
        assert f"the run {run} is being written by another run (" in printed
        deadline = time.monotonic() + 200
        while len(read_epochs(run)) < seen + 2:
            assert winner.poll() is None and time.monotonic() < deadline, winner.communicate()[0]
            time.sleep(0.05)
        winner.send_signal(signal.SIGTERM)
        output = winner.communicate(timeout=100)[0]
        assert winner.returncode == 143 and "Traceback" not in output, output
        assert ("resumed at epoch" in output) == bool(words)
        assert find_resume(run / "last") == run / "last"
        epochs = read_epochs(run)
        assert epochs == list(range(len(epochs))) and len(epochs) >= seen + 2
        seen = len(epochs)
