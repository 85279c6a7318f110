"""`python -m mosi_e2e.predict`: score videos that have no label."""

import argparse
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from mosi_e2e.predict.inputs import (
    OVERLAY_ENDING,
    check_is_run,
    holds_videos,
    is_run,
    list_videos,
    name_outputs,
)
from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command

FEWEST_DRAWS = 10  # of which a spread can be told


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Score every video and write its files; 1 if one of them failed."""
    args = parse(argv)
    check_arguments(args)
    runs = find_runs(args.paths)
    videos = list_videos([path for path in args.paths if path not in runs])
    if not videos and runs:
        raise UserError(
            f"give at least one video after the run: python -m mosi_e2e.predict {runs[0]} video.mp4"
        )

    if args.fast and runs:
        raise UserError(
            f"--fast is a smaller ready model, used without a run: leave out --fast, or {runs[0]}"
        )
    prepare_ready(runs, args.fast)
    # Here, since torch takes seconds to import, and a wrong path should not.
    from mosi_e2e.predict.predictor import PredictOptions
    from mosi_e2e.ready.predictor import open_model

    options = PredictOptions(
        draws=args.draws,
        level=args.level,
        window_s=args.window,
        max_minutes=args.max_minutes,
        exact_seconds=args.exact_seconds,
        words=args.words,
    )
    from mosi_e2e.predict.classes import describe_classes
    from mosi_e2e.predict.describe import describe

    predictor = open_model(runs, args.fast)
    if args.int8:
        predictor.use_int8()
    predictor.choose_listener(options)  # before the first video
    check_subtitles(args, predictor.streams)
    if predictor.task == "classes" and (args.overlay or args.srt or args.vtt):
        raise UserError(
            "--overlay, --srt and --vtt show sentiment, and this model knows classes; leave it out"
        )
    failures = []
    for video, stem in name_outputs(videos).items():
        try:
            with progress_bar(video.name) as report:
                result = predictor.predict(video, report, options)
            # First: a full disk must not cost the score.
            print(describe_classes(result) if predictor.task == "classes" else describe(result))
            write_results(result, video, args.out, stem, args)
        except Exception as error:  # noqa: BLE001  one video's defect must not cost the others
            failures.append(video)
            print(f"error: {explain(error, video)}", file=sys.stderr)
            continue
    if failures:
        print(f"{len(failures)} of {len(videos)} videos failed, see above", file=sys.stderr)
    if len(failures) < len(videos):
        print(f"written to {args.out}/")
    return 1 if failures else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of the command."""
    parser = Parser(
        prog="python -m mosi_e2e.predict",
        description="Score the sentiment of videos: over time, with what the score rests on.",
        epilog="examples: python -m mosi_e2e.predict clip.mp4   |   "
        "python -m mosi_e2e.predict runs/crossmodal clip.mp4 --out out/   |   "
        "python -m mosi_e2e.predict runs/seed_0 runs/seed_1 runs/seed_2 videos/ --out out/",
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="RUN VIDEO",
        help="run folders (several: their mean and its spread; none: the ready model), then videos or "
        "folders of videos",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results; default: out/")
    parser.add_argument("--overlay", action="store_true", help="write the video with the running score, too")
    parser.add_argument("--srt", action="store_true", help="write subtitles with a score per line, too")
    parser.add_argument("--vtt", action="store_true", help="the same as WebVTT")
    parser.add_argument(
        "--words",
        default="",
        metavar="WHO",
        help="who hears them: whisper, whisper:MODEL or ctc:MODEL; default: who heard the training clips",
    )
    parser.add_argument(
        "--draws", type=int, default=20, help="number of dropout samples for the spread; default: 20"
    )
    parser.add_argument("--level", type=float, default=0.9, help="of the interval; default: 0.9")
    parser.add_argument(
        "--window",
        type=float,
        default=0.0,
        help="usual seconds of a window; default: those of the training clips",
    )
    parser.add_argument("--max-minutes", type=float, default=120.0, help="longest video; default: 120")
    parser.add_argument(
        "--fast", action="store_true", help="without a run: the smaller ready model, without the voice"
    )
    parser.add_argument(
        "--int8", action="store_true", help="8-bit encoders: faster on a processor, scores change a little"
    )
    parser.add_argument(
        "--exact-seconds", action="store_true",
        help="mute the audio itself instead of the encoder's output: exact for the voice, twice the time",
    )  # fmt: skip
    return parser.parse_args(argv)


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """The run folders among the paths, each named once; none means the ready model.

    Raises:
        UserError: the first is neither run nor video, or one is named twice, which would look like two runs
            that agree.
    """
    runs = [path for path in paths if is_run(path)]
    if not runs and not holds_videos(paths[0]):
        check_is_run(paths[0])
    for run in runs:
        if [one.resolve() for one in runs].count(run.resolve()) > 1:
            raise UserError(f"{run} is named twice; name each run once")
    return runs


def prepare_ready(runs: Sequence[Path], fast: bool) -> None:
    """Ask whether to fetch what a ready model lacks; runs need nothing."""
    from mosi_e2e.ready.bases import offer_bases
    from mosi_e2e.ready.folder import find_ready, is_ready, read_ready

    for folder in filter(is_ready, runs or [find_ready(fast)]):
        offer_bases(read_ready(folder))


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse what cannot be meant, before anything is loaded."""
    if not 0 < args.level < 1:
        raise UserError(f"--level must lie between 0 and 1, but is {args.level}; type --level 0.9")
    if args.draws != 0 and args.draws < FEWEST_DRAWS:
        raise UserError(
            f"--draws {args.draws} is too few for a spread; type --draws {FEWEST_DRAWS} or more, or 0 for "
            "none"
        )
    if not (0 <= args.window < math.inf and 0 < args.max_minutes < math.inf):
        raise UserError("--window must be 0 or more, --max-minutes above 0; see --help")
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out} is a file; name a folder")


def check_subtitles(args: argparse.Namespace, streams: Sequence[str]) -> None:
    """Refuse subtitles of a model that hears no words."""
    if (args.srt or args.vtt) and "words" not in streams:
        raise UserError(
            "--srt and --vtt write the words, and this model reads none; give one that does (docs/words.md)"
        )


def explain(error: Exception, video: Path) -> str:
    """What is said of a video that failed; where it was not foreseen, with the place in the code."""
    if isinstance(error, UserError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).name}:{last.lineno}"
    return f"{video}: {type(error).__name__}: {error} ({place}); this was not foreseen: please report it"


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[float, str], None]]:
    """A bar over the share of one video that is done."""
    layout = "{desc}: {percentage:3.0f}%|{bar}| {postfix}"
    with tqdm(total=100, desc=name, bar_format=layout, mininterval=0.5) as bar:

        def report(share: float, what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update(100 * share - bar.n)

        yield report


def write_results(result, video: Path, folder: Path, stem: str, args: argparse.Namespace) -> None:
    """All files of one video.

    Raises:
        UserError: some cannot be written; what can is written nevertheless.
    """
    from mosi_e2e.predict.classes import ClassResult, write_class_csv, write_class_json
    from mosi_e2e.predict.figure import write_figure
    from mosi_e2e.predict.files import write_csv, write_json
    from mosi_e2e.predict.page import write_result_page
    from mosi_e2e.predict.subtitles import write_srt, write_vtt

    writers = {".json": write_json, ".csv": write_csv, ".png": write_figure, ".html": write_result_page}
    if isinstance(result, ClassResult):
        writers = {".json": write_class_json, ".csv": write_class_csv}
    writers |= {".srt": write_srt} if args.srt else {}
    writers |= {".vtt": write_vtt} if args.vtt else {}
    if args.overlay:
        from mosi_e2e.predict.overlay import write_overlay

        writers[OVERLAY_ENDING] = lambda result, path: write_overlay(result, video, path)
    failed: dict[str, list[str]] = {}
    for ending, write in writers.items():
        path = folder / f"{stem}{ending}"
        try:
            write(result, path)
        except OSError as error:
            failed.setdefault(error.strerror or type(error).__name__, []).append(path.name)
    if failed:
        what = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in failed.items())
        raise UserError(
            f"{folder} does not take all results of {video.name} ({what}); make room or choose another "
            "folder with --out"
        )


if __name__ == "__main__":
    sys.exit(main())
