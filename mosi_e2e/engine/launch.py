"""Makes `accelerate_config.yaml`, which is written for GPUs, right on a machine without one."""

import os
import sys
from collections.abc import Sequence

import psutil
import torch


def adapt_to_machine() -> None:
    """Without a GPU go on with one process in full precision, unless the command line asked otherwise.

    The config file asks the launcher for `auto` processes. That is one per GPU, but where there is none one
    per core, each with a copy of the model; bfloat16 is slower than float32 there. And without a GPU
    Accelerate 1.15 takes each of several processes for the only one, unless it is told that the processor is
    meant. Call before the first `Accelerator`.
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


def launcher_arguments() -> Sequence[str]:
    """Names of the options that `accelerate launch` got, this program's own left out."""
    try:
        words = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:  # the first process of a container has no parent, a stranger's may not be looked at
        return []
    # `accelerate launch`, `accelerate-launch`, or `python -m accelerate.commands.launch`.
    start = next((number for number, word in enumerate(words) if word.endswith("launch")), len(words))
    options = words[start + 1 :]
    own = options.index("-m") if "-m" in options else len(options)
    return [word.split("=")[0] for word in options[:own]]
