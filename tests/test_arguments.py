"""Names that look like options."""

from pathlib import Path

import pytest

from mosi_e2e import evaluate
from mosi_e2e.predict.__main__ import parse
from preprocessing import pack
from preprocessing.arguments import Parser

NAMES = ("-3g5yACwYnA_1.mp4", "--qXJuDtHPw5_2.mp4", "-o=x.mp4")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(name).touch()
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_that_exists_is_a_file(folder, name):
    args = parse(["run", name, "--draws", "10", "--out=-x"])
    assert args.paths == [Path("run"), Path(name)] and args.paths[1].is_file()
    assert (args.draws, args.out) == (10, Path("-x"))


def test_an_option_stays_one_though_a_file_is_called_so(folder):
    Path("--overlay").touch()
    Path("--out=x").touch()
    args = parse(["run", "--overlay", "--out=x"])
    assert args.overlay and args.paths == [Path("run")] and args.out == Path("x")


def test_a_file_that_is_not_there_says_how_to_type_it(folder, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["run", "-absent_1.mp4"])
    assert caught.value.code == 2
    assert "type a file whose name begins with '-' as ./-absent_1.mp4" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse(["run", "--nonsense"])
    assert "type a file" not in capsys.readouterr().err


def test_settings_and_files_may_stand_in_any_order(folder):
    parser = Parser()
    parser.add_argument("--flag", action="store_true")
    parser.add_argument("words", nargs="*")
    args = parser.parse_intermixed_args(["a=1", NAMES[0], "--flag", "b=2"])
    assert args.flag and args.words == ["a=1", f"./{NAMES[0]}", "b=2"]


def test_every_command_takes_such_a_name(folder, capsys):
    """They get as far as looking into the file."""
    for main in (evaluate.main, pack.main):
        assert main([NAMES[0], *(["--out", "x.pkl"] if main is pack.main else [])]) == 2
        assert NAMES[0] in capsys.readouterr().err
