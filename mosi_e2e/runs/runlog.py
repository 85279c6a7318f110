"""The run folder: everything a run writes for people and for later commands.

```
runs/<name>/
├── config.yaml, environment.json      what was run, on what
├── history.csv, curves.png            per epoch; short ones share a drawing
├── best/                              weights of the best epoch, which stand alone
├── last/                              state to resume from
├── metrics_<split>.json, predictions_<split>.csv
├── calibration.json                   errors on held-out clips, for predict's interval
└── tensorboard/
```
"""

import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import distributions
from itertools import zip_longest
from pathlib import Path

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import get_int_from_env

from mosi_e2e.config import RunConfig
from mosi_e2e.data.streams import find_stream
from mosi_e2e.engine.losses import Objective
from mosi_e2e.models.config import ModelConfig, encoder_settings
from mosi_e2e.pages.plots import draw_curves
from mosi_e2e.runs import calibration
from mosi_e2e.runs.resume import find_resume
from mosi_e2e.scores.statistics import bootstrap_interval
from mosi_e2e.weights.origin import describe_origin
from preprocessing.cache.lock import hold_made
from preprocessing.cache.store import ClipStore, write_atomic
from preprocessing.errors import UserError, make_folder
from preprocessing.settings import dump_config, load_config
from preprocessing.untrusted.names import check_name

RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")  # as Accelerate reads them


def place_run(config: RunConfig) -> Path:
    """The run's folder.

    Raises:
        UserError: the run's name is not one.
    """
    check_name("name", config.name)
    return Path(config.out) / config.name


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Be the only command that writes into the run folder; of several processes the first holds its lock.

    Raises:
        UserError: another one does, or the folder cannot be made.
    """
    if get_int_from_env(RANKS, 0) > 0:
        yield
        return
    with hold_made(folder, f"the run {folder}"):
        yield


def open_run(folder: Path, config: RunConfig, resume: bool) -> None:
    """Refuse a run folder that does not suit.

    Raises:
        UserError: it exists and `resume` is false, or the other way round, or its config differs.
    """
    started = (folder / "config.yaml").is_file()
    if started and not resume:
        raise UserError(f"{folder} exists already; add --resume to go on with it, or type another name=NAME")
    if resume and not started:
        raise UserError(f"there is no run in {folder} to resume; leave out --resume to start it")
    if resume:
        check_same_config(folder, config)


def check_same_config(folder: Path, config: RunConfig) -> None:
    """A resumed run must be the run that was interrupted, but for its memory and its length."""
    old = load_config(RunConfig, folder / "config.yaml")
    before, now = (dump_config(leave_out_free(one)).splitlines() for one in (old, config))
    if before != now:
        pairs = zip_longest(before, now, fillvalue="nothing")
        odd = next((b.strip(), n.strip()) for b, n in pairs if b != n)
        raise UserError(
            f"{folder} was run with '{odd[0]}', not '{odd[1]}'; resume with the same settings (--config "
            f"{folder / 'config.yaml'})"
        )


def leave_out_free(config: RunConfig) -> RunConfig:
    """The settings without those that may change on resuming: of memory, storing, and length."""
    cross = config.model.crossmodal
    cross = replace(
        cross,
        face=replace(cross.face, gradient_checkpointing=False),
        speech=replace(cross.speech, gradient_checkpointing=False),
    )
    return replace(
        config,
        data=replace(config.data, micro_batch=0, eval_batch=1, workers=0),
        model=replace(config.model, crossmodal=cross),
        optim=replace(config.optim, epochs=1),
        stopping=replace(config.stopping, patience=1),
        save_every=0,
    )


def record_length(folder: Path, config: RunConfig, epoch: int) -> None:
    """Note in the run folder that a resumed run gets another length than it was started with.

    Args:
        folder: of the run.
        config: of now.
        epoch: from which on it holds.

    Raises:
        UserError: that many epochs are done already.
    """
    path, environment = folder / "config.yaml", folder / "environment.json"
    old = load_config(RunConfig, path)
    changes = {
        name: [before, now]
        for name, before, now in (
            ("optim.epochs", old.optim.epochs, config.optim.epochs),
            ("stopping.patience", old.stopping.patience, config.stopping.patience),
        )
        if before != now
    }
    if not changes:
        return
    if config.optim.epochs < epoch:
        raise UserError(
            f"{folder} has {epoch} epochs already, not {config.optim.epochs}; type --resume optim.epochs=N "
            "with a larger N to train it longer"
        )
    facts, change = json.loads(environment.read_text()), {"epoch": epoch} | changes
    noted = facts.get("changed_on_resume", [])
    if change not in noted[-1:]:  # there already where the disk was full before the config was written
        facts["changed_on_resume"] = [*noted, change]
    write_atomic(environment, (json.dumps(facts, indent=1) + "\n").encode())
    write_atomic(path, dump_config(config).encode())


def write_start(folder: Path, config: RunConfig, store: ClipStore, accelerator: Accelerator) -> None:
    """Environment and config, before anything is computed.

    The config comes last: it makes the folder a run, which `--resume` then takes as it is.
    """
    make_folder(folder)
    environment = describe_environment(accelerator)
    environment["pretrained"] = list_origins(config.model)
    environment["cache"] = {
        "path": str(store.root),
        "synthetic": store.synthetic,
        "recipes": {stage: store.recipe(stage) for stage in store.meta["stages"]},
    }
    write_atomic(folder / "environment.json", (json.dumps(environment, indent=1) + "\n").encode())
    write_atomic(folder / "config.yaml", dump_config(config).encode())


def list_origins(config: ModelConfig) -> dict[str, dict[str, str]]:
    """By stream the origin of the weights that its encoder began with (`weights.origin`)."""
    section = getattr(config, config.name)
    found = {
        name: describe_origin(encoder_settings(section, name), str(find_stream(name).pretrained))
        for name in section.streams
    }
    return {name: origin for name, origin in found.items() if origin}


def describe_environment(accelerator: Accelerator) -> dict:
    """Command, code version, packages and hardware."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    module = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", module.name.removesuffix(".__main__")] if module else sys.argv[:1]
    return {
        "command": [sys.executable, *program, *sys.argv[1:]],
        "git": describe_git(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": gpus,
        "processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "distributed": accelerator.distributed_type.value,
        "packages": {
            d.metadata["Name"]: d.version for d in sorted(distributions(), key=lambda d: d.name.lower())
        },
    }


def describe_git() -> dict | None:
    """Commit of the code and whether it was changed since; None outside a checkout."""
    root = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit.stdout.strip(), "dirty": bool(changed.stdout.strip())}


