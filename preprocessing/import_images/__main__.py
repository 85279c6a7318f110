"""`python -m preprocessing.import_images`: pictures of faces → cache."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command

LARGEST = 1024  # pixels a side
EXAMPLE = """examples:
  python -m preprocessing.import_images data/fer2013 --size 48 --out cache/fer2013
  python -m preprocessing.import_images data/faces.csv --align --out cache/faces"""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 only if the cache is finished and holds a picture of train."""
    parser = Parser(
        prog="python -m preprocessing.import_images",
        description="Turn pictures of faces into a cache, in which each picture is a clip of one frame.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        type=Path,
        help="folder with a folder for each class (below train, valid and test if it has splits), or a table "
        "with path, label and perhaps split and subject",
    )
    parser.add_argument("--out", type=Path, required=True, help="cache folder")
    parser.add_argument("--size", type=int, default=224, help="side of the stored pictures, pixels")
    parser.add_argument(
        "--align",
        action="store_true",
        help="find the face and cut it out as in a video, with behaviour tokens; else pictures stay whole",
    )
    args = parser.parse_args(argv)
    if not 16 <= args.size <= LARGEST:
        raise UserError(f"--size is 16 to {LARGEST} pixels; found {args.size}")
    from preprocessing.import_images.source import read_pictures
    from preprocessing.import_images.write import import_pictures

    pictures = read_pictures(args.source)
    for note in pictures.notes:
        print(f"note: {note}")
    summary = import_pictures(pictures.entries, args.out, args.size, args.align)
    print(describe(summary, args.out))
    if not summary["splits"].get("train"):
        raise UserError(f"{args.out} has no usable picture in split train, so nothing can learn from it")
    return 0


def describe(summary: Mapping, out: Path) -> str:
    """The end of the command's output."""
    splits = ", ".join(f"{split} {count}" for split, count in summary["splits"].items())
    lines = [f"{out}: {summary['usable']} of {summary['clips']} pictures ({splits})"]
    if summary["classes"]:
        lines.append("classes: " + ", ".join(f"{name} {count}" for name, count in summary["classes"].items()))
    counted = {"no_face": "without a face that was found", "failed": "unreadable, see failures.csv"}
    lines += [f"{summary[key]} {told}" for key, told in counted.items() if summary[key]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
