"""How the runs differ, on what they ran and how long they took, as tables."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mosi_e2e.pages.page import Table
from mosi_e2e.report.runs import Run
from mosi_e2e.runs.repeat import describe_code

ABSENT = "–"
IGNORED = ("name", "out", "seed")
PACKAGES = (
    "torch",
    "torchvision",
    "torchaudio",
    "transformers",
    "timm",
    "accelerate",
    "numpy",
    "mediapipe",
    "opensmile",
)


def tabulate_runs(runs: Sequence[Run], split: str) -> Table:
    """One row per run: what it is, how far it came, how long it took."""
    rows = []
    for run in runs:
        history = run.history
        rate = history.clips_per_s.median() if history is not None and "clips_per_s" in history else None
        planned = (run.config.get("optim") or {}).get("epochs")
        best = find_best_epoch(run)
        rows.append(
            [
                run.name,
                run.model,
                run.task,
                ABSENT if run.seed is None else f"{run.seed}",
                describe_state(run, split),
                f"{run.epochs} of {planned}" if planned else f"{run.epochs}",
                ABSENT if best is None else f"{best}",
                show_time(run.seconds),
                ABSENT if rate is None else f"{rate:.0f}",
                describe_machine(run.environment),
            ]
        )
    names = ["run", "model", "task", "seed", "state", "epochs", "best", "wall time", "clips/s", "machine"]
    caption = (
        "Runs. Wall time: of all epochs, training and validation; best: the epoch whose weights were kept."
    )
    return Table(caption, names, rows)


def describe_state(run: Run, split: str) -> str:
    """Which split a run was scored on, or how far it came."""
    shown = run.choose_split(split)
    if shown == split:
        return f"scored on {split}"
    if shown:
        return f"only {shown}, not {split}"
    return "started" if run.epochs else "no epoch yet"


def find_best_epoch(run: Run) -> int | None:
    """The epoch whose weights were kept."""
    column = f"valid_{run.monitor}"
    if run.history is None or column not in run.history or run.history[column].isna().all():
        return None
    values = run.history[column]
    return int(run.history.epoch[values.idxmax() if run.task == "classes" else values.idxmin()])


def describe_machine(environment: Mapping[str, Any]) -> str:
    """What a run was trained on."""
    gpus = environment.get("gpus") or []
    if gpus:
        return f"{len(gpus)} × {gpus[0]}"
    return f"{environment['cpus']} CPU cores" if environment.get("cpus") else ABSENT


def show_time(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return ABSENT
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def tabulate_differences(groups: Mapping[str, Sequence[Run]]) -> Table | None:
    """Settings that are not the same in all systems; None where there is one system, or no difference.

    Settings of a model that a system does not use are left out of its column.
    """
    flat = {name: flatten_used(runs[0]) for name, runs in groups.items()}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    rows = []
    for key in keys:
        found = [values.get(key, ABSENT) for values in flat.values()]
        if len({value for value in found if value != ABSENT}) > 1:
            rows.append([key, *found])
    if len(flat) < 2 or not rows:
        return None
    caption = "Settings that are not the same in all systems, seeds and names aside. –: not of its model."
    return Table(caption, ["setting", *flat], rows)


def flatten_used(run: Run) -> dict[str, str]:
    """Dotted settings of a run, without the sections of models that it does not use."""
    others = {f"model.{name}." for name in run.config.get("model") or {} if name not in ("name", run.model)}
    return {
        key: value
        for key, value in flatten(run.config)
        if key not in IGNORED and not any(key.startswith(other) for other in others)
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", show_value(value)


def show_value(value: Any) -> str:
    """A setting as the table shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(show_value(one) for one in value) or "none"
    return f"{value:g}" if isinstance(value, float) else f"{value}" or "empty"


def tabulate_environments(runs: Sequence[Run]) -> list[Table]:
    """What runs ran on: what they have in common, then what not; identical runs share a column."""
    columns: dict[tuple, list[str]] = {}
    for run in runs:
        columns.setdefault(tuple(list_environment(run.environment)), []).append(run.name)
    known = {content: names for content, names in columns.items() if content}
    keys = dict.fromkeys(key for content in known for key, _ in content)
    rows = [[key, *(dict(content).get(key, ABSENT) for content in known)] for key in keys]
    same = [row[:2] for row in rows if len(set(row[1:])) == 1]
    odd = [row for row in rows if len(set(row[1:])) > 1]
    silent = [name for content, names in columns.items() if not content for name in names]
    caption = f"Environment of {'all' if not silent else 'the'} runs" if not odd else "Environment: in common"
    caption += f"; not known for {', '.join(silent)}." if silent else "."
    tables = [Table(caption, ["", "value"], same)] if same else []
    heads = [name_column(names) for names in known.values()]
    return [*tables, *([Table("Environment: what differs.", ["", *heads], odd)] if odd else [])]


def list_environment(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values of a run's machine and packages."""
    if not environment:
        return
    yield "code", describe_code(environment.get("git"))
    yield "Python", f"{environment.get('python', ABSENT)}"
    yield "system", f"{environment.get('platform', ABSENT)}"
    yield "machine", describe_machine(environment)
    precision = environment.get("mixed_precision")
    yield (
        "processes",
        f"{environment.get('processes', ABSENT)}, {'no' if precision == 'no' else precision} mixed precision",
    )
    cache = environment.get("cache") or {}
    yield "cache", f"{cache.get('path', ABSENT)}{', synthetic' if cache.get('synthetic') else ''}"
    for stage, recipe in (cache.get("recipes") or {}).items():
        yield f"cache stage {stage}", f"{recipe}"
    packages = environment.get("packages") or {}
    for name in PACKAGES:
        if name in packages:
            yield name, packages[name]


def name_column(names: Sequence[str], most: int = 3) -> str:
    """The heading of a column of several runs."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def tabulate_commands(runs: Sequence[Run]) -> Table | None:
    """The command behind each run."""
    rows = [
        [run.name, show_command(run.environment["command"])] for run in runs if run.environment.get("command")
    ]
    return (
        Table("Commands. `python -m mosi_e2e.train --repeat RUN` repeats a run.", ["run", "command"], rows)
        if rows
        else None
    )


def show_command(words: Sequence[str]) -> str:
    """As one would type it: the interpreter's folder and the module's file are of no interest."""
    program, *others = words
    if others and PurePath(others[0]).parts[-2:] == ("mosi_e2e", "train.py"):
        others = ["-m", "mosi_e2e.train", *others[1:]]
    return shlex.join([PurePath(program).name, *others])
