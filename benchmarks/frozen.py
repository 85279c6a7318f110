"""What an epoch costs when the output of a frozen speech encoder is computed once and kept.

    python -m preprocessing.sample --out data/sample
    python -m preprocessing --config configs/sample_preprocess.yaml
    python benchmarks/frozen.py --cache cache/sample

Two runs of `mosi_e2e.train` on the same clips: wav2vec 2.0 at base size (random weights: the time is the
same), frozen, its stream not augmented; with `data.encode_frozen` and without. Epochs after the first are
compared. The encoded rows stay in the cache, as those of any run do.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import pandas as pd

from mosi_e2e.config import RunConfig
from mosi_e2e.runs.training import train
from preprocessing.errors import UserError, command
from preprocessing.settings import load_config

SETTINGS = (
    "model.name=crossmodal",
    "model.crossmodal.streams=[speech,behaviour]",
    "model.crossmodal.speech.model=wav2vec2",
    "model.crossmodal.speech.pretrained=false",
    "model.crossmodal.speech.freeze=frozen",
    "augment.enabled=false",
    "data.workers=0",
    "trackers=[]",
)


def time_epochs(cache: Path, out: Path, epochs: int, keep: bool) -> list[float]:
    """Seconds of each epoch of one run, validation included."""
    own = (
        f"data.cache={cache}",
        f"out={out}",
        f"optim.epochs={epochs}",
        f"data.encode_frozen={keep}".lower(),
    )
    folder = train(load_config(RunConfig, None, (*SETTINGS, *own, f"name=keep_{keep}".lower())))
    return pd.read_csv(folder / "history.csv").seconds.tolist()


@command
def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, default=Path("cache/sample"))
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    if args.epochs < 2:
        raise UserError("--epochs is at least 2: the first one warms up")
    with tempfile.TemporaryDirectory() as out:
        kept = time_epochs(args.cache, Path(out), args.epochs, True)
        each = time_epochs(args.cache, Path(out), args.epochs, False)
    typical = {"kept_s": statistics.median(kept[1:]), "each_epoch_s": statistics.median(each[1:])}
    print(
        json.dumps(typical | {"times_less": round(typical["each_epoch_s"] / typical["kept_s"], 1)}, indent=1)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
