"""`python -m mosi_e2e.export`: a trained model as a folder that others can load."""

import sys
from collections.abc import Sequence
from pathlib import Path

from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command


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
    parser.add_argument("--torch-export", action="store_true", help="model.pt2, too, for torch.export.load")
    args = parser.parse_args(argv)
    if args.out.is_file() or (args.out.is_dir() and any(args.out.iterdir())):
        raise UserError(
            f"{args.out} is there already; type another folder as --out, or remove it: rm -r {args.out}"
        )
    from mosi_e2e.export.folder import read_folder, write_folder  # after the quick checks: it imports torch

    trained = read_folder(args.run)
    write_folder(args.out, trained)
    if args.onnx or args.torch_export:
        from mosi_e2e.export.programs import trace, write_onnx, write_program

        print("tracing the model: a minute or two", flush=True)
        traced = trace(trained.network, trained.config, trained.facts)
        wanted = [("model.onnx", write_onnx)] * args.onnx + [("model.pt2", write_program)] * args.torch_export
        for name, write in wanted:
            largest = write(args.out / name, traced)
            print(f"{name}: scores differ from the model's by {largest:.1g} at most", flush=True)
    if "metrics_test.json" not in trained.records:
        print(f"note: the card has no test scores; type: python -m mosi_e2e.evaluate {args.run} --split test")
    for path in sorted(args.out.iterdir()):
        print(f"{args.out / path.name}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
