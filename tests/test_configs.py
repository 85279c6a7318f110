"""Every recipe in `configs/` loads, and every model recipe builds and takes one optimizer step."""

import math
from pathlib import Path

import pytest
import yaml
from kit.made_cache import make_cache
from kit.made_features import make_tables, write_pickle
from kit.tiny_text import add_words, write_sentences, write_text_checkpoint

from mosi_e2e.config import RunConfig
from mosi_e2e.runs.training import train
from preprocessing.config import PreprocessConfig, check_config
from preprocessing.import_features.__main__ import main as import_features
from preprocessing.import_words import main as import_words
from preprocessing.settings import load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))
# Checkpoints cannot be fetched in a test: the same classes, small and random. At full size: the slow test.
SMALL = [
    "model.crossmodal.face.model=vit_small_patch16_224",
    "model.crossmodal.face.pretrained=false",
    "model.crossmodal.face.image_size=32",
    "model.crossmodal.face.kwargs={depth: 2, embed_dim: 32, num_heads: 2}",
    "model.crossmodal.face.last_n=1",
    "model.crossmodal.speech.model=wav2vec2",
    "model.crossmodal.speech.pretrained=false",
    "model.crossmodal.speech.kwargs={hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, "
    "intermediate_size: 32, conv_dim: [32, 32, 32, 32, 32, 32, 32], num_conv_pos_embeddings: 8, "
    "num_conv_pos_embedding_groups: 2}",
    "model.crossmodal.speech.last_n=1",
]


def is_preprocessing(path: Path) -> bool:
    return "labels" in yaml.safe_load(path.read_text())


# Files with a `base` tell `ablate` and `search` what to vary, and are no recipes of a run.
RUNS = [path for path in RECIPES if "model" in yaml.safe_load(path.read_text())]


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return make_cache(tmp_path_factory.mktemp("configs"))


@pytest.fixture(scope="module")
def named(tmp_path_factory) -> Path:
    """A cache whose labels are names."""
    return make_cache(tmp_path_factory.mktemp("named"), size=16, named=True)


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    """A cache of words, and the text encoder that reads them."""
    folder = tmp_path_factory.mktemp("words")
    table = write_sentences(folder / "labels.csv")
    write_text_checkpoint(folder / "bert")
    assert import_words([str(table), "--text", "text", "--out", str(folder / "cache")]) == 0
    return folder


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    """A cache of clips whose words are known, too."""
    return add_words(make_cache(tmp_path_factory.mktemp("spoken"), size=16))


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Path:
    """A cache that brings its own streams, for recipes with `tokens`."""
    folder = tmp_path_factory.mktemp("imported")
    file = write_pickle(folder / "features.pkl", make_tables())
    assert import_features([str(file), "--out", str(folder / "cache")]) == 0
    return folder / "cache"


def run_one_epoch(path: Path, cache: Path, out: Path, *overrides: str) -> Path:
    short = [f"data.cache={cache}", f"out={out}", "data.batch_size=32", "data.workers=0", "optim.epochs=1"]
    return train(load_config(RunConfig, path, [*short, *overrides]))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_header_says_the_command(path):
    assert path.name in path.read_text().split("\n\n")[0].split("name:")[
        0
    ] or f"--config configs/{path.name}" in (path.read_text())


@pytest.mark.parametrize("path", [p for p in RECIPES if is_preprocessing(p)], ids=lambda path: path.name)
def test_preprocessing_recipe_loads(path):
    check_config(load_config(PreprocessConfig, path))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_recipe_takes_a_step(path, cache, named, imported, words, spoken, tmp_path):
    config = load_config(RunConfig, path)
    section = getattr(config.model, config.model.name)
    more = SMALL if config.model.name == "crossmodal" else []
    if "words" in section.streams:
        more = [*more, f"model.{config.model.name}.words.model={words / 'bert'}"]
        cache = spoken if len(section.streams) > 1 else words / "cache"
    cache = imported if section.tokens else named if config.task == "classes" else cache
    folder = run_one_epoch(path, cache, tmp_path, *more)
    history = (folder / "history.csv").read_text().splitlines()
    loss = float(history[1].split(",")[history[0].split(",").index("train_loss")])
    assert math.isfinite(loss)
    assert (folder / "best" / "model.safetensors").is_file()


@pytest.mark.parametrize("path", sorted((CONFIGS / "ready").glob("*.yaml")), ids=lambda path: path.name)
def test_a_recipe_of_the_ready_model_reads_one_stream(path):
    config = load_config(RunConfig, path)
    assert len(getattr(config.model, config.model.name).streams) == 1
    assert f"--config configs/ready/{path.name}" in path.read_text()


@pytest.mark.slow
def test_full_size_recipe_takes_a_step(cache, tmp_path):
    """The encoders of `crossmodal.yaml` at their real size, with random weights."""
    random = ["face.pretrained=false", "speech.pretrained=false", "speech.model=wav2vec2"]
    overrides = [f"model.crossmodal.{text}" for text in random]
    folder = run_one_epoch(CONFIGS / "crossmodal.yaml", cache, tmp_path, *overrides, "data.micro_batch=4")
    assert (folder / "metrics_valid.json").is_file()
