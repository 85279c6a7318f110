"""`accelerate launch -m mosi_e2e.train`: one training run. What it does: `runs/training.py`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mosi_e2e.config import SPLITS, RunConfig
from preprocessing.arguments import Parser
from preprocessing.errors import command
from preprocessing.settings import load_config


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Train, keep the best epoch on valid, score valid with it.

    Exit status 143 after SIGTERM, as shells expect; the state is then stored.
    """
    parser = Parser(
        prog="accelerate launch -m mosi_e2e.train",
        description="Train one model on a cache.",
        epilog="example: accelerate launch --config_file accelerate_config.yaml -m mosi_e2e.train "
        "--config configs/crossmodal.yaml seed=1 name=crossmodal_1",
    )
    parser.add_argument("--config", help="YAML recipe; without it the defaults")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--score", choices=SPLITS, help="score this split, too, once training is over")
    parser.add_argument(
        "--repeat", type=Path, metavar="RUN", help="repeat a run and report whether the results match"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the recipe")
    args = parser.parse_intermixed_args(argv)
    config = load_config(RunConfig, args.config, args.overrides)
    from mosi_e2e.engine.loop import Stopped
    from mosi_e2e.runs.repeat import repeat
    from mosi_e2e.runs.training import say_defaults, train

    try:
        if args.repeat:
            return 0 if repeat(args.repeat, train) else 1
        if not args.config:
            say_defaults(config)
        train(config, args.resume, args.score)
    except Stopped:
        return 143
    return 0


if __name__ == "__main__":
    sys.exit(main())