def write_history(folder: Path, history: list[dict]) -> None:
    """`history.csv`."""
    write_atomic(folder / "history.csv", pd.DataFrame(history).to_csv(index=False).encode())


def write_curves(
    folder: Path, history: list[dict], config: RunConfig, objective: Objective, floor: float | None
) -> None:
    """`curves.png`."""
    metric, direction = objective.monitor
    title = f"{config.name}: {config.model.name}, {config.task}"
    figure = draw_curves(pd.DataFrame(history), metric, floor, title, direction == "max")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    write_atomic(folder / "curves.png", picture.getvalue())


def score_table(table: pd.DataFrame, objective: Objective, synthetic: bool = False) -> dict:
    """The content of `metrics_<split>.json`: n, metrics, 95 % intervals by video, floors."""
    known = table[table.label.notna()]
    label, score = objective.read(known)
    return {
        "n": len(known),
        "videos": int(known.video_id.nunique()),
        "task": objective.task,
        "synthetic": synthetic,
        "metrics": objective.score(known),
        "interval": bootstrap_interval(
            label,
            score,
            known.video_id.to_numpy(),
            task=objective.task,
            zero=objective.zero_label,
            classes=objective.classes,
        ),
        "floors": objective.floors(label),
        **objective.describe(known),
    }


def write_split(folder: Path, split: str, table: pd.DataFrame, scores: dict | None) -> None:
    """`predictions_<split>.csv`, `metrics_<split>.json` and the errors of `calibration.json`."""
    write_atomic(folder / f"predictions_{split}.csv", table.to_csv(index=False).encode())
    if scores is not None:
        write_atomic(folder / f"metrics_{split}.json", (json.dumps(scores, indent=1) + "\n").encode())
        calibration.record(folder, split, table, scores["task"], scores["synthetic"])


def resume_state(folder: Path) -> Path | None:
    """Where to resume from; None where the run was killed before its first state was stored.

    Raises:
        UserError: a state was stored and is no longer there.
    """
    found = find_resume(folder / "last")
    history = folder / "history.csv"
    if found is None and history.is_file() and len(history.read_text().splitlines()) > 2:
        raise UserError(
            f"{folder / 'last'} is missing, the state to continue from: restore it from a copy; "
            f"{folder / 'best'} can still be used; to train again type another name=NAME"
        )
    return found
