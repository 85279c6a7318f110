"""Model and run folders of others: each loads as it is, or is refused in one line, within bounds.

Many cases: `make fuzz CASES=1000 TESTS=tests/test_model_fuzz.py`.
"""

import json
import os
import random
import resource
import shutil
import time
from pathlib import Path

import pytest
import torch
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

import mosi_e2e.train
from mosi_e2e.export.__main__ import main
from mosi_e2e.export.folder import read_folder
from mosi_e2e.runs.checkpoint import load_model
from preprocessing.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")
CASES = int(os.environ.get("MOSI_FUZZ_CASES", "12"))
SECONDS, MEMORY_KB = 20, 400_000  # of one case: some take as long as a model takes to load
NUMBERS = [
    "0",
    "-1",
    "1e308",
    ".nan",
    "100000000",
    "99999999999999999999",
    "true",
    "null",
    "[]",
    "{}",
    "x",
    "3",
]
NUMBERS += ["''", "${oc.env:HOME}", "!!python/name:os.system x", "&a [*a]", "[" * 200, "1.5", "65536"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run and its model folder, of the model with all encoders."""
    return make_folders(tmp_path_factory.mktemp("place"), "crossmodal")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The same of the model that is built in a tenth of the time."""
    return make_folders(tmp_path_factory.mktemp("small"), "late_fusion")


def make_folders(place: Path, model: str) -> Path:
    recipe = write_recipe(place / "recipe.yaml", make_cache(place, size=16), model, epochs=1)
    assert mosi_e2e.train.main(["--config", str(recipe), "name=run", "--score", "test"]) == 0
    assert main([str(place / "runs" / "run"), "--out", str(place / "model")]) == 0
    return place


def change_bytes(content: bytes, draw: random.Random) -> bytes:
    """Bits flipped, bytes overwritten, a part cut out or doubled, the end cut off, or another file."""
    place = draw.randrange(len(content) + 1)
    length = draw.choice([1, 8, 100])
    kind = draw.choice(["flip", "noise", "cut", "drop", "double", "whole"])
    if kind == "flip" and place < len(content):
        return content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]
    if kind == "cut":
        return content[:place]
    if kind == "whole":
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
        return draw.choice([b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b"7", pointer])
    middle = {"noise": draw.randbytes(length), "double": content[place : place + length] * 2}.get(kind, b"")
    return content[:place] + middle + content[place + length :]


def change_value(content: bytes, draw: random.Random) -> bytes:
    """One line of YAML, or one value of JSON, gets another value."""
    try:
        tree = json.loads(content)
    except ValueError:
        lines = content.decode().split("\n")
        number = draw.randrange(len(lines))
        lines[number] = f"{lines[number].partition(':')[0]}: {draw.choice(NUMBERS)}"
        return "\n".join(lines).encode()
    node, key = tree, draw.choice(list(tree))
    while isinstance(node[key], dict | list) and node[key] and draw.random() < 0.7:
        node = node[key]
        key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
    node[key] = draw.choice(
        [None, "x", -1, 1e308, float("nan"), [], {}, [[]], {"a": {}}, True, 10**30, "\ud800"]
    )
    return json.dumps(tree).encode()


