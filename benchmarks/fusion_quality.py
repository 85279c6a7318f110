"""What a public MulT implementation learns where ours is proved: docs/timing.md, by the same training.

The peer of `benchmarks/fusion.py` takes the place of the fusion in `configs/timing_crossmodal.yaml`: the
same clips, encoders, augmentation, loss, head, optimizer and number of epochs, best epoch by valid, test
scored once. Its third stream, text, is one token of zeros. Sizes: `ours` gives it the recipe's width, heads
and layers, no dropout, and attention in both directions of time; `its_own` leaves all as it is configured for
MOSI, the learning rate too.

    python benchmarks/fusion_quality.py --peer /tmp/mmsa --size ours
"""

import argparse
import json
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from fusion import load_peer
from torch import nn

import mosi_e2e.models.crossmodal
from mosi_e2e.models.config import FusionConfig
from mosi_e2e.models.fusion import FusionOutput
from mosi_e2e.models.layers import Tokens
from mosi_e2e.train import main as train
from preprocessing.errors import UserError, command

CONFIG = "configs/timing_crossmodal.yaml"
DROPOUTS = ("attn_dropout", "attn_dropout_a", "attn_dropout_v", "embed_dropout", "text_dropout")


def make_fusion(peer: type, settings: dict, size: str) -> type:
    """A class that stands where `mosi_e2e.models.fusion.Fusion` does."""

    class PeerFusion(nn.Module):
        """MulT over two streams; the features that it regresses from are the pooled ones."""

        def __init__(self, streams: Sequence[str], in_widths: Mapping[str, int], config: FusionConfig):
            super().__init__()
            self.streams = sorted(streams)
            own = dict(settings)
            if size == "ours":
                own |= dict.fromkeys(DROPOUTS, 0.0) | {"attn_mask": False}
                own |= {"dst_feature_dim_nheads": (config.width, config.heads), "nlevels": config.layers}
            first, second = (in_widths[name] for name in self.streams)
            features = [1, first, second]
            self.mult = peer(types.SimpleNamespace(**own, feature_dims=features, train_mode="regression"))
            width = 2 * own["dst_feature_dim_nheads"][0]
            self.text_rows = own["conv1d_kernel_size_l"]  # one token is left of them
            self.out_width = 3 * width
            self.by_stream = nn.ModuleDict({name: nn.Linear(width, config.width) for name in self.streams})

        def forward(self, tokens: Mapping[str, Tokens]) -> FusionOutput:
            """Times are not looked at: the peer counts places."""
            first, second = (tokens[name].values for name in self.streams)
            found = self.mult(first.new_zeros(len(first), self.text_rows, 1), first, second)
            last = dict(zip(self.streams, (found["Feature_a"], found["Feature_v"]), strict=True))
            by_stream = {name: self.by_stream[name](value) for name, value in last.items()}
            return FusionOutput(torch.cat([found["Feature_t"], *last.values()], dim=-1), by_stream)

    return PeerFusion


def measure(name: str, seed: int, words: Sequence[str]) -> dict[str, float]:
    """Train and score one seed; its test metrics."""
    words = [f"name={name}", f"seed={seed}", *words, "--score", "test"]
    if train(["--config", CONFIG, *words]):
        raise UserError(f"the run {name} ended early; see above, and remove its folder before the next try")
    out = next((word.removeprefix("out=") for word in words if word.startswith("out=")), "runs")
    found = json.loads((Path(out) / name / "metrics_test.json").read_text())["metrics"]
    return {metric: round(found[metric], 3) for metric in ("mae", "corr")}


@command
def main(argv: list[str] | None = None) -> int:
    """Print test MAE and Corr of each seed as JSON lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, required=True, help="folder that holds the package MMSA 2.2.1")
    parser.add_argument("--size", choices=("ours", "its_own"), default="ours")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of the run")
    arguments = parser.parse_args(argv)
    peer, settings = load_peer(arguments.peer)
    mosi_e2e.models.crossmodal.Fusion = make_fusion(peer, settings, arguments.size)
    words = list(arguments.overrides)
    if arguments.size == "its_own":
        words.insert(0, f"optim.lr={settings['learning_rate']}")
    for seed in arguments.seeds:
        found = measure(f"mult_{arguments.size}_{seed}", seed, words)
        print(json.dumps({"size": arguments.size, "seed": seed, **found}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
