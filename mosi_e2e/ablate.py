"""`python -m mosi_e2e.ablate`: many variants, many seeds, one table."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mosi_e2e.experiments.ablation import AblationConfig, list_runs
from preprocessing.arguments import Parser
from preprocessing.errors import command
from preprocessing.settings import load_config


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 only if every run is finished."""
    parser = Parser(
        prog="python -m mosi_e2e.ablate",
        description="Train named variants with several seeds and compare them on the same clips.",
        epilog="example: python -m mosi_e2e.ablate --config configs/ablations.yaml parallel=4   |   a second "
        "call skips what is finished, continues what was interrupted and retries what failed",
    )
    parser.add_argument("--config", required=True, help="YAML file; see configs/ablations.yaml")
    parser.add_argument("--table", action="store_true", help="only make the table of what is finished")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the file")
    args = parser.parse_intermixed_args(argv)
    from mosi_e2e.experiments.execute import execute
    from mosi_e2e.experiments.formats import lay_out, list_remarks, write_tables
    from mosi_e2e.experiments.pooling import pool_folds
    from mosi_e2e.experiments.table import summarise

    config = load_config(AblationConfig, args.config, args.overrides)
    runs = list_runs(config)
    failures = [] if args.table else execute(runs, config)
    for line in pool_folds(runs, config.split):
        print(f"note: {line}", file=sys.stderr)
    summary = summarise(runs, config)
    written = write_tables(summary, Path(config.out))
    print(lay_out(summary).to_string(index=False))
    print("\n".join(list_remarks(summary)))
    print(f"written: {', '.join(str(path) for path in written)}")
    for line in failures:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
