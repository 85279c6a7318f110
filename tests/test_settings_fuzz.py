"""Whatever stands in a configuration or an override, it is read or refused in one line.

Many cases: `make fuzz CASES=1000 TESTS=tests/test_settings_fuzz.py`.
"""

import dataclasses
import os
import random
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.fuzzing import seeded

from mosi_e2e.config import RunConfig
from mosi_e2e.experiments.ablation import AblationConfig
from mosi_e2e.experiments.search_space import SearchConfig
from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError
from preprocessing.settings import build_config, dump_config, load_config
from preprocessing.untrusted.schema import LONGEST, NO_TEXT, list_keys

SCHEMAS = (RunConfig, PreprocessConfig, AblationConfig, SearchConfig)
TEXTS = [dump_config(schema()).encode() for schema in SCHEMAS]
KEYS = sorted({key for schema in SCHEMAS for key in list_keys(schema)})
ODD = [
    *[
        "null",
        "~",
        "true",
        "yes",
        "-1",
        "1e999",
        "-.inf",
        ".nan",
        "9" * 5000,
        "0x" + "f" * 300,
        "1_",
        "1__0.",
    ],
    *[
        "&a [*a]",
        "*a",
        "<<: {a: 1}",
        "!!python/object/apply:os.system [id]",
        "!!binary aGk=",
        "!!set {a}",
        "!x y",
    ],
    *[
        "${oc.env:HOME}",
        "${",
        "???",
        "\\x00",
        "\x00",
        '"\\ud800"',
        '"\\U0011FFFF"',
        "\ufeff",
        "\x85",
        "\u2028",
        "'",
    ],
    *[
        "{" * 40,
        "[" * 40,
        "- " * 40,
        "? " * 40,
        "a: {b: {c: d}}",
        "{a: b}",
        "[a, [b]]",
        "{[a]: b}",
        "|\n  a",
        "%YAML 9",
    ],
    *[
        "---",
        "...",
        "2026-11-27",
        "12:30:45",
        "#",
        "\t",
        ": ",
        "\n",
        "\r",
        "=",
        "7: 8",
        "optim:",
        "model: {name: x}",
    ],
]
CASES = settings(
    max_examples=int(os.environ.get("MOSI_FUZZ_CASES", "60")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def change_text(draw: random.Random) -> bytes:
    """A valid file with some places overwritten, cut out, doubled, or replaced by odd YAML; or noise."""
    if draw.random() < 0.1:
        return draw.randbytes(draw.randint(0, 60))
    content = draw.choice(TEXTS)
    for _ in range(draw.randint(1, 4)):
        start = draw.randint(0, len(content))
        end = min(len(content), start + draw.randint(0, 60))
        piece = draw.choice([draw.choice(ODD).encode(errors="surrogatepass"), draw.randbytes(3)])
        new = draw.choice([piece, content[start:end] * 2, b"", b"\n" + piece + b"\n"])
        content = content[:start] + new + content[end:]
    return content


def make_text(draw: random.Random) -> str:
    """Letters of all kinds, halves of some and signs that YAML knows."""
    letters = (
        "".join(chr(draw.randrange(0x110000)) for _ in range(3)),
        "{}[]:,#&*!|>'\"%@`-? \n\t",
        "aü1.e_=",
    )
    return "".join(draw.choice(draw.choice(letters)) for _ in range(draw.randint(0, 12)))


def make_value(draw: random.Random, depth: int = 0) -> Any:
    """Any value that JSON or YAML can hold, lists and dictionaries in three levels."""
    if depth < 3 and draw.random() < 0.4:
        parts = [make_value(draw, depth + 1) for _ in range(draw.randint(0, 3))]
        keys = [draw.choice([make_text(draw), draw.randint(-9, 9)]) for _ in parts]
        return draw.choice([parts, dict(zip(keys, parts, strict=True))])
    numbers = (
        draw.randint(-9, 9),
        draw.randint(-(2**80), 2**80),
        draw.uniform(-9, 9),
        1e308,
        float("nan"),
        -0.0,
    )
    return draw.choice([None, True, False, *numbers, make_text(draw), draw.choice(ODD)])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "config.yaml"


def read_or_refuse(read) -> None:
    try:
        found = read()
    except UserError as error:
        message = str(error)
    else:
        assert dataclasses.is_dataclass(found)
        message = "read"
        dump_config(found)  # it can be written
    assert 0 < len(message) < 9000
    assert not any(unicodedata.category(letter) in NO_TEXT for letter in message), ascii(message)


@seeded(60)
def test_any_file_is_read_or_refused_in_one_line(path, draw):
    path.write_bytes(change_text(draw))
    schema = draw.choice(SCHEMAS)
    read_or_refuse(lambda: load_config(schema, path))


def test_an_empty_file_is_read(path):
    path.write_bytes(b"")
    assert load_config(RunConfig, path) == RunConfig()


@seeded(60)
def test_any_override_is_read_or_refused_in_one_line(draw):
    key = draw.choice(KEYS) if draw.random() < 0.8 else make_text(draw)
    value, schema = draw.choice([draw.choice(ODD), make_text(draw)]), draw.choice(SCHEMAS)
    read_or_refuse(lambda: load_config(schema, None, [f"{key}={value}"]))


@seeded(60)
def test_any_value_of_a_caches_options_is_read_or_refused_in_one_line(draw):
    value, schema = make_value(draw), draw.choice(SCHEMAS)
    for name in reversed(draw.choice(KEYS).split(".")):
        value = {name: value}
    read_or_refuse(lambda: build_config(schema, value, "the options"))


LINES = st.text(st.characters(exclude_categories=NO_TEXT), max_size=20)


@CASES
@given(
    name=LINES,
    texts=st.lists(
        LINES | st.sampled_from([text for text in ODD if text.isprintable() and len(text) < LONGEST]),
        max_size=3,
    ),
)
def test_what_is_written_is_read_back(path, name, texts):
    config = RunConfig(name=name, trackers=texts)
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(RunConfig, path) == config
