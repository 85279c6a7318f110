"""Both models, built small from the real classes, and batches and recipes of a made cache for them."""

from dataclasses import replace
from pathlib import Path

import torch
from kit.tiny_encoders import GROUP_NORM, TINY_VIT

from mosi_e2e.config import DataConfig, OptimConfig, RunConfig
from mosi_e2e.data.batch import Batch, collate
from mosi_e2e.data.dataset import ClipDataset, Pick
from mosi_e2e.models import build_model, list_streams, set_statistics
from mosi_e2e.models.config import (
    CrossModalConfig,
    FusionConfig,
    LateFusionConfig,
    ModelConfig,
    SpeechConfig,
    TokenConfig,
)
from mosi_e2e.runs.checkpoint import read_columns
from preprocessing.cache.store import ClipStore
from preprocessing.settings import dump_config

TINY_TOKENS = TokenConfig(width=16)
TINY_LATE = LateFusionConfig(
    width=16,
    dropout=0.0,
    behaviour=replace(TINY_TOKENS, context=1),
    acoustics=replace(TINY_TOKENS, stride=5, context=2),
    functionals=TINY_TOKENS,
)
TINY_CROSS = CrossModalConfig(
    streams=["face", "speech", "behaviour", "acoustics"],
    face=TINY_VIT,
    speech=SpeechConfig("wav2vec2", pretrained=False, kwargs=GROUP_NORM, freeze="full", freeze_stem=False),
    behaviour=TINY_TOKENS,
    acoustics=replace(TINY_TOKENS, stride=4),
    functionals=TINY_TOKENS,
    fusion=FusionConfig(width=16, heads=2, layers=1, self_layers=1, dropout=0.0),
    head_dropout=0.0,
)
MODELS = {
    "late_fusion": ModelConfig("late_fusion", late_fusion=TINY_LATE),
    "crossmodal": ModelConfig("crossmodal", crossmodal=TINY_CROSS),
}


def tiny_model(config: ModelConfig, store: ClipStore, seed: int = 0) -> torch.nn.Module:
    """The model in eval mode, with the cache's statistics."""
    torch.manual_seed(seed)
    model = build_model(config, read_columns(store, list_streams(config)))
    set_statistics(model, store.stats)
    return wake(model).eval()


def wake(model: torch.nn.Module) -> torch.nn.Module:
    """Let a new model's correction say something, which starts small."""
    if hasattr(model, "correction"):
        torch.nn.init.normal_(model.correction.weight, std=1.0)
    return model


def load_batch(config: ModelConfig, store: ClipStore, clip_ids: list[str]) -> Batch:
    """The clips of the train split, not augmented."""
    data = ClipDataset(store, "train", list_streams(config), DataConfig())
    numbers = {clip_id: number for number, clip_id in enumerate(data.clips.clip_id)}
    return collate([data[Pick(numbers[clip_id], weight=1 / len(clip_ids))] for clip_id in clip_ids])


def write_recipe(path: Path, cache: Path, model: str, dropout: float = 0.0, epochs: int = 3) -> Path:
    """A recipe for a run of seconds; its folder lies beside it in `runs`."""
    config = MODELS[model]
    if model == "late_fusion":
        config = replace(config, late_fusion=replace(TINY_LATE, dropout=dropout))
    else:
        fusion = replace(TINY_CROSS.fusion, dropout=dropout)
        config = replace(config, crossmodal=replace(TINY_CROSS, fusion=fusion, head_dropout=dropout))
    run = RunConfig(
        out=str(path.parent / "runs"),
        data=DataConfig(cache=str(cache), batch_size=6, eval_batch=4, workers=0),
        model=config,
        optim=OptimConfig(lr=5e-3, encoder_lr=1e-3, epochs=epochs),
    )
    path.write_text(dump_config(run))
    return path
