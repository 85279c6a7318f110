"""What lies in timing alone is learned by the correction, and by nothing else (docs/timing.md in small)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mosi_e2e.config import RunConfig
from mosi_e2e.engine.losses import Objective
from mosi_e2e.engine.optim import Schedule, build_optimizer
from mosi_e2e.models import build_model
from preprocessing.settings import load_config

RECIPE = Path(__file__).parent.parent / "configs" / "timing_crossmodal.yaml"
RATE = {"behaviour": 10, "acoustics": 20}  # rows a second
SLOT_S, SLOTS, CLIPS, COLUMNS = 0.34, 8, 400, 8


def make_clips(rng):
    """Each stream marks four of eight slots; the label is how many marks coincide, from -3 to 3."""
    label, marks = np.zeros(CLIPS), {name: np.zeros((CLIPS, SLOTS)) for name in RATE}
    for clip in range(CLIPS):
        shared = rng.integers(0, 5)
        heard = rng.permutation(SLOTS)
        seen = np.concatenate([heard[:4][:shared], heard[4:][: 4 - shared]])
        marks["acoustics"][clip, heard[:4]] = marks["behaviour"][clip, seen] = 1
        label[clip] = 1.5 * shared - 3
    batch, start = {"label": label}, rng.uniform(0.1, 0.5, (CLIPS, 1))
    for name, rate in RATE.items():
        time = np.tile((np.arange(round(3.5 * rate)) + 0.5) / rate, (CLIPS, 1))  # [n t]
        middle = start + SLOT_S * (np.arange(SLOTS) + 0.5)  # [n slots]
        bumps = np.exp(-0.5 * ((time[..., None] - middle[:, None]) / 0.09) ** 2)  # [n t slots]
        values = rng.normal(0, 0.6, (*time.shape, COLUMNS))
        values[..., :2] += 2 * (bumps * marks[name][:, None]).sum(axis=-1)[..., None]
        batch |= {name: values, f"{name}_time": time, f"{name}_is_pad": np.zeros(time.shape, bool)}
    return {
        key: torch.tensor(value, dtype=None if value.dtype == bool else torch.float32)
        for key, value in batch.items()
    }


def correlate(score, label):
    return np.corrcoef(score.numpy(), label.numpy())[0, 1]


@pytest.mark.slow  # trains for half a minute
def test_the_correction_learns_when_and_the_votes_do_not(one_thread):
    words = ["model.crossmodal.acoustics.stride=2"]  # rows of 20 a second → 10 tokens
    config = load_config(RunConfig, RECIPE, words)
    clips = make_clips(np.random.default_rng(3))
    train, test = slice(0, 320), slice(320, None)
    torch.manual_seed(0)
    model = build_model(config.model, {name: [str(i) for i in range(COLUMNS)] for name in RATE})
    objective = Objective("regression", "drop", config.loss, clips["label"][train].numpy())
    optimizer = build_optimizer(model, config.optim)
    schedule = Schedule(optimizer, config.optim, 20 * config.optim.epochs, "min")
    for _ in range(config.optim.epochs):
        model.train()
        for part in torch.randperm(320).split(config.data.batch_size):
            batch = {key: value[train][part] for key, value in clips.items()}
            for name in RATE:
                batch[name] = batch[name] + config.augment.token_noise * torch.randn_like(batch[name])
            loss = objective(model(batch), batch["label"], torch.full((len(part),), 1 / len(part)))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip)
            optimizer.step()
            schedule.after_update()
    with torch.no_grad():
        found = model.eval()({key: value[test] for key, value in clips.items()})
    label = clips["label"][test]
    assert correlate(found.score, label) > 0.96
    assert all(abs(correlate(score, label)) < 0.4 for score in found.by_stream.values())
