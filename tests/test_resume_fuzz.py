"""A damaged or forged `last/`: training continues from it, or one line says what is wrong with it.

Many cases: `make fuzz CASES=1000 TESTS=tests/test_resume_fuzz.py`.
"""

import json
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from accelerate import Accelerator
from kit.fuzzing import damage, replace_one, seeded
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

from mosi_e2e.config import RunConfig
from mosi_e2e.data.batch import Batch
from mosi_e2e.engine.loop import Trainer, train_epoch, train_step
from mosi_e2e.runs.assemble import build_trainer
from mosi_e2e.runs.resume import describe_file, load_resume, save_resume
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError
from preprocessing.settings import load_config

pytestmark = pytest.mark.usefixtures("one_thread")
FILES = ("state.json", "weights.safetensors", "optimizer.safetensors", "average.safetensors")
SCHEDULES = ("cosine", "plateau")


class Stored:
    """A trainer, its state and one batch; no data class, whose whole batch a failing test would print."""

    def __init__(self, trainer: Trainer, last: Path, batch: Batch):
        self.trainer, self.last, self.batch = trainer, last, batch


@pytest.fixture(scope="module", params=SCHEDULES)
def stored(request, tmp_path_factory):
    """Before its second epoch."""
    place = tmp_path_factory.mktemp("place")
    recipe = write_recipe(place / "late.yaml", make_cache(place, size=16), "late_fusion")
    config = load_config(RunConfig, recipe, [f"optim.schedule={request.param}", "optim.ema=0.8"])
    trainer = build_trainer(config, ClipStore(place / "cache"), Accelerator())[1]
    loss, _ = train_epoch(trainer, 0, lambda: None)
    row = {"epoch": 0, "lr": 1e-3, "train_loss": loss, "valid_loss": None, "valid_mae": 1.0}
    trainer.progress = replace(trainer.progress, epoch=1, update=0, history=[row])
    trainer.stopping.update(1.0, 0)
    save_resume(trainer, place / "last")
    return Stored(trainer, place / "last", next(iter(trainer.train_loader)))


@pytest.fixture
def last(stored, tmp_path):
    return shutil.copytree(stored.last, tmp_path / "last")


def sign(state: dict, last: Path) -> None:
    """Write `state.json` as someone would who keeps its checksum right."""
    text = json.dumps(state)
    (last / "state.json").write_text(json.dumps({"crc32": zlib.crc32(text.encode()), "state": state}))


def continue_from(stored, last) -> str:
    """Load the state and do what a training does with all of it; the message of a refusal."""
    trainer = stored.trainer
    try:
        load_resume(trainer, last)
        train_step(trainer, stored.batch, is_last=True)
        trainer.schedule.after_epoch(0.5)
        trainer.stopping.update(0.5, trainer.progress.epoch)
        assert trainer.stopping.should_stop in (True, False)
        table = pd.DataFrame(trainer.progress.history)
        assert table.epoch.tolist() == list(range(trainer.progress.epoch))
        assert table.astype(float).shape == table.shape
    except UserError as error:
        return str(error)
    return ""


@seeded(8)
def test_a_damaged_state_is_refused_or_harmless(stored, last, draw):
    path = last / draw.choice(FILES)
    whole = (stored.last / path.name).read_bytes()
    path.write_bytes(damage(whole, draw))
    said = continue_from(stored, last)
    assert "\n" not in said and len(said) < 1000
    assert said or path.read_bytes() == whole or path.name == "state.json"
    path.write_bytes(whole)


@seeded(8)
def test_a_forged_state_is_refused_or_can_be_continued_from(stored, last, draw):
    """One value at any depth is something else, and the checksum is right."""
    state = json.loads((stored.last / "state.json").read_text())["state"]
    replace_one(draw, state)
    sign(state, last)
    said = continue_from(stored, last)
    assert "\n" not in said and len(said) < 1000 and (not said or str(last) in said)


@seeded(8)
def test_forged_tensors_are_refused_or_can_be_continued_from(stored, last, draw):
    """A file's size and checksum fit, its content does not."""
    path = last / draw.choice(FILES[1:])
    whole = (stored.last / path.name).read_bytes()
    path.write_bytes(damage(whole, draw))
    state = json.loads((stored.last / "state.json").read_text())["state"]
    state["files"][path.name] = describe_file(path)
    sign(state, last)
    said = continue_from(stored, last)
    assert "\n" not in said and len(said) < 1000
    path.write_bytes(whole)
