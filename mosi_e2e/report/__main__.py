"""`python -m mosi_e2e.report`: what came out of some runs, on one page."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mosi_e2e.config import SPLITS
from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write `index.html`, `report.md` and `figures/`."""
    parser = Parser(
        prog="python -m mosi_e2e.report",
        description="One page about runs: scores with intervals and floors, curves, errors, settings.",
        epilog="example: python -m mosi_e2e.report runs/ --out report/",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folder of runs, or single run folders")
    parser.add_argument("--out", type=Path, default=Path("report"), help="where to; default: report/")
    parser.add_argument("--split", default="test", choices=SPLITS, help="a run without it is shown on valid")
    parser.add_argument("--reference", default="", help="system that the others are compared with")
    parser.add_argument("--detail", type=int, default=4, help="systems of a table with pictures; default: 4")
    parser.add_argument("--clips", type=int, default=4, help="best and worst clips shown, each; default: 4")
    parser.add_argument("--cache", default="", help="where the clips are now, if their cache was moved")
    args = parser.parse_args(argv)
    for name, value in (("detail", args.detail), ("clips", args.clips)):
        if value < 0:
            raise UserError(f"--{name} must be 0 or more, but is {value}; type for example --{name} 4")
    from mosi_e2e.report.page import Wish
    from mosi_e2e.report.runs import read_runs
    from mosi_e2e.report.write import write_report

    runs, strays = read_runs(args.runs)
    wish = Wish(args.split, args.reference, args.detail, args.clips, args.cache)
    path = write_report(runs, strays, wish, args.out)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {len(runs)} runs; open it in a browser")
    print(f"written: {args.out / 'report.md'}, {args.out / 'figures'}/*.png and *.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
