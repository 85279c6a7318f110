"""Repeats a run from what its folder says, and compares."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from mosi_e2e.config import RunConfig
from mosi_e2e.runs.checkpoint import WEIGHTS
from mosi_e2e.scores.predictions import read_run_table
from preprocessing.errors import UserError
from preprocessing.settings import load_config

CLOSE = 1e-3  # largest difference of a score that another machine or process count is allowed


def repeat(run: Path, train: Callable[[RunConfig], Path]) -> bool:
    """Train again with a run's settings, into `<name>_repeat`, and say what is the same.

    Args:
        run: folder of a finished run.
        train: runs a config and returns its folder.

    Returns:
        Whether every valid score is within 0.001 of what it was.

    Raises:
        UserError: no finished run there.
    """
    if not (run / "predictions_valid.csv").is_file():
        raise UserError(f"{run} holds no finished run (no predictions_valid.csv); type the folder of one")
    config = load_config(RunConfig, run / "config.yaml")
    again = train(replace(config, name=f"{run.name}_repeat", out=str(run.parent)))
    for line in compare_environments(read_environment(run), read_environment(again)):
        print(f"differs: {line}")
    same, text = compare_results(run, again)
    print(text)
    return same


def read_environment(run: Path) -> dict:
    """What a run's folder says of its machine and command."""
    return json.loads((run / "environment.json").read_text())


def compare_environments(before: dict, now: dict) -> list[str]:
    """What is not as it was, a line each: code, cache, packages, hardware."""
    lines = [
        f"its length was changed after {change['epoch']} epochs: {describe_change(change)}"
        for change in before.get("changed_on_resume", [])
    ]
    if before["git"] != now["git"]:
        lines.append(f"code: {describe_code(before['git'])} → {describe_code(now['git'])}")
    elif before["git"] and before["git"]["dirty"]:
        lines.append("code: the same commit, changed then and now; whether in the same way is not known")
    for key in ("python", "platform", "cpus", "gpus", "processes", "mixed_precision"):
        if before[key] != now[key]:
            lines.append(f"{key}: {before[key]} → {now[key]}")
    for kind, old, new in (
        ("cache stage", before["cache"]["recipes"], now["cache"]["recipes"]),
        ("package", before["packages"], now["packages"]),
    ):
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                lines.append(f"{kind} {name}: {old.get(name, 'none')} → {new.get(name, 'none')}")
    return lines


def describe_change(change: dict) -> str:
    """`optim.epochs 40 → 60`, for each setting."""
    return ", ".join(f"{k} {v[0]} → {v[1]}" for k, v in change.items() if k != "epoch")


def describe_code(git: dict | None) -> str:
    """The commit of the code, and whether the code was changed since."""
    if not git or not git.get("commit"):
        return "no checkout"
    return git["commit"][:10] + (" with changes" if git.get("dirty") else "")


def compare_results(run: Path, again: Path) -> tuple[bool, str]:
    """Whether two runs gave the same, and one line that says so."""
    before, now = (read_run_table(one / "predictions_valid.csv") for one in (run, again))
    if before.clip_id.tolist() != now.clip_id.tolist():
        return False, f"NOT the same: {len(before)} clips were scored then, {len(now)} others now"
    weights = [load_file(one / "best" / WEIGHTS) for one in (run, again)]
    same_weights = weights[0].keys() == weights[1].keys() and all(
        np.array_equal(value, weights[1][name]) for name, value in weights[0].items()
    )
    largest = float((before.score - now.score).abs().max())
    if same_weights and largest == 0:
        return True, "the same to the bit: weights and scores"
    verdict = "the same within" if largest <= CLOSE else "NOT the same:"
    return largest <= CLOSE, f"{verdict} {largest:.2g}, the largest difference of a valid score"
