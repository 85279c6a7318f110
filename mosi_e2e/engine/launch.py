"""Makes `accelerate_config.yaml`, which is written for GPUs, right on a machine without one."""

import ctypes
import os
import re
import signal
import sys
from collections.abc import Sequence

import psutil
import torch

LAUNCHER = re.compile(r"accelerate(-| |\.commands\.)launch\b")
PR_SET_PDEATHSIG = 1  # prctl(2): the signal that comes when the parent dies


def adapt_to_machine() -> None:
    """Without a GPU go on with one process in full precision, unless the command line asked otherwise.

    The config file asks the launcher for `auto` processes. That is one per GPU, but where there is none one
    per core, each with a copy of the model; bfloat16 is slower than float32 there. And without a GPU
    Accelerate 1.15 takes each of several processes for the only one, unless a setting says that the processor
    is meant. Call before the first `Accelerator`.
    """
    if torch.cuda.is_available():
        return
    os.environ["ACCELERATE_USE_CPU"] = "true"
    asked = launcher_arguments()
    if "--config_file" not in asked:
        return
    if "--mixed_precision" not in asked:
        os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    if "--num_processes" in asked or "WORLD_SIZE" not in os.environ:
        return
    if int(os.environ["RANK"]) > 0:
        sys.exit(0)
    os.environ["WORLD_SIZE"] = os.environ["LOCAL_WORLD_SIZE"] = "1"


def stop_with_launcher() -> None:
    """Let the end of a plain `accelerate launch` reach this process as SIGTERM, so that it stores its state.

    That launcher passes no signal on: ending it would leave a training behind that nobody sees. Linux
    only; launchers of several processes (torchrun) end them automatically.
    """
    if sys.platform != "linux" or "TORCHELASTIC_RUN_ID" in os.environ or read_launcher() is None:
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def read_launcher() -> list[str] | None:
    """The words after `accelerate launch`, where that started this process.

    Also `accelerate-launch` and `python -m accelerate.commands.launch`. None where the parent is another one,
    may not be looked at, or is no more.
    """
    try:
        words = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:  # the first process of a container has no parent
        return None
    for number in range(len(words)):
        if LAUNCHER.search(" ".join(words[: number + 1])):
            return words[number + 1 :]
    return None


def launcher_arguments() -> Sequence[str]:
    """Names of the options that `accelerate launch` got, this program's own left out."""
    options = read_launcher() or []
    own = options.index("-m") if "-m" in options else len(options)
    return [word.split("=")[0] for word in options[:own]]
