"""`python -m mosi_e2e.export`: a trained model as a folder that others can load."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from preprocessing.arguments import Parser
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError, command, make_folder


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the model folder and say what is in it."""
    parser = Parser(
        prog="python -m mosi_e2e.export",
        description="Write a trained model as a folder: weights, settings, features, statistics, model card.",
        epilog="example: python -m mosi_e2e.export runs/crossmodal --out model/ --onnx",
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--out", type=Path, default=Path("model"), help="new folder; default: model/")
    parser.add_argument("--onnx", action="store_true", help="model.onnx, too, for onnxruntime")
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
    out = args.out.resolve()
    aside = out.with_name(f".{out.name}.part")  # a killed or failed export leaves nothing under its name
    shutil.rmtree(aside, ignore_errors=True)
    try:
        make_folder(aside)
        is_scored = write_model(args.run, aside, onnx=args.onnx, small=args.small)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if not is_scored:
        print(f"note: the card has no test scores; type: python -m mosi_e2e.evaluate {args.run} --split test")
    for path in sorted(args.out.iterdir()):
        print(f"{args.out / path.name}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


def write_model(run: Path, folder: Path, onnx: bool, small: bool = False, half: bool = False) -> bool:
    """Write a run's model into a folder, with the ONNX file if it is wanted.

    Args:
        run: run folder.
        folder: where to.
        onnx: write `model.onnx`, too.
        small: leave out what encoders have from checkpoints of `mosi_e2e.weights`.
        half: keep what is left in 16 bits.

    Returns:
        Whether the run was scored on test.

    Raises:
        UserError: there is no such run, or the ONNX file cannot be written or gives other scores.
    """
    from mosi_e2e.export.folder import read_folder, write_folder  # after the quick checks: it imports torch

    trained = read_folder(run)
    write_folder(folder, trained)
    if small:
        from mosi_e2e.weights.small import shrink_folder

        for name in shrink_folder(folder, run, half):
            print(f"without the weights of {name}: they are fetched when the model is used first")
    if onnx:
        from mosi_e2e.export.programs import trace, write_onnx

        print("tracing the model: a minute or two", flush=True)
        largest = write_onnx(folder / "model.onnx", trace(trained.network, trained.config, trained.facts))
        if "words" in trained.network.encoders:
            tokenizer = bytes(trained.network.encoders["words"].tokenizer.tolist())
            write_atomic(folder / "tokenizer.json", tokenizer)
        print(f"model.onnx: scores differ from the model's by {largest:.1g} at most", flush=True)
    return "metrics_test.json" in trained.records


if __name__ == "__main__":
    sys.exit(main())
