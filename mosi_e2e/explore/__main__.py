"""`python -m mosi_e2e.explore`: look at a cache before believing anything that was trained on it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = Parser(
        prog="python -m mosi_e2e.explore",
        description="One page about a cache: clips on a time axis, labels, coverage, what was refused.",
        epilog="example: python -m mosi_e2e.explore cache/mosi --labels data/mosi --out explore/",
    )
    parser.add_argument("cache", help="folder that preprocessing wrote, or a pack of it")
    parser.add_argument(
        "--out", type=Path, default=Path("explore"), help="folder of the page; default: explore/"
    )
    parser.add_argument(
        "--count", type=int, default=8, help="clips shown, spread over splits and labels; default: 8"
    )
    parser.add_argument("--clips", help="show these instead: --clips=ID,ID")
    parser.add_argument(
        "--labels", type=Path, help="the raw set (label file or folder): shows frames with the face box, too"
    )
    args = parser.parse_args(argv)
    if args.count < 0:
        raise UserError(f"--count must be 0 or more, but is {args.count}; type for example --count 8")
    from mosi_e2e.explore.page import explore

    wanted = [name for name in (args.clips or "").split(",") if name]
    print(explore(args.cache, args.out, args.count, wanted, args.labels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
