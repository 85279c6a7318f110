"""The program's commands, in this process or in ones of their own, on the processor and in one thread."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

ROOT = Path(__file__).resolve().parents[2]
ACCELERATE = str(Path(sys.executable).with_name("accelerate"))
CONFIG_FILE = ("--config_file", ROOT / "accelerate_config.yaml")
TWO_PROCESSES = ("--multi_gpu", "--num_processes", "2")


@contextmanager
def one_thread_on_the_processor() -> Iterator[None]:
    """Whatever the machine has: results can then be compared to the bit, and small models are fastest so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        yield
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_num_threads(threads)


def start(*words: object) -> subprocess.Popen:
    """Start a command in the project's folder: one thread, no GPU, in a process group of its own."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    return subprocess.Popen(
        [str(word) for word in words],
        cwd=ROOT,
        env=alone | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end_all(processes: Iterable[subprocess.Popen]) -> None:
    """Kill what `start` started, with all that belongs to it, wherever it still runs."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(*words: object, timeout_s: float = 240) -> str:
    """Run a command to its end, which must be a good one, and return what it printed."""
    process = start(*words)
    output, _ = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, output
    return output


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def launch(module: str, *words: object, options: tuple[object, ...] = ()) -> str:
    """`accelerate launch OPTIONS -m MODULE WORDS`, at a port that nobody else uses."""
    placed = ("--main_process_port", free_port(), *options) if options else ()
    return run(ACCELERATE, "launch", *placed, "-m", module, *words)
