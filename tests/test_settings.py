"""Settings: a file and overrides, strictly; digests that miss no change."""

from dataclasses import dataclass, field

import pytest

from mosi_e2e.config import RunConfig
from mosi_e2e.experiments.ablation import AblationConfig, VariantConfig, list_runs
from mosi_e2e.runs.runlog import place_run
from preprocessing.errors import UserError, command
from preprocessing.settings import SYNONYMS, digest, dump_config, load_config
from preprocessing.untrusted.schema import list_keys


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
        ("name=[b", "name=[b"),
        ("name={b: c}", "'name'"),
        ("name=!!python/name:os.system x", "tags are not read"),
        ("tags=[&a b, *a]", "aliases"),
        ("seed=1_", "'seed'"),
        ("seed=99999999999999999999", "'seed'"),
        ("optimizer.rate=true", "'optimizer.rate'"),
        ("optimizer.rate=.nan", "optimizer.rate is a number and finite"),
        ("renamed.a=", "'renamed.a'"),
        ("renamed..a=b", "key=value"),
        ("seed", "key=value"),
        ("=1", "key=value"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(override, named):
    assert named in refusal(overrides=[override])


@pytest.mark.parametrize(
    "text",
    [
        "- a\n",
        "7\n",
        "a: b: c\n",
        "seed: 1\nseed: 2\n",
        "\x00",
        "optimizer: 3\n",
        "&a [*a]",
        "1: x",
        "[" * 10**5,
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text):
    refusal(write_yaml(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfen\x00", "UTF-8"),
        (b"name: \xe4\n", "UTF-8"),
        (b"name: a\n" + b"#" * 10**6, "bytes, which such a file never has"),
        (b'name: "\\ud800"\n', "without control characters"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    ],
)
def test_a_file_that_is_no_small_text_is_one_line(tmp_path, content, reason):
    path = tmp_path / "options.yaml"
    path.write_bytes(content)
    assert reason in refusal(path)


def test_aliases_that_stand_for_billions_of_values_cost_nothing(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "aliases" in refusal(write_yaml(tmp_path, "\n".join(lines)))


def test_nothing_is_looked_up_in_the_environment(tmp_path):
    path = write_yaml(tmp_path, "name: ${oc.env:HOME}\ntags: ['${name}', '???', $HOME, '\\${a}']\n")
    options = load_config(Options, path, ["renamed.a=${oc.env:PATH}"])
    assert options.name == "${oc.env:HOME}" and options.renamed == {"a": "${oc.env:PATH}"}
    assert options.tags == ["${name}", "???", "$HOME", "\\${a}"]
    assert load_config(Options, write_yaml(tmp_path, dump_config(options))) == options


def test_a_text_is_what_was_typed(tmp_path):
    for text in ("007", "1:30", "yes", "1e5", "2026-11-27", "0x10", "a: b"):
        assert load_config(Options, write_yaml(tmp_path, f"name: '{text}'\n")).name == text
    assert [load_config(Options, None, [f"name={text}"]).name for text in ("007", "yes")] == ["007", "yes"]


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "options.yaml"
    path.write_bytes(b"\xef\xbb\xbfseed: 3\n")
    assert load_config(Options, path).seed == 3


@pytest.mark.parametrize(
    ("key", "meant"),
    [("optim.learning_rate", "optim.lr"), ("data.batch", "data.batch_size"), ("max_epochs", "optim.epochs")],
)
def test_another_programs_name_of_a_setting_finds_ours(key, meant):
    with pytest.raises(UserError, match=f"did you mean '{meant}'"):
        load_config(RunConfig, None, [f"{key}=1"])


def test_synonyms_lead_to_settings_that_exist():
    leaves = {key.rpartition(".")[2] for key in list_keys(RunConfig)}
    assert set(SYNONYMS.values()) <= leaves and not set(SYNONYMS) & leaves


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "/a", ".a", "-a", "a/b", "a\\b", "a b", "a\n", "${a}", "ä" * 99]
)
def test_a_run_name_that_is_no_name_is_refused(name, tmp_path):
    with pytest.raises(UserError, match="becomes a folder's name") as caught:
        place_run(RunConfig(name=name, out=str(tmp_path)))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="becomes a folder's name"):
        list_runs(AblationConfig(variants={name: VariantConfig()}))


@pytest.mark.parametrize("name", ["a", "seed0", "late_1.5-b", "übung", "7"])
def test_a_run_name_that_is_one_is_taken(name, tmp_path):
    assert place_run(RunConfig(name=name, out=str(tmp_path))) == tmp_path / name


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


def test_other_faults_of_files_keep_their_traceback():
    with pytest.raises(FileNotFoundError):
        command(lambda: open("/no/such/file"))()  # noqa: PTH123, SIM115
