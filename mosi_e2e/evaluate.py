"""`python -m mosi_e2e.evaluate`: score a trained model on a split, or anyone's predictions.

What it does: `runs/evaluation.py`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from mosi_e2e.config import ALL, SPLITS, TASKS
from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Print and write the metric row."""
    parser = Parser(
        prog="python -m mosi_e2e.evaluate",
        description="Score a trained model on one split of a cache, or a table of predictions.",
        epilog="examples: python -m mosi_e2e.evaluate runs/crossmodal --split test   |   "
        "python -m mosi_e2e.evaluate --predictions mine.csv --out metrics.json",
    )
    parser.add_argument("run", nargs="*", type=Path, help="run folder; several give one table")
    parser.add_argument(
        "--split", default="test", choices=(*SPLITS, ALL), help="all: every clip of another cache (--cache)"
    )
    parser.add_argument("--cache", help="another cache than the one it was trained on")
    parser.add_argument(
        "--predictions",
        type=Path,
        help="CSV with label, score (for --task classes p_<class> for each class) and, for intervals by "
        "video, video_id",
    )
    parser.add_argument(
        "--train-labels", type=Path, help="CSV with a column label: the train split, for the floors"
    )
    parser.add_argument("--task", default="regression", choices=TASKS, help="of --predictions")
    parser.add_argument(
        "--out", type=Path, help="where --predictions' metrics go, or another folder for a run's"
    )
    args = parser.parse_intermixed_args(argv)
    if bool(args.run) == bool(args.predictions):
        raise UserError("give either a run folder or --predictions FILE.csv; see --help")
    if args.split == ALL and not args.cache:
        raise UserError("--split all belongs to --cache CACHE: of its own cache a model has learned train")
    from mosi_e2e.runs.evaluation import score_file, score_held_runs

    if args.predictions:
        score_file(args.predictions, args.task, args.train_labels, args.out)
    else:
        score_held_runs(args.run, args.split, args.cache, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
