r"""What loading, augmentation and logging cost a real training run, and how well it uses the GPU.

    python benchmarks/train.py --config configs/sample_crossmodal.yaml --updates 8
    accelerate launch --config_file accelerate_config.yaml benchmarks/train.py \
        --config configs/crossmodal.yaml data.cache=cache/sample model.crossmodal.face.pretrained=false \
        model.crossmodal.speech.model=wav2vec2 model.crossmodal.speech.pretrained=false

The run is that of `mosi_e2e.train`: same loader, same loop, same bar. It is held against the same updates
with their batches resident on the device. Weights may be random: the time is the same. The epoch before the
one that is timed starts the loading processes, fills caches and, with `compile=true`, compiles.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch.utils.flop_counter import FlopCounterMode

from mosi_e2e.config import RunConfig
from mosi_e2e.engine.launch import adapt_to_machine
from mosi_e2e.engine.loop import Trainer, train_epoch, train_step
from mosi_e2e.runs.assemble import build_trainer
from preprocessing.cache.packed import open_store
from preprocessing.errors import command
from preprocessing.settings import load_config

MATRIX = 8192  # side of the matrices that the card's own rate is measured with


class TimedLoader:
    """A loader that notes how long the loop waited for each batch, and ends after `steps` of them."""

    def __init__(self, loader: Iterable[dict], steps: int):
        self.loader, self.steps, self.waits = loader, steps, []

    def __iter__(self) -> Iterator[dict]:
        batches = iter(self.loader)
        for _ in range(self.steps):
            started = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            self.waits.append(time.perf_counter() - started)
            yield batch


def wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def time_run(trainer: Trainer, loader: Iterable[dict], epoch: int) -> float:
    """Seconds of one epoch of the real loop."""
    trainer.train_loader = loader
    trainer.progress.update, trainer.progress.loss_sum = 0, 0.0
    wait_for_device()
    started = time.perf_counter()
    train_epoch(trainer, epoch, save=lambda: None)
    wait_for_device()
    return time.perf_counter() - started


def time_resident(trainer: Trainer, batches: Sequence[dict], last: Sequence[bool]) -> list[float]:
    """Seconds of each step when its batch lies on the device already."""
    seconds = []
    for batch, is_last in zip(batches, last, strict=True):
        wait_for_device()
        started = time.perf_counter()
        train_step(trainer, batch, is_last)
        wait_for_device()
        seconds.append(time.perf_counter() - started)
    return seconds


def time_resident_run(trainer: Trainer, batches: Sequence[dict], last: Sequence[bool]) -> float:
    """Seconds of all steps one after another, without a wait between them."""
    wait_for_device()
    started = time.perf_counter()
    for batch, is_last in zip(batches, last, strict=True):
        train_step(trainer, batch, is_last)
    wait_for_device()
    return time.perf_counter() - started


def matrix_rate() -> float | None:
    """Floating point operations per second of large bf16 matrix products on this GPU; None without one."""
    if not torch.cuda.is_available():
        return None
    a, b = (torch.randn(MATRIX, MATRIX, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    wait_for_device()
    started = time.perf_counter()
    for _ in range(20):
        a @ b
    wait_for_device()
    return 20 * 2 * MATRIX**3 / (time.perf_counter() - started)


def count_operations(trainer: Trainer, batches: Sequence[dict]) -> float:
    """Floating point operations of these steps, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        for batch in batches:
            train_step(trainer, batch, True)
    return float(counter.get_total_flops())


def measure(config: RunConfig, updates: int) -> dict:
    """One run's figures."""
    accelerator = Accelerator()
    _, trainer, _ = build_trainer(config, open_store(config.data.cache), accelerator)
    sampler, loader = trainer.sampler, trainer.train_loader
    updates = min(updates, sampler.updates_per_epoch)
    steps = updates * sampler.steps_per_update
    clips = min(updates * sampler.batch_size, sampler.count)
    last = [step % sampler.steps_per_update == sampler.steps_per_update - 1 for step in range(steps)]
    time_run(trainer, loader, 0)  # a whole epoch: shapes, kernels and workers are ready
    sampler.epoch, sampler.start_update = 1, 0
    batches = [send_to_device(batch, accelerator.device) for batch in TimedLoader(loader, steps)]
    operations = None if config.compile else count_operations(trainer, batches)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    single = time_resident(trainer, batches, last)
    resident = time_resident_run(trainer, batches, last)
    timed = TimedLoader(loader, steps)
    real = time_run(trainer, timed, 1)
    rate = matrix_rate()
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "processor",
        "precision": accelerator.mixed_precision,
        "compile": config.compile,
        "clips": clips,
        "seconds_of_sound_per_clip": round(mean_seconds(batches), 2),
        "step_ms": round(1000 * statistics.median(single), 1),
        "resident_clips_per_s": round(clips / resident, 2),
        "run_clips_per_s": round(clips / real, 2),
        "lost_share": round(1 - resident / real, 4),
        "first_batch_wait_ms": round(1000 * timed.waits[0], 1),
        "later_waits_share": round(sum(timed.waits[1:]) / real, 4),
        "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2)
        if torch.cuda.is_available()
        else None,
        "share_of_matrix_rate": round(operations / resident / rate, 4) if rate and operations else None,
        "matrix_tflops": round(rate / 1e12, 1) if rate else None,
    }


def mean_seconds(batches: Sequence[dict]) -> float:
    """Mean seconds of sound per clip; NaN where the model hears none."""
    counts = [(~batch["speech_is_pad"]).sum(1).float() / 16_000 for batch in batches if "speech" in batch]
    return torch.cat(counts).mean().item() if counts else float("nan")


@command
def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_intermixed_args()
    adapt_to_machine()
    text = json.dumps(measure(load_config(RunConfig, args.config, args.overrides), args.updates), indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
