"""How fast a model runs as ONNX, beside torch itself.

    python benchmarks/export.py                                 # both models, as configs/ has them
    python benchmarks/export.py --configs configs/crossmodal.yaml --threads 2 --repeats 5

The models have the sizes of their recipes and random weights: time and agreement do not depend on what was
learned. The clips are noise of `--seconds` seconds at the rates of the cache. The forms take turns, so that
whatever else the machine does meets all of them; shown is the median.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import onnxruntime
import torch

from mosi_e2e.config import RunConfig
from mosi_e2e.export.examples import make_batch
from mosi_e2e.export.programs import Traced, trace, write_onnx
from mosi_e2e.models import build_model, list_streams
from mosi_e2e.models.config import ModelConfig
from mosi_e2e.runs.checkpoint import CacheFacts
from preprocessing.config import PreprocessConfig
from preprocessing.errors import command
from preprocessing.settings import load_config
from preprocessing.stages.recipes import describe_stages

CONFIGS = ("configs/late_fusion.yaml", "configs/crossmodal.yaml")
KEYS = {"behaviour": ("behaviour", "behaviour"), "acoustics": ("acoustics", "lld")}
KEYS["functionals"] = ("acoustics", "functionals")


def build(path: str) -> tuple[torch.nn.Module, RunConfig, CacheFacts]:
    """The recipe's model with random weights, and what it would know of a cache of default settings."""
    config = load_config(RunConfig, path)
    cross = config.model.crossmodal
    cross = replace(
        cross,
        face=replace(cross.face, model=cross.face.model.split(".")[0], pretrained=False),
        speech=replace(cross.speech, model="wav2vec2", pretrained=False),
    )
    config = replace(config, model=ModelConfig(config.model.name, cross, config.model.late_fusion))
    stages = describe_stages(PreprocessConfig())
    columns = {
        name: stages[KEYS[name][0]]["keys"][KEYS[name][1]]["columns"]
        for name in list_streams(config.model)
        if name in KEYS
    }
    facts = CacheFacts(columns, [1.0, -1.0], True, stages)
    torch.manual_seed(0)
    return build_model(config.model, columns).eval(), config, facts


def time_forms(forms: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each form, one call of each in turn; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats + 1):
        for name, run in forms.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: round(1000 * statistics.median(taken[1:]), 2) for name, taken in seconds.items()}


def list_forms(traced: Traced, onnx: Path, batch: dict, threads: int) -> dict[str, Callable[[], object]]:
    """The model on one batch, in each form."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    names = {given.name for given in session.get_inputs()}
    arrays = {name: value.numpy() for name, value in batch.items() if name in names}
    return {
        "torch": torch.inference_mode()(lambda: traced.network(batch)),
        "onnxruntime": lambda: session.run(None, arrays),
    }


def measure(path: str, args: argparse.Namespace) -> dict:
    """One recipe's figures."""
    network, config, facts = build(path)
    started = time.perf_counter()
    traced = trace(network, config, facts)
    figures = {"recipe": path, "trace_s": round(time.perf_counter() - started, 1), "ms": {}}
    with tempfile.TemporaryDirectory() as folder:
        onnx, started = Path(folder) / "model.onnx", time.perf_counter()
        figures["onnx_difference"] = write_onnx(onnx, traced)
        figures["onnx_write_s"] = round(time.perf_counter() - started, 1)
        figures["onnx_mb"] = round(onnx.stat().st_size / 1e6, 1)
        for clips in args.clips:
            seconds = [args.seconds] * clips
            batch = make_batch(traced.network, traced.streams, traced.crop_size, seconds)
            forms = list_forms(traced, onnx, batch, args.threads)
            figures["ms"][f"{clips} x {args.seconds:g} s"] = time_forms(forms, args.repeats)
    return figures


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configs", nargs="+", default=list(CONFIGS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each clip")
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 8], help="batch sizes")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    for path in args.configs:
        print(json.dumps({"threads": args.threads} | measure(path, args), indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
