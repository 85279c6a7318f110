"""Time and memory of one training step of the cross-modal fusion, beside a public MulT implementation.

The peer is `models/singleTask/MULT.py` of the package MMSA 2.2.1 at its own MOSI configuration: batch
16, streams of 50 x 300, 375 x 5 and 500 x 20, width 50, 10 heads, 4 layers, feed-forward of 4 widths.
Ours runs at the same lengths, depth, width and batch; with 2 heads of 25 features, near this project's
usual 32, and with the peer's 10 heads of 5. The work of attention grows with heads times queries times
keys whatever a head's size, so that heads of 5 features are the dearest choice there is. A step is
forward, backward and optimizer step in float32. Each model lives in a process of its own, with the same
torch and the same number of threads; their steps alternate, so that whatever else the machine does
meets all of them. Memory is the peak of the resident set, less what the process held before it built
its model.

Run it on an idle machine: threads that wait for a busy core slow many small steps more than few large
ones.

    pip install --no-deps --target /tmp/mmsa MMSA==2.2.1     # not a dependency: read here only
    python benchmarks/fusion.py --peer /tmp/mmsa
"""

import argparse
import importlib
import json
import resource
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

from preprocessing.errors import UserError, command

BATCH, WIDTH, LAYERS = 16, 50, 4
STREAMS = {"text": (50, 300), "audio": (375, 5), "vision": (500, 20)}  # length at scale 1, features
PEER_HEADS = 10
CLIP_S = 10.0


def build_ours(heads: int, lengths: dict[str, int]) -> tuple[int, Callable[[], None]]:
    """This project's fusion with a linear head; returns its parameter count and a training step."""
    import torch

    from mosi_e2e.models.config import FusionConfig
    from mosi_e2e.models.fusion import Fusion
    from mosi_e2e.models.layers import Tokens

    config = FusionConfig(width=WIDTH, heads=heads, layers=LAYERS, self_layers=LAYERS)
    fusion = Fusion(list(STREAMS), {name: features for name, (_, features) in STREAMS.items()}, config)
    model = torch.nn.ModuleDict({"fusion": fusion, "head": torch.nn.Linear(fusion.out_width, 1)})
    tokens = {
        name: Tokens(
            torch.randn(BATCH, length, STREAMS[name][1]),
            torch.linspace(0, CLIP_S, length).expand(BATCH, -1),
            torch.zeros(BATCH, length, dtype=torch.bool),
        )
        for name, length in lengths.items()
    }
    return build_step(model, lambda: model["head"](model["fusion"](tokens).pooled))


def check_peer(folder: Path) -> None:
    """Refuse a folder without the peer, before anything is imported."""
    if not (folder / "MMSA/models/singleTask/MULT.py").is_file():
        raise UserError(
            f"--peer is the folder that holds MMSA; none in {folder}: "
            f"pip install --no-deps --target {folder} MMSA==2.2.1"
        )


