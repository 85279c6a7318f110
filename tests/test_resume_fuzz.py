"""A damaged or forged `last/`: training continues from it, or one line says what is wrong with it.

Many cases: `MOSI_FUZZ_CASES=10000 python -m pytest -n 0 -m slow tests/test_resume_fuzz.py`.
"""

import json
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from accelerate import Accelerator
from fuzzing import damaged, fuzz
from hypothesis import given
from hypothesis import strategies as st
from made_cache import make_cache
from tiny_models import write_recipe

from mosi_e2e.config import RunConfig
from mosi_e2e.data.batch import Batch
from mosi_e2e.engine.assemble import build_trainer
from mosi_e2e.engine.loop import Trainer, train_epoch, train_step
from mosi_e2e.engine.resume import describe_file, load_resume, save_resume
from preprocessing.errors import UserError
from preprocessing.settings import load_config
from preprocessing.store import ClipStore

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # a training step for each case

ODD = st.sampled_from(
    [None, True, 0, -1, 0.5, 1e308, 10**30, "", "x", [], {}, [[]], {"a": 1}, float("nan"), float("inf"), "é"]
)
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


@fuzz
@given(st.data(), st.integers(0, 3))
def test_a_damaged_state_is_refused_or_harmless(stored, last, data, number):
    path = sorted(last.iterdir())[number]
    whole = path.read_bytes()
    path.write_bytes(data.draw(damaged(whole)))
    said = continue_from(stored, last)
    assert "\n" not in said and len(said) < 1000
    assert said or path.read_bytes() == whole or path.name == "state.json"
    path.write_bytes(whole)


@fuzz
@given(st.data())
def test_a_forged_state_is_refused_or_can_be_continued_from(stored, last, data):
    """One value at any depth is something else, and the checksum is right."""
    content = json.loads((last / "state.json").read_text())
    place = content["state"]
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(ODD)
    text = json.dumps(content["state"])
    (last / "state.json").write_text(
        json.dumps({"crc32": zlib.crc32(text.encode()), "state": content["state"]})
    )
    said = continue_from(stored, last)
    assert "\n" not in said and len(said) < 1000
    shutil.copy(stored.last / "state.json", last)


@fuzz
@given(st.data(), st.sampled_from(["weights", "optimizer", "average"]))
def test_forged_tensors_are_refused_or_can_be_continued_from(stored, last, data, name):
    """A file's size and checksum fit, its content does not."""
    path = last / f"{name}.safetensors"
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    state = json.loads((last / "state.json").read_text())["state"]
    state["files"][path.name] = describe_file(path)
    text = json.dumps(state)
    (last / "state.json").write_text(json.dumps({"crc32": zlib.crc32(text.encode()), "state": state}))
    said = continue_from(stored, last)
    assert "\n" not in said and len(said) < 1000
    for whole in (path.name, "state.json"):
        shutil.copy(stored.last / whole, last)
