"""The launcher's settings are written for GPUs; what becomes of them without one."""

import os

import psutil
import pytest
import torch

from mosi_e2e.engine import launch

PYTHON = ["/env/bin/python", "/env/bin/accelerate", "launch"]
CONFIG = ["--config_file", "accelerate_config.yaml"]
OURS = ["-m", "mosi_e2e.train", "--config", "a.yaml", "name=x"]


@pytest.fixture
def started(monkeypatch):
    """Pretend to be a process that the given command line started on a machine without a GPU."""

    def start(words, world=None, rank=0, gpu=False):
        class Parent:
            def __init__(self, pid):
                assert pid == os.getppid()

            def cmdline(self):
                return words

        monkeypatch.setattr(launch.psutil, "Process", Parent)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "ACCELERATE_USE_CPU"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
        if world:
            for name, value in (("WORLD_SIZE", world), ("LOCAL_WORLD_SIZE", world), ("RANK", rank)):
                monkeypatch.setenv(name, str(value))

    return start


@pytest.mark.parametrize(
    "words",
    [
        [*PYTHON, *CONFIG, *OURS],
        ["/env/bin/python", "/env/bin/accelerate-launch", *CONFIG, *OURS],
        ["/env/bin/python", "-m", "accelerate.commands.launch", "--config_file=x.yaml", *OURS],
    ],
)
def test_the_config_file_means_one_process_in_full_precision(started, words):
    started(words, world=4)
    launch.adapt_to_machine()
    assert os.environ["WORLD_SIZE"] == os.environ["LOCAL_WORLD_SIZE"] == "1"
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == "no"
    assert os.environ["ACCELERATE_USE_CPU"] == "true"


def test_the_other_processes_leave_quietly(started):
    started([*PYTHON, *CONFIG, *OURS], world=4, rank=2)
    with pytest.raises(SystemExit) as end:
        launch.adapt_to_machine()
    assert end.value.code == 0


def test_what_the_command_line_asks_for_is_done(started):
    started([*PYTHON, *CONFIG, "--num_processes=2", "--mixed_precision", "bf16", *OURS], world=2, rank=1)
    launch.adapt_to_machine()
    assert os.environ["WORLD_SIZE"] == "2" and os.environ["ACCELERATE_MIXED_PRECISION"] == "bf16"
    assert os.environ["ACCELERATE_USE_CPU"] == "true"


def test_without_the_config_file_processes_are_left_alone(started):
    started([*PYTHON, "--multi_gpu", "--num_processes", "2", *OURS], world=2, rank=1)
    launch.adapt_to_machine()
    assert os.environ["WORLD_SIZE"] == "2" and os.environ["ACCELERATE_USE_CPU"] == "true"


def test_started_without_a_launcher(started):
    started(["bash"])
    launch.adapt_to_machine()
    assert "WORLD_SIZE" not in os.environ and os.environ["ACCELERATE_MIXED_PRECISION"] == "bf16"


def test_a_gpu_changes_nothing(started):
    started([*PYTHON, *CONFIG, *OURS], world=4, rank=3, gpu=True)
    launch.adapt_to_machine()
    assert os.environ["WORLD_SIZE"] == "4" and "ACCELERATE_USE_CPU" not in os.environ


def test_the_programs_own_options_are_not_the_launchers(started):
    started([*PYTHON, "--cpu", "-m", "mosi_e2e.train", "--config_file", "x"])
    assert launch.launcher_arguments() == ["--cpu"]


def test_a_parent_that_cannot_be_seen_is_no_launcher(monkeypatch):
    monkeypatch.setattr(launch.os, "getppid", lambda: 0)  # the first process of a container
    if psutil.pid_exists(0):
        pytest.skip("process 0 exists here")
    assert launch.launcher_arguments() == []
