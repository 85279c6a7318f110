"""FER2013 without its train pictures, for copies in which those alone are blurred.

    python benchmarks/sharp_faces.py data/fer2013 --out data/fer_sharp.csv

500 pictures of `valid` (PublicTest), drawn with seed 0, stay valid; the others become train. `test`
(PrivateTest) stays test. The table is for `python -m preprocessing.import_images`.
"""

import argparse
import csv
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from preprocessing.errors import UserError, command

VALID = 500  # pictures


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the table, with paths relative to it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with valid/CLASS/ and test/CLASS/")
    parser.add_argument("--out", type=Path, required=True, help="table; above or beside the folder")
    args = parser.parse_args(argv)
    public, private = (list_pictures(args.folder / split) for split in ("valid", "test"))
    random.Random(0).shuffle(public)
    splits = ["valid"] * VALID + ["train"] * (len(public) - VALID) + ["test"] * len(private)
    root = args.out.parent.resolve()
    with args.out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split"])
        for path, split in zip([*public, *private], splits, strict=True):
            table.writerow([path.resolve().relative_to(root).as_posix(), path.parent.name, split])
    return 0


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of all classes, in the order of their names.

    Raises:
        UserError: there are too few.
    """
    found = sorted(folder.glob("*/*"), key=str)
    if len(found) <= VALID:
        raise UserError(
            f"{folder} has {len(found)} pictures; more than {VALID} are needed: name FER2013's folder"
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