def load_peer(folder: Path) -> tuple[type, dict]:
    """MMSA's MulT and its settings for MOSI, without the rest of the package."""
    check_peer(folder)
    # The package's own `__init__` files import a text encoder and a trainer that this model does not
    # need: empty packages with the same paths let the one module be imported alone.
    for name in ("MMSA", "MMSA.models", "MMSA.models.singleTask", "MMSA.models.subNets"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = package
    sys.modules["MMSA.models.subNets"].BertTextEncoder = None
    module = importlib.import_module("MMSA.models.singleTask.MULT")
    settings = json.loads((folder / "MMSA/config/config_regression.json").read_text())["mult"]
    return module.MULT, settings["commonParams"] | settings["datasetParams"]["mosi"]


def build_peer(folder: Path, lengths: dict[str, int]) -> tuple[int, Callable[[], None]]:
    """The peer as configured for MOSI; returns its parameter count and a training step."""
    import torch

    peer, settings = load_peer(folder)
    features = [features for _, features in STREAMS.values()]
    model = peer(types.SimpleNamespace(**settings, feature_dims=features, train_mode="regression"))
    inputs = [torch.randn(BATCH, lengths[name], STREAMS[name][1]) for name in STREAMS]
    return build_step(model, lambda: model(*inputs)["M"])


def build_step(model, score: Callable[[], object]) -> tuple[int, Callable[[], None]]:
    """The same training step around either model."""
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    label = torch.randn(BATCH, 1)

    def step() -> None:
        optimizer.zero_grad()
        (score() - label).abs().mean().backward()
        optimizer.step()

    return sum(parameter.numel() for parameter in model.parameters()), step


def serve(arguments: argparse.Namespace) -> None:
    """The measured process: one step per line read, its seconds written; then the peak memory."""
    import torch  # here and above, so that the process that only compares stays small

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    lengths = {name: round(length * arguments.scale) for name, (length, _) in STREAMS.items()}
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux
    if arguments.serve == "peer":
        size, step = build_peer(Path(arguments.peer), lengths)
    else:
        size, step = build_ours(int(arguments.serve), lengths)
    print(size, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024)


def compare(arguments: argparse.Namespace, scale: float) -> dict[str, dict[str, float]]:
    """Alternate the steps of all models at one scale: parameters, seconds and megabytes of each."""
    names = [*map(str, arguments.heads), *(["peer"] if arguments.peer else [])]
    workers = {name: start_worker(arguments, name, scale) for name in names}
    results = {name: {"parameters": ask(worker)} for name, worker in workers.items()}
    seconds = {name: [] for name in names}
    for _ in range(arguments.steps + 1):  # the first one warms up
        for name, worker in workers.items():
            worker.stdin.write("step\n")
            worker.stdin.flush()
            seconds[name].append(ask(worker))
    for name, worker in workers.items():
        worker.stdin.close()
        results[name] |= {"seconds": statistics.median(seconds[name][1:]), "megabytes": ask(worker)}
        worker.wait()
    return results


def start_worker(arguments: argparse.Namespace, name: str, scale: float) -> subprocess.Popen:
    """A process that serves steps of one model."""
    call = [
        sys.executable,
        __file__,
        "--serve",
        name,
        "--scale",
        str(scale),
        "--threads",
        str(arguments.threads),
    ]
    if arguments.peer:
        call += ["--peer", arguments.peer]
    return subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(worker: subprocess.Popen) -> float:
    """The next number a worker writes."""
    line = worker.stdout.readline()
    if not line:
        raise UserError(
            f"a measured process ended with status {worker.wait()}; if it is -9 memory did not suffice: "
            "leave out the largest of --scales"
        )
    return float(line)


def describe(scale: float, results: dict[str, dict[str, float]]) -> Iterator[str]:
    """Rows of the result table, one for each model."""
    lengths = "+".join(str(round(length * scale)) for length, _ in STREAMS.values())
    peer = results.get("peer")
    for name, row in results.items():
        label = "MMSA MulT, 10 heads" if name == "peer" else f"ours, {name} heads"
        ratios = "|  |  |"
        if peer and name != "peer":
            speed, memory = peer["seconds"] / row["seconds"], row["megabytes"] / peer["megabytes"]
            ratios = f"| {speed:.1f} x | {memory:.2f} |"
        size = f"{row['parameters']:,.0f} | {row['seconds']:.2f} | {row['megabytes']:.0f}"
        yield f"| {lengths} | {label} | {size} {ratios}"


@command
def main(argv: list[str] | None = None) -> int:
    """Print one table; example: python benchmarks/fusion.py --peer /tmp/mmsa --scales 0.5 1 1.5."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peer", help="folder that holds the package MMSA 2.2.1 (a --target or site-packages)"
    )
    parser.add_argument(
        "--scales", type=float, nargs="+", default=[0.5, 1.0, 1.5], help="factors on the lengths"
    )
    parser.add_argument("--heads", type=int, nargs="+", default=[2, PEER_HEADS], help="heads of ours")
    parser.add_argument("--steps", type=int, default=5, help="measured steps of each model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.serve:
        serve(arguments)
        return 0
    if arguments.peer:
        check_peer(Path(arguments.peer))
    else:
        print("the peer is left out: no --peer FOLDER given (see --help for how to fetch it)")
    print("| tokens | model | parameters | s / step | peak MB | faster | of its memory |")
    print("|---|---|---|---|---|---|---|")
    for scale in arguments.scales:
        print("\n".join(describe(scale, compare(arguments, scale))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
