"""Starts child processes that import packages, and outlives what happens to them."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

LIMIT_S = 60.0  # for one child


@dataclass(frozen=True)
class ImportOutcome:
    """How an import went: `error` is empty where it went well; `facts` is what the probe found."""

    error: str = ""
    facts: dict = field(default_factory=dict)


def try_imports(names: Sequence[str], limit_s: float = LIMIT_S) -> dict[str, ImportOutcome]:
    """Import every name in a child process; one that kills it or hangs affects only itself.

    Args:
        names: in this order; what was imported before stays imported.
        limit_s: seconds that a child may take.
    """
    outcomes: dict[str, ImportOutcome] = {}
    while todo := [name for name in names if name not in outcomes]:
        answers, ending = run_probe(todo, limit_s)
        outcomes |= answers
        culprit = next((name for name in todo if name not in outcomes), None)
        if culprit is not None:
            outcomes[culprit] = ImportOutcome(ending or "the probe ended in the middle")
    return outcomes


def run_probe(names: Sequence[str], limit_s: float) -> tuple[dict[str, ImportOutcome], str]:
    """The answers of one child, and how it ended where it did not answer for all."""
    command = [sys.executable, "-m", "mosi_e2e.doctor.probe", *names]
    ending = ""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )
        text = done.stdout
        if done.returncode < 0:
            ending = f"the import kills the process ({name_signal(-done.returncode)})"
        elif done.returncode > 0:
            ending = f"the import ends the process with exit status {done.returncode}"
    except subprocess.TimeoutExpired as expired:
        text, ending = expired.stdout or b"", f"the import hangs (stopped after {limit_s:g} s)"
    except OSError as error:
        text, ending = b"", f"no process can be started: {error}"
    answers = {}
    for line in text.decode(errors="replace").splitlines():
        answer = read_answer(line)
        if answer and answer["name"] in names:
            answers[answer["name"]] = ImportOutcome(answer.get("error", ""), answer.get("facts", {}))
    return answers, ending


def read_answer(line: str) -> dict | None:
    """A line of the probe; None for anything else, such as a line cut by its death."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "name" in answer else None


def name_signal(number: int) -> str:
    """A signal's name, or its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
