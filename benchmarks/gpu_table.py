"""The figures that `benchmarks/gpu.sh` left, as one Markdown table.

python benchmarks/gpu_table.py runs/gpu
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path

import torch

from preprocessing.errors import UserError, command

STEPS = ("bf16", "fp16", "compiled", "fsdp", "deepspeed")
HEAD = "| step | step | clips/s | peak memory | share of the bf16 rate | lost to data | took |"
TOO_LONG = (124, 137)  # exit statuses of `timeout`
LEAST_SHARE, MOST_LOST = 0.40, 0.05


def read_end(folder: Path, step: str) -> tuple[int, int]:
    """Exit status of a step and its seconds.

    Raises:
        UserError: the step was not run.
    """
    path = folder / f"{step}.end"
    if not path.is_file():
        raise UserError(f"{folder} has no {path.name}: type bash benchmarks/gpu.sh")
    status, seconds = path.read_text().split()
    return int(status), int(seconds)


def find_reason(folder: Path, step: str, status: int) -> str:
    """Why a step has no figures: the last line of its log that names an error, or its last one."""
    if status in TOO_LONG:
        return "took too long"
    lines = [line.strip() for line in (folder / f"{step}.log").read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    named = [line for line in lines if "error" in line.split(":")[0].lower() and "ChildFailed" not in line]
    return (named or lines or ["no message"])[-1][:120].replace("|", "/")


def show_step(folder: Path, step: str) -> str:
    """One row: the figures of a training step, or why there are none."""
    status, seconds = read_end(folder, step)
    if status:
        return f"| {step} | {find_reason(folder, step, status)} | | | | | {seconds} s |"
    found = json.loads((folder / f"{step}.json").read_text())
    memory, share = found["peak_memory_gb"], found["share_of_matrix_rate"]
    cells = [
        f"{found['step_ms']:.0f} ms",
        f"{found['run_clips_per_s']:.1f}",
        "-" if memory is None else f"{memory:.1f} GB",
        "-" if share is None else f"{share:.0%}{' ✓' if share >= LEAST_SHARE else ''}",
        f"{found['lost_share']:.1%}{' ✓' if found['lost_share'] <= MOST_LOST else ''}",
    ]
    return f"| {step} | {' | '.join(cells)} | {seconds} s |"


def show_prediction(folder: Path) -> str:
    """A prediction's seconds for each second of video, or why there are none."""
    status, _ = read_end(folder, "predict")
    if status:
        return f"A prediction: {find_reason(folder, 'predict', status)}."
    found = json.loads((folder / "predict.json").read_text())[0]
    wall = sum(taken[1] for taken in found["parts"].values())
    return f"A prediction takes {wall / found['video_s']:.2f} s for each second of video, on the processor."


@command
def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="runs/gpu")
    folder = parser.parse_args(argv).folder
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    rows = [show_step(folder, step) for step in STEPS]
    print(f"{date.today():%d %B %Y}, {card}, torch {torch.__version__}\n")
    print("\n".join([HEAD, "|" + "---|" * 7, *rows]))
    print(f"\n✓: at least {LEAST_SHARE:.0%} of the card's own rate; at most {MOST_LOST:.0%} lost to data.")
    print(show_prediction(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
