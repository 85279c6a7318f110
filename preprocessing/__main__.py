"""`python -m preprocessing`: raw clips and labels → cache."""

import sys
from collections.abc import Sequence
from pathlib import Path

from preprocessing.arguments import Parser
from preprocessing.config import PreprocessConfig
from preprocessing.errors import command
from preprocessing.settings import load_config


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 only if every clip is in the cache (with `--dry-run`: if the plan could be made)."""
    parser = Parser(
        prog="python -m preprocessing",
        description="Decode every clip once; cache face crops, sound, behaviour tokens and openSMILE. "
        "A run that was cut off continues with the same command.",
        epilog="example: python -m preprocessing --config configs/preprocess.yaml "
        "labels=data/mosi out=cache/mosi --dry-run",
    )
    parser.add_argument("--config", help="YAML file; without it the defaults")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, why and for how long; change nothing"
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="try again what failed before with the same settings",
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="change a finished cache that has other settings, or clips that the labels lack",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the file")
    args = parser.parse_intermixed_args(argv)
    if not args.config and not args.overrides:
        parser.print_help(sys.stderr)
        print("error: say which clips: --config FILE, or labels=FOLDER out=FOLDER", file=sys.stderr)
        return 2
    config = load_config(PreprocessConfig, args.config, args.overrides)
    from preprocessing.run.estimate import read_last_run
    from preprocessing.run.pipeline import preprocess, show_plan
    from preprocessing.run.summary import describe_summary

    if args.dry_run:
        show_plan(config, args.retry_failed)
        return 0
    summary, has_worked = preprocess(config, args.retry_failed, args.update)
    run = read_last_run(Path(config.out)) if has_worked else None
    print(describe_summary(summary, run, config.out))
    return 1 if summary["refused"] else 0


if __name__ == "__main__":
    sys.exit(main())
