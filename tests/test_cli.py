"""`mosi VERB …` reaches every command, and says what to type where it does not."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from mosi_e2e import cli
from mosi_e2e.cli import VERBS, launch_command, main

ROOT = Path(__file__).resolve().parents[1]


def test_every_verb_has_a_command_behind_it():
    assert {verb for verb, (module, _) in VERBS.items() if not callable(import_module(module).main)} == set()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_its_help(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert "example" in capsys.readouterr().out


def test_help_names_every_verb_and_imports_none():
    script = "import sys; from mosi_e2e.cli import main; main(['--help']); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.rstrip().endswith("False")
    assert all(f"  {verb} " in ran.stdout for verb in VERBS)


def test_an_unknown_verb_gets_a_suggestion(capsys):
    assert main(["trian"]) == 2
    assert "did you mean 'mosi train'?" in capsys.readouterr().err


def test_train_goes_through_the_launcher_with_the_projects_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "has_gpu", lambda: True)
    (tmp_path / "accelerate_config.yaml").touch()
    started = []
    monkeypatch.setattr(cli.os, "execv", lambda program, words: started.append(words))
    main(["train", "--config", "a.yaml", "--launch", "--num_processes 2", "name=x"])
    assert started[0][1:] == [
        *(
            "-m",
            "accelerate.commands.launch",
            "--quiet",
            "--config_file",
            str(tmp_path / "accelerate_config.yaml"),
        ),
        *("--num_processes", "2", "-m", "mosi_e2e.train", "--config", "a.yaml", "name=x"),
    ]


def test_an_error_without_a_gpu_is_one_line(tmp_path):
    if cli.has_gpu():
        pytest.skip("with a GPU torchrun reports below the error")
    words = [sys.executable, "-m", "mosi_e2e.cli", "train", "optim.learning_rate=1"]
    ran = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert ran.returncode != 0
    assert ran.stderr.rstrip().splitlines()[-1].startswith("error: ") and "Traceback" not in ran.stderr


def test_a_launcher_file_of_ones_own_wins():
    words = launch_command(["--launch", "--config_file mine.yaml"])
    assert [word for word in words if word.endswith(".yaml")] == ["mine.yaml"]


def test_launch_without_options_is_an_error(capsys):
    assert main(["train", "--launch"]) == 2
    assert 'type --launch "--num_processes 2"' in capsys.readouterr().err


def test_settings_lists_default_and_meaning(capsys):
    assert main(["settings", "train", "optim.warmup"]) == 0
    told = capsys.readouterr().out
    assert "optim.warmup=0.1\n    share of all updates over which the rate rises from 0." in told
    assert "optim.lr" not in told


def test_settings_refuses_a_prefix_without_keys(capsys):
    assert main(["settings", "train", "optimizer"]) == 2
    assert "no key of train begins with 'optimizer'" in capsys.readouterr().err
