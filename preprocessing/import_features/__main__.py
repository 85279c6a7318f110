"""`python -m preprocessing.import_features`: others' feature files → cache."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command
from preprocessing.import_features.rules import RULES
from preprocessing.import_features.sequences import SequenceSource
from preprocessing.import_features.source import ImportOptions, Source
from preprocessing.import_features.tables import TableSource
from preprocessing.import_features.write import import_source

EXAMPLE = """examples:
  python -m preprocessing.import_features mosi/unaligned_50.pkl --out cache/mosi_features --rate 30
  python -m preprocessing.import_features mmmo_seq.npz --out cache/mmmo --neutral 3 --sentinel 255
  python -m preprocessing.import_features audio=CMU_MOSI_COVAREP.csd vision=CMU_MOSI_Visual_Facet_42.csd \\
      labels=CMU_MOSI_Opinion_Labels.csd --out cache/mosi_csd

rules (each is counted):
""" + "\n".join(f"  {name:18}{what}" for name, what in RULES.items())
TABLES, SEQUENCES = (".pkl", ".pickle", ".npz"), (".csd", ".h5", ".hdf5")


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 only if every clip of the file is in the cache."""
    args = parse_arguments(argv)
    options = ImportOptions(
        tuple(name for name in args.streams.split(",") if name),
        args.label_column,
        args.neutral,
        args.rate,
        args.sentinel,
    )
    files = split_names(args.files)
    source = open_source(files, options)
    for note in source.notes:
        print(f"note: {note}")
    name = args.name or args.out.name
    summary = import_source(source, [path for _, path in files], args.out, name, options)
    print(describe(summary, args.out))
    return 1 if summary["refused"] else 0


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m preprocessing.import_features",
        description="Turn feature files (MMSA .pkl, .npz, CMU .csd) into a cache of token streams.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="one .pkl or .npz, or .csd files as NAME=FILE with labels=FILE",
    )
    parser.add_argument("--out", type=Path, required=True, help="cache folder")
    parser.add_argument("--name", help="of the data set, for the record; default: the cache folder's")
    parser.add_argument("--streams", default="", help="comma-separated; default: all but texts")
    parser.add_argument("--label-column", type=int, default=0, help="where there are several; default: 0")
    parser.add_argument(
        "--neutral", type=float, default=0.0, help="label that means neutral, subtracted: 3 for labels 1 to 5"
    )
    parser.add_argument("--rate", type=float, help="rows a second where the file has no times")
    parser.add_argument("--sentinel", type=float, help="magnitude that stands for no value, such as 255")
    args = parser.parse_args(argv)
    for name in ("rate", "sentinel"):
        if getattr(args, name) is not None and not getattr(args, name) > 0:
            raise UserError(f"--{name} must be above 0, but is {getattr(args, name)}")
    return args


def split_names(texts: Sequence[str]) -> list[tuple[str, Path]]:
    """`NAME=FILE` or `FILE` as name (or "") and path.

    Raises:
        UserError: a file is not there.
    """
    files = []
    for text in texts:
        name, equals, path = text.partition("=")
        name, path = (name, Path(path)) if equals and not Path(text).exists() else ("", Path(text))
        if not path.is_file():
            raise UserError(f"there is no file {path}; give a .pkl, .npz or .csd file")
        files.append((name, path))
    return files


def open_source(files: Sequence[tuple[str, Path]], options: ImportOptions) -> Source:
    """Open what was given, by its extensions.

    Raises:
        UserError: an unknown kind, a mixture, or sequences without labels.
    """
    kinds = {path.suffix.lower() for _, path in files}
    if kinds <= set(TABLES):
        if len(files) > 1:
            raise UserError("one .pkl or .npz file holds a whole set; import each into its own --out")
        return TableSource(files[0][1], options)
    if not kinds <= set(SEQUENCES):
        known = ", ".join((*TABLES, *SEQUENCES))
        raise UserError(f"known are {known} files, but got {', '.join(sorted(kinds))}")
    labels = [path for name, path in files if name == "labels"]
    streams = [(name, path) for name, path in files if name != "labels"]
    if len(labels) != 1 or not streams:
        raise UserError("give at least one stream and one label file: audio=AUDIO.csd labels=LABELS.csd")
    return SequenceSource(streams, labels[0], options)


def describe(summary: dict, out: Path) -> str:
    """The import for people: clips, and what each rule did."""
    splits = ", ".join(f"{name} {count}" for name, count in summary["splits"].items())
    lines = [f"{summary['usable']} of {summary['clips']} clips in {out} ({splits})"]
    stages = json.loads((out / "meta.json").read_text())["stages"]
    for stream, stage in stages.items():
        counts = ", ".join(f"{rule} {count}" for rule, count in stage["rules"].items() if count)
        columns = len(stage["keys"][stream]["columns"])
        lines.append(f"{stream}: {columns} columns; {counts or 'no rule took effect'}")
    lines += [f"refused: {one['clip_id']}: {one['error']}" for one in summary["refused"][:10]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
