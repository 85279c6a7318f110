"""Settings: a file and overrides, strictly; digests that miss no change."""

from dataclasses import dataclass, field

import pytest

from preprocessing.errors import UserError, command
from preprocessing.settings import digest, dump_config, load_config


@dataclass(frozen=True)
class Optimizer:
    rate: float = 1e-3
    steps: int = 10


@dataclass(frozen=True)
class Options:
    name: str = "plain"
    seed: int = 0
    deep: bool = False
    tags: list[str] = field(default_factory=lambda: ["a"])
    renamed: dict[str, str] = field(default_factory=dict)
    optimizer: Optimizer = field(default_factory=Optimizer)


def write_yaml(folder, text):
    path = folder / "options.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path=None, overrides=()) -> str:
    with pytest.raises(UserError) as caught:
        load_config(Options, path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_file_and_overrides_win_in_this_order(tmp_path):
    path = write_yaml(tmp_path, "seed: 1\nname: from file\noptimizer:\n  steps: 20\n")
    loaded = load_config(Options, path, ["seed=2", "optimizer.rate=1e-5", "renamed.clip=file"])
    assert loaded == Options("from file", 2, False, ["a"], {"clip": "file"}, Optimizer(1e-5, 20))
    assert type(loaded.optimizer) is Optimizer
    assert load_config(Options) == Options()


def test_later_override_wins_and_a_list_is_replaced():
    assert load_config(Options, None, ["seed=1", "seed=2", "tags=[b,c]"]) == Options(seed=2, tags=["b", "c"])


def test_what_is_loaded_cannot_be_changed():
    with pytest.raises(AttributeError):
        load_config(Options).seed = 3


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n"])
def test_an_empty_file_changes_nothing(tmp_path, text):
    assert load_config(Options, write_yaml(tmp_path, text)) == Options()


@pytest.mark.parametrize(
    ("key", "neighbour"),
    [
        ("sead", "did you mean 'seed'?"),
        ("optimizer.stepz", "did you mean 'optimizer.steps'?"),
        ("optimiser.steps", "did you mean 'optimizer'?"),
        ("rate", "did you mean 'optimizer.rate'?"),  # right name, section forgotten
        ("xyz", "known here: name, seed, deep, tags, renamed, optimizer"),
        ("optimizer.xyz", "did you mean 'optimizer."),  # not the section itself
    ],
)
def test_an_unknown_key_names_its_neighbour(tmp_path, key, neighbour):
    assert neighbour in refusal(overrides=[f"{key}=1"])
    section, _, leaf = key.rpartition(".")
    path = write_yaml(tmp_path, f"{section}:\n  {leaf}: 1\n" if section else f"{key}: 1\n")
    message = refusal(path)
    assert neighbour in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("seed=many", "'seed'"),
        ("seed=1.5", "'seed'"),
        ("seed=true", "'seed'"),
        ("deep=maybe", "'deep'"),
        ("optimizer.rate=fast", "'optimizer.rate'"),
        ("optimizer=3", "optimizer=3"),
        ("optimizer=null", "'optimizer'"),
        ("tags=b", "'tags'"),
        ("renamed=b", "'renamed'"),
        ("name=", "'name'"),
        ("name=${nothing}", "'name'"),
        ("name=[b", "name=[b"),
        ("name=${b", "name=${b"),
        ("seed", "key=value"),
        ("=1", "key=value"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(override, named):
    assert named in refusal(overrides=[override])


@pytest.mark.parametrize(
    "text",
    ["- a\n", "7\n", "a: b: c\n", "seed: 1\nseed: 2\n", "\x00", "name: ${nothing}\n", "optimizer: 3\n"],
)
def test_a_wrong_file_is_one_line(tmp_path, text):
    refusal(write_yaml(tmp_path, text))


def test_a_missing_file_lists_those_beside_it(tmp_path):
    path = write_yaml(tmp_path, "seed: 1\n")
    assert str(path) in refusal(tmp_path / "option.yaml")
    assert "none beside it" in refusal(tmp_path / "nowhere" / "option.yaml")


def test_dump_is_read_back_as_the_same(tmp_path):
    options = Options("é: #1", 7, True, ["a", "1e5"], {"clip": "007"}, Optimizer(1e-7, 3))
    assert load_config(Options, write_yaml(tmp_path, dump_config(options))) == options


def test_digest_changes_with_every_value_and_with_nothing_else():
    variants = [
        Options(),
        Options(name="other"),
        Options(seed=1),
        Options(deep=True),
        Options(tags=["a", "b"]),
        Options(tags=[]),
        Options(renamed={"a": "b"}),
        Options(optimizer=Optimizer(rate=2e-3)),
        Options(optimizer=Optimizer(steps=11)),
    ]
    digests = [digest(options, "stage", 1) for options in variants]
    assert len(set(digests)) == len(variants)
    assert all(len(text) == 8 and set(text) <= set("0123456789abcdef") for text in digests)
    assert digest(Options(), "stage", 1) == digests[0]
    assert digest(Options(), "stage", 2) != digests[0]
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("a", "b") != digest("ab")
    assert digest({"b": 2}) == "f9a544c0"  # the same on every machine and in every run


def test_command_turns_what_the_user_can_mend_into_one_line(capsys):
    def fail(error):
        raise error

    run = command(fail)
    assert run(UserError("do this")) == 2
    assert capsys.readouterr().err == "error: do this\n"
    assert run(KeyboardInterrupt()) == 130
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())
    assert command(lambda: None)() == 0
    assert command(lambda: 1)() == 1