def change_weights(content: bytes, draw: random.Random) -> bytes:
    """The header's text changed, with its length put right, or values that are not finite."""
    size = int.from_bytes(content[:8], "little")
    header, values = content[8 : 8 + size].decode(), content[8 + size :]
    if draw.random() < 0.3:
        return content[: 8 + size] + b"\x00\x00\xc0\x7f" * (len(values) // 4)
    old, new = draw.choice(
        [("F32", "F16"), ("[16", "[1600000000"), ("weight", "weigth"), ("[0,", "[9,"), (":[", ":[[")]
    )
    header = header.replace(old, new, 1)
    return len(header.encode()).to_bytes(8, "little") + header.encode() + values


def change(content: bytes, name: str, draw: random.Random) -> bytes:
    structured = change_weights if name.endswith("safetensors") else change_value
    if name.endswith(".md") or draw.random() < 0.4:
        return change_bytes(content, draw)
    return structured(content, draw)


def open_or_refuse(folder) -> dict[str, torch.Tensor] | None:
    """The weights, or None for one line; anything else, or more than it may take, fails."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        found = read_folder(folder).network.state_dict()
    except UserError as error:
        found, message = None, str(error)
        assert message and message.isprintable() and len(message) < 3000, message
    assert time.perf_counter() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_KB
    return found


@pytest.mark.parametrize("kind", ["model", "run"])
@pytest.mark.parametrize("which", ["small", "place"])
def test_any_change_is_refused_in_one_line_or_harmless(request, tmp_path, which, kind):
    place = request.getfixturevalue(which)
    source = place / "model" if kind == "model" else place / "runs" / "run"
    skipped = ("tensorboard", "last", "*.csv", "*.png", "lock*")
    shutil.copytree(source, tmp_path / "folder", ignore=shutil.ignore_patterns(*skipped))
    paths = sorted(path for path in (tmp_path / "folder").rglob("*.*") if path.is_file())
    original = open_or_refuse(tmp_path / "folder")
    assert original is not None
    refused = 0
    for case in range(CASES):
        draw = random.Random(f"{kind} {case}")
        path = draw.choice(paths)
        whole = path.read_bytes()
        path.write_bytes(change(whole, path.name, draw))
        try:
            found = open_or_refuse(tmp_path / "folder")
        except BaseException as error:
            raise AssertionError(f"case {case}: {path.name}") from error
        refused += found is None
        path.write_bytes(whole)
        if found is not None and path.suffix != ".safetensors":
            assert found.keys() == original.keys()
            assert all(torch.equal(value, original[name]) for name, value in found.items()), (case, path.name)
    assert refused > CASES / 4


@pytest.mark.parametrize(
    ("line", "huge"),
    [
        ("num_hidden_layers: 2", "num_hidden_layers: 100000"),
        ("hidden_size: 32", "hidden_size: 96000"),
        ("depth: ", "depth: 99999  # "),
        ("layers: 1", "layers: 100000000"),
        ("width: 16", "width: 1000000"),
        ("model: wav2vec2", "model: facebook/wav2vec2-base"),
        ("pretrained: false", "pretrained: true"),
        ("weights: null", "weights: /etc/passwd"),
    ],
)
def test_a_config_that_asks_for_more_than_the_weights_is_refused_at_once(place, tmp_path, line, huge):
    shutil.copytree(place / "runs" / "run" / "best", tmp_path / "best")
    text = (tmp_path / "best" / "config.yaml").read_text()
    assert line in text
    (tmp_path / "best" / "config.yaml").write_text(text.replace(line, huge))
    assert open_or_refuse(tmp_path / "best") is None


def test_weights_that_are_not_finite_are_refused(place, tmp_path):
    shutil.copytree(place / "runs" / "run" / "best", tmp_path / "best")
    content = (tmp_path / "best" / "model.safetensors").read_bytes()
    (tmp_path / "best" / "model.safetensors").write_bytes(content[:-4] + b"\x00\x00\xc0\x7f")
    with pytest.raises(UserError, match="values that are not finite"):
        load_model(tmp_path / "best")


def test_a_pointer_in_place_of_weights_says_what_to_type(place, tmp_path):
    shutil.copytree(place / "runs" / "run" / "best", tmp_path / "best")
    (tmp_path / "best" / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match="git lfs pull"):
        load_model(tmp_path / "best")


@pytest.mark.parametrize("key", ["n", "videos", "synthetic", "floors", "metrics", "interval"])
def test_scores_that_lack_what_the_card_shows_are_one_line(place, tmp_path, key):
    shutil.copytree(place / "runs" / "run" / "best", tmp_path / "run" / "best")
    scores = json.loads((place / "runs" / "run" / "metrics_valid.json").read_text())
    del scores[key]
    (tmp_path / "run" / "metrics_valid.json").write_text(json.dumps(scores))
    with pytest.raises(UserError, match="is damaged or of another program"):
        read_folder(tmp_path / "run")
