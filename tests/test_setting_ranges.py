"""A number that no run can use is refused when the settings are read, and the message says what to type."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from mosi_e2e.config import RunConfig
from mosi_e2e.models.config import TextConfig, TokenConfig
from preprocessing.errors import UserError
from preprocessing.settings import load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
RECIPES = [path for path in sorted(CONFIGS.glob("*.yaml")) if "model" in yaml.safe_load(path.read_text())]
WRONG = {
    "seed": [-1, 2**32],
    "save_every": [-1],
    "data.batch_size": [0, -1],
    "data.micro_batch": [-1],
    "data.eval_batch": [0],
    "data.workers": [-1],
    "data.max_seconds": [-0.1],
    "data.folds.n": [-1],
    "data.folds.test": [-1],
    "data.folds.seed": [-1],
    "augment.flip": [-0.1, 1.1],
    "augment.affine": [-0.1, 1],
    "augment.colour": [-0.1, 1.1],
    "augment.blur": [-0.1, 1.1],
    "augment.jpeg": [-0.1, 1.1],
    "augment.shrink": [-0.1, 1.1],
    "augment.gain_db": [-1, 101],
    "augment.noise_db": [-101, 101],
    "augment.noise": [-0.1, 1.1],
    "augment.speed": [-0.1, 0.96, 1, 2],
    "augment.token_noise": [-0.1],
    "augment.time_mask": [-0.1, 2],
    "augment.stream_dropout": [-0.1, 5],
    "loss.huber_delta": [-1, 0],
    "loss.auxiliary": [-1],
    "loss.ccc": [-1],
    "loss.ordinal": [-1],
    "loss.smoothing": [-0.1, 1],
    "optim.lr": [-1],
    "optim.encoder_lr": [-1],
    "optim.layer_decay": [-1, 1.1],
    "optim.weight_decay": [-1],
    "optim.epochs": [0],
    "optim.warmup": [-1, 2],
    "optim.final": [-0.1, 1.1],
    "optim.factor": [0, 1, 2],
    "optim.patience": [-1],
    "optim.clip": [-1],
    "optim.ema": [-0.1, 1],
    "stopping.patience": [0],
    "stopping.min_delta": [-0.1],
    "model.late_fusion.width": [0],
    "model.late_fusion.dropout": [-0.1, 1, 2],
    "model.late_fusion.bound": [-3],
    "model.crossmodal.head_dropout": [-0.1, 1],
    "model.crossmodal.bound": [-3],
    "model.crossmodal.correction": [-0.1],
    "model.crossmodal.face.image_size": [0, -1],
    "model.crossmodal.face.last_n": [0, -1],
    "model.crossmodal.speech.last_n": [0, -1],
    "model.crossmodal.speech.stride": [0, -1],
    "model.crossmodal.fusion.width": [0, -4],
    "model.crossmodal.fusion.heads": [0, -4],
    "model.crossmodal.fusion.layers": [0],
    "model.crossmodal.fusion.self_layers": [-1],
    "model.crossmodal.fusion.ffn_mult": [0],
    "model.crossmodal.fusion.bottleneck_tokens": [0],
    "model.crossmodal.fusion.dropout": [-0.1, 1],
}
WRONG_TOKENS = {"width": 0, "stride": 0, "context": -1}
RIGHT = [
    *["seed=4294967295", "save_every=0", "data.micro_batch=0", "data.workers=0", "data.max_seconds=0"],
    *["augment.speed=0", "augment.speed=0.95", "augment.gain_db=0", "augment.noise_db=-5"],
    *["augment.time_mask=1", "augment.stream_dropout=1", "loss.auxiliary=0", "optim.lr=0", "optim.clip=0"],
    *["optim.warmup=0", "optim.warmup=1", "optim.final=0", "optim.layer_decay=1", "optim.ema=0"],
    *["optim.patience=0", "model.late_fusion.bound=0", "model.crossmodal.fusion.dropout=0"],
    *["model.crossmodal.fusion.self_layers=0", "model.crossmodal.face.image_size=null"],
]


def list_numbers(config, prefix: str = "") -> Iterator[tuple[str, type]]:
    """Dotted key and type of every numeric setting, those of token streams and words aside."""
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, TokenConfig | TextConfig):
            continue
        if is_dataclass(value):
            yield from list_numbers(value, f"{prefix}{field.name}.")
        elif field.type in (int, float, int | None):
            yield f"{prefix}{field.name}", float if field.type is float else int


NUMBERS = dict(list_numbers(RunConfig()))


def refuse(key: str, value) -> str:
    with pytest.raises(UserError) as caught:
        load_config(RunConfig, None, [f"{key}={value}"])
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in WRONG for value in WRONG[key]])
def test_a_number_out_of_range_is_refused_with_what_to_type(key, value):
    message = refuse(key, value)
    assert message.startswith(f"{key} is ")
    found = NUMBERS[key](value)
    assert f"but is {found};" in message or f"found {found}," in message
    hint = message.split()[-1]
    load_config(RunConfig, None, [f"{key}={value}", hint])  # what it says repairs it


@pytest.mark.parametrize("key", [key for key, kind in NUMBERS.items() if kind is float])
@pytest.mark.parametrize("value", ["nan", ".inf", "-.inf"])
def test_what_is_no_finite_number_is_refused(key, value):
    message = refuse(key, value)
    assert message.startswith(f"{key} is ") and "and finite, but is" in message


def test_every_numeric_setting_has_a_range():
    assert set(NUMBERS) == set(WRONG)
    assert {field.name for field in fields(TokenConfig)} == set(WRONG_TOKENS)


@pytest.mark.parametrize("stream", ["late_fusion.acoustics", "crossmodal.behaviour", "crossmodal.tokens.x"])
@pytest.mark.parametrize("name", WRONG_TOKENS)
def test_token_streams_have_ranges(stream, name):
    value = WRONG_TOKENS[name]
    message = refuse(f"model.{stream}.{name}", value)
    assert message.startswith(f"model.NAME.STREAM.{name} is at least {value + 1}, but is {value}; type ")


@pytest.mark.parametrize("model", ["late_fusion", "crossmodal"])
def test_words_have_ranges(model):
    words = f"model.{model}.words"
    with pytest.raises(UserError, match=r"model\.NAME\.words\.last_n is at least 1; found 0"):
        load_config(RunConfig, None, [f"{words}.freeze=last_n", f"{words}.last_n=0"])
    assert refuse(f"{words}.tokenizer_bytes", -1).startswith("model.NAME.words.tokenizer_bytes is ")


@pytest.mark.parametrize("text", RIGHT)
def test_the_ends_of_a_range_and_0_for_off_are_allowed(text):
    load_config(RunConfig, None, [text])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_is_within_the_ranges(path):
    load_config(RunConfig, path)


def test_a_recipe_out_of_range_is_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("optim: {lr: -1}\n")
    with pytest.raises(UserError, match=r"optim\.lr is at least 0, but is -1\.0; type for example optim"):
        load_config(RunConfig, path)
