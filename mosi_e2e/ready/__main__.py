"""`python -m mosi_e2e.ready`: the ready model, made of trained runs."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mosi_e2e.ready.folder import is_ready
from mosi_e2e.ready.known import SOURCES
from mosi_e2e.weights.catalogue import CHECKPOINTS
from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the folder, say what is in it, and whether it is the same as the shipped one."""
    args = parse(argv)
    given = {one.stream: getattr(args, name) for name, one in SOURCES.items() if getattr(args, name)}
    if not given:
        raise UserError("name at least one run: --words RUN, --voice RUN or --face RUN")
    if args.out.exists():
        raise UserError(
            f"{args.out} is there already; type another folder as --out, or remove it: rm -r {args.out}"
        )
    if args.hears not in CHECKPOINTS:
        raise UserError(
            f"--hears is one of mosi weights list, but got '{args.hears}'; type --hears whisper-base"
        )
    if args.same_as and not is_ready(args.same_as):
        raise UserError(f"--same-as {args.same_as} is no ready model; name a folder such as models/ready")
    tables = {one.stream: getattr(args, f"{name}_errors") for name, one in SOURCES.items()}

    from mosi_e2e.ready.build import build_ready  # after the quick checks: it imports torch
    from mosi_e2e.ready.comparing import compare_ready, find_shipped

    out = args.out.resolve()
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        build_ready(given, tables, aside, args.hears, out.name)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    sizes = {path.name: sum(file.stat().st_size for file in path.rglob("*")) for path in out.iterdir()}
    for name, size in sorted(sizes.items()):
        print(f"{args.out / name}: {size / 1e6:.2f} MB")
    print(
        f"{sum(sizes.values()) / 1e6:.2f} MB in all; use it: python -m mosi_e2e.predict {args.out} video.mp4"
    )
    other = args.same_as or find_shipped(args.hears)
    for line in compare_ready(args.out, other) if other else ():
        print(line)
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of the command."""
    parser = Parser(
        prog="python -m mosi_e2e.ready",
        description="Make a ready model of one trained run for each stream: small weights, and the errors "
        "by which they are combined, from the runs' predictions on valid. For each stream it reports "
        "whether the result is the same as the shipped one.",
        epilog="example: python -m mosi_e2e.ready --words runs/ready_words --voice runs/ready_voice "
        "--out models/mine",
    )
    for option in SOURCES:
        parser.add_argument(f"--{option}", type=Path, metavar="RUN", help=f"run that reads {option}")
        parser.add_argument(
            f"--{option}-errors", type=Path, nargs="+", default=[], metavar="CSV",
            help="prediction tables of valid that the errors are taken from; default: the run's own",
        )  # fmt: skip
    parser.add_argument(
        "--hears", default="whisper-base", metavar="NAME", help="recogniser; default: whisper-base"
    )
    parser.add_argument(
        "--same-as",
        type=Path,
        metavar="FOLDER",
        help="ready model to compare the new one with; default: the shipped one",
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
