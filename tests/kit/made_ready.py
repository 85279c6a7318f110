"""A ready model of tiny parts: random text, voice and face models, and the runs that it is made of."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from kit.tiny_models import TINY_CROSS, TINY_LATE
from kit.tiny_speech import write_whisper
from kit.tiny_text import write_text_checkpoint

from mosi_e2e.config import LossConfig, RunConfig
from mosi_e2e.models import build_model
from mosi_e2e.models.config import ModelConfig, SpeechConfig, TextConfig
from mosi_e2e.ready.__main__ import main as ready
from mosi_e2e.runs.checkpoint import CacheFacts, save_model
from preprocessing.settings import dump_config

BERT = "tiny-bert"
EMOTIONS = ["happy", "neutral", "sad"]


def write_checkpoints(folder: Path) -> Path:
    """A recogniser and a text encoder, as `mosi weights` leaves them."""
    torch.manual_seed(0)
    for name, write in (("whisper-base", write_whisper), (BERT, write_text_checkpoint)):
        write(folder / name)
        (folder / name / "weights.json").write_text(json.dumps({"name": name}))
    return folder


def write_runs(folder: Path, weights: Path) -> dict[str, Path]:
    """Runs of words, voice and face with predictions of made-up clips."""
    text = TextConfig(str(weights / BERT), adapter_rank=2)
    speech = SpeechConfig(str(weights / "whisper-base"), freeze="frozen", layers="weighted")
    models = {
        "words": ModelConfig("late_fusion", late_fusion=replace(TINY_LATE, streams=["words"], words=text)),
        "speech": ModelConfig(
            "crossmodal", crossmodal=replace(TINY_CROSS, streams=["speech"], speech=speech)
        ),
        "face": ModelConfig("crossmodal", crossmodal=replace(TINY_CROSS, streams=["face"])),
    }
    return {name: write_one(folder / name, name, model) for name, model in models.items()}


def write_one(run: Path, name: str, model: ModelConfig) -> Path:
    """One run: an untrained model that has opinions, and 30 valid clips of 10 people."""
    classes = [] if name == "words" else EMOTIONS
    config = RunConfig(
        name=name, task="classes" if classes else "regression", model=model, loss=LossConfig(balance=True)
    )
    torch.manual_seed(1)
    network = build_model(model, {}, len(classes) or 1).eval()
    heads = [network.head] if model.name == "late_fusion" else network.stream_heads.values()
    with torch.no_grad():
        for head in heads:
            head[-1].weight.mul_(3)
    facts = CacheFacts({}, [0.0, 1.0, 2.0], False, train_seconds=[0.5, 1.0, 2.0], classes=classes)
    save_model(run / "best", network, config, facts)
    (run / "config.yaml").write_text(dump_config(config))
    random = np.random.default_rng(0)
    table = pd.DataFrame({"clip_id": range(30), "video_id": [f"v{n % 10}" for n in range(30)]})
    if classes:
        shares = random.dirichlet(np.ones(3), 30)
        table["label"] = [EMOTIONS[n % 3] for n in range(30)]
        table = table.assign(**{f"p_{one}": shares[:, n] for n, one in enumerate(classes)})
    else:
        table["label"] = random.uniform(-3, 3, 30)
        table["score"] = table.label + random.normal(0, 0.5, 30)
    table.to_csv(run / "predictions_valid.csv", index=False)
    return run


def make_ready(folder: Path, runs: dict[str, Path]) -> Path:
    """The folder that `python -m mosi_e2e.ready` makes of them."""
    asked = ["--words", str(runs["words"]), "--voice", str(runs["speech"]), "--face", str(runs["face"])]
    assert ready([*asked, "--out", str(folder)]) == 0
    return folder
