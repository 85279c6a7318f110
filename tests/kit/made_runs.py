"""Run folders written on the spot, without a training: what a run leaves on disk, with drawn scores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mosi_e2e.config import DataConfig, OptimConfig, RunConfig
from mosi_e2e.engine.losses import Objective
from mosi_e2e.models.config import ModelConfig
from mosi_e2e.runs.runlog import score_table, write_split
from preprocessing.cache.facts import read_index
from preprocessing.settings import dump_config


@dataclass(frozen=True)
class MadeRun:
    """What a run is to look like.

    Attributes:
        name: folder, may have several parts.
        model: late_fusion | crossmodal.
        task: regression | binary.
        seed: of settings and scores.
        skill: weight of the truth in the scores; 0 is noise.
        splits: that have predictions.
        epochs: with a history; 0 writes none.
        lr: a setting, to tell systems apart.
    """

    name: str
    model: str = "late_fusion"
    task: str = "regression"
    seed: int = 0
    skill: float = 0.8
    splits: tuple[str, ...] = ("valid", "test")
    epochs: int = 4
    lr: float = 1e-4


def make_clips(videos: int, clips: int, seed: int = 0) -> dict[str, pd.DataFrame]:
    """A table of clips for each split, steps of 0.2 as in MOSI, videos that differ in their mean."""
    rng, tables = np.random.default_rng(seed), {}
    for split in ("train", "valid", "test"):
        names = [f"{split[0]}_v{number:02d}" for number in range(videos)]
        mean = np.repeat(rng.normal(0, 0.8, videos), clips)
        label = np.clip(np.round((mean + rng.normal(0, 1.3, videos * clips)) * 5) / 5, -3, 3) + 0.0
        ids = [f"{name}_{number}" for name in names for number in range(clips)]
        tables[split] = pd.DataFrame({"clip_id": ids, "video_id": np.repeat(names, clips), "label": label})
    return tables


def read_clips(cache: Path) -> dict[str, pd.DataFrame]:
    """The same of a cache."""
    index = read_index(cache / "index.csv")
    columns = ["clip_id", "video_id", "label"]
    return {split: part[columns].reset_index(drop=True) for split, part in index.groupby("split")}


def write_run(
    root: Path, made: MadeRun, clips: Mapping[str, pd.DataFrame], cache: str = "", synthetic: bool = True
) -> Path:
    """Write the folder and return it."""
    folder = root / made.name
    folder.mkdir(parents=True)
    data = DataConfig(cache=cache or "cache/none")
    base = RunConfig(name=folder.name, out=str(folder.parent), seed=made.seed, task=made.task, data=data)
    base = replace(base, model=ModelConfig(made.model), optim=OptimConfig(lr=made.lr))
    (folder / "config.yaml").write_text(dump_config(base))
    (folder / "environment.json").write_text(json.dumps(make_environment(cache, synthetic)))
    label = clips["train"].label.dropna().to_numpy()
    objective = Objective(made.task, "drop", base.loss, label)
    if made.epochs:
        (folder / "best").mkdir()
        facts = {"columns": {}, "train_label": label.tolist(), "synthetic": synthetic}
        (folder / "best" / "facts.json").write_text(json.dumps(facts))
        make_history(made).to_csv(folder / "history.csv", index=False)
    for number, split in enumerate(made.splits):
        table = draw_scores(clips[split], made, np.random.default_rng([made.seed, number]))
        write_split(folder, split, table, score_table(table, objective, synthetic))
    return folder


def draw_scores(clips: pd.DataFrame, made: MadeRun, rng: np.random.Generator) -> pd.DataFrame:
    noise = rng.normal(0, 1.0, (3, len(clips)))
    raw = made.skill * clips.label.fillna(0).to_numpy() + 0.6 * noise
    scores = 1 / (1 + np.exp(-2 * raw)) if made.task == "binary" else raw
    return clips.assign(score=scores[0], visual=scores[1], acoustic=scores[2])


def make_history(made: MadeRun) -> pd.DataFrame:
    epoch = np.arange(made.epochs)
    rng = np.random.default_rng(made.seed)
    metric = "valid_mae" if made.task == "regression" else "valid_nll"
    down = 1.5 * np.exp(-epoch / 3) + 0.6
    columns = {"epoch": epoch, "lr": 1e-3, "train_loss": down, "valid_loss": down + 0.1}
    columns |= {metric: down + rng.normal(0, 0.05, made.epochs), "seconds": 2.5, "clips_per_s": 30.0}
    return pd.DataFrame(columns)


def make_environment(cache: str, synthetic: bool) -> dict:
    return {
        "command": ["/somewhere/bin/python", "/somewhere/mosi_e2e/train.py", "--config", "a.yaml"],
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "python": "3.11.7",
        "platform": "Linux",
        "cpus": 2,
        "gpus": [],
        "processes": 1,
        "mixed_precision": "no",
        "distributed": "NO",
        "packages": {"torch": "2.11.0", "numpy": "2.4.6"},
        "cache": {"path": cache, "synthetic": synthetic, "recipes": {"faces": "12345678"}},
    }
