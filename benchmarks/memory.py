"""What a training step of a recipe keeps in memory, counted without a GPU.

    python benchmarks/memory.py --config configs/crossmodal.yaml --seconds 5 10

Counted are the weights, the gradients and the two moments of what trains, and every storage that autograd
keeps for the backward pass, in bfloat16 autocast, at the recipe's `micro_batch`. Weights are random: sizes
are the same. Not counted: what a kernel needs while it runs, one layer's tensors again where
`gradient_checkpointing` recomputes them, and what CUDA itself takes. Kernels of a GPU may keep other tensors
than those of a processor.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from mosi_e2e.config import RunConfig
from mosi_e2e.models import build_model
from preprocessing.config import SAMPLE_RATE
from preprocessing.settings import load_config

COLUMNS, ROWS_PER_S, FRAMES_PER_S, SIDE = 62, 30, 5, 224


def make_batch(streams: Sequence[str], clips: int, seconds: float) -> dict[str, Tensor]:
    """A batch of noise whose clips are all equally long, without padding."""
    shapes = {
        "face": (round(seconds * FRAMES_PER_S), 3, SIDE, SIDE),
        "speech": (round(seconds * SAMPLE_RATE),),
    }
    batch = {}
    for name in streams:
        shape = (clips, *shapes.get(name, (round(seconds * ROWS_PER_S), COLUMNS)))
        rows = shape[1]
        batch[name] = torch.randint(256, shape, dtype=torch.uint8) if name == "face" else torch.randn(shape)
        batch[f"{name}_is_pad"] = torch.zeros(clips, rows, dtype=torch.bool)
        time = torch.arange(rows) * seconds / rows
        batch[f"{name}_time"] = torch.zeros(clips, 1) if name == "speech" else time.expand(clips, -1)
    return batch


@contextmanager
def count_kept(model: nn.Module) -> Iterator[dict[int, int]]:
    """Bytes of each storage that autograd keeps within this block, by address; weights are left out."""
    kept, weights = {}, {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield kept


def measure(config: RunConfig, seconds: Sequence[float]) -> dict:
    """Gigabytes of a step, at each length of clips."""
    streams = config.model.crossmodal.streams
    columns = [f"column_{number}" for number in range(COLUMNS)]
    model = build_model(config.model, dict.fromkeys(streams, columns)).train()
    weights = sum(p.nbytes for p in model.parameters())
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    clips = config.data.micro_batch or config.data.batch_size
    found = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "weights_gb": weights / 1e9,
        "gradients_and_moments_gb": 3 * trained / 1e9,
        "clips": clips,
    }
    for length in seconds:
        with torch.autocast("cpu", torch.bfloat16), count_kept(model) as kept:
            prediction = model(make_batch(streams, clips, length))
        found[f"kept_for_backward_gb_{length:g}_s"] = sum(kept.values()) / 1e9
        del prediction
    return {
        name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in found.items()
    }


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/crossmodal.yaml")
    parser.add_argument("--seconds", type=float, nargs="+", default=[5.0, 10.0], help="length of the clips")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    config = load_config(RunConfig, arguments.config, arguments.overrides)
    parts = config.model.crossmodal
    speech = replace(parts.speech, model="wav2vec2", pretrained=False)
    parts = replace(parts, face=replace(parts.face, pretrained=False), speech=speech)
    config = replace(config, model=replace(config.model, crossmodal=parts))
    print(json.dumps(measure(config, arguments.seconds), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
