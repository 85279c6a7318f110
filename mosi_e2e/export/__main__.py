"""`python -m mosi_e2e.export`: a trained model as a folder that others can load."""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command, make_folder


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the model folder and say what is in it."""
    args = parse(argv)
    from mosi_e2e.ready.folder import is_ready

    if args.run is None or is_ready(args.run):
        export_ready(args)
    else:
        export_run(args)
    for path in sorted(path for path in args.out.rglob("*") if path.is_file()):
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, refused before anything is loaded where they cannot be meant."""
    parser = Parser(
        prog="python -m mosi_e2e.export",
        description="Write a trained model as a folder: weights, settings, features, statistics, model card. "
        "Without a run: the ready model as ONNX, a program for each stream.",
        epilog="example: python -m mosi_e2e.export runs/crossmodal --out model/ --onnx",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder, or that of a ready model")
    parser.add_argument("--out", type=Path, default=Path("model"), help="new folder; default: model/")
    parser.add_argument("--onnx", action="store_true", help="model.onnx, too, for onnxruntime")
    parser.add_argument("--fast", action="store_true", help="without a run: the smaller ready model")
    parser.add_argument(
        "--small",
        action="store_true",
        help="leave out what encoders have from checkpoints of mosi weights, which are fetched again",
    )
    args = parser.parse_args(argv)
    if args.out.is_file() or (args.out.is_dir() and any(args.out.iterdir())):
        raise UserError(
            f"{args.out} is there already; type another folder as --out, or remove it: rm -r {args.out}"
        )
    if args.fast and args.run:
        raise UserError(
            f"--fast is a smaller ready model, used without a run: leave out --fast, or {args.run}"
        )
    return args


def export_run(args: argparse.Namespace) -> None:
    """A run's model folder."""
    with new_folder(args.out) as folder:
        from mosi_e2e.export.write import write_model  # after the quick checks: it imports torch

        is_scored = write_model(args.run, folder, onnx=args.onnx, small=args.small)
    if not is_scored:
        print(f"note: the card has no test scores; type: python -m mosi_e2e.evaluate {args.run} --split test")


def export_ready(args: argparse.Namespace) -> None:
    """A ready model as ONNX; its folder stands alone already."""
    from mosi_e2e.ready.bases import offer_bases
    from mosi_e2e.ready.folder import find_ready, read_ready

    place = args.run or find_ready(args.fast)
    if args.small:
        raise UserError(f"{place} is small already: copy it, or leave out --small for ONNX")
    ready = read_ready(place)
    offer_bases(ready)
    with new_folder(args.out) as folder:
        from mosi_e2e.ready.programs import write_programs  # after the quick checks: it imports torch

        write_programs(ready, folder)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that gets its name when it is whole: a killed or failed export leaves nothing under it."""
    out = out.resolve()
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        make_folder(aside)
        yield aside
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
