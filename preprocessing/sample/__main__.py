"""`python -m preprocessing.sample`: makes the sample set."""

import argparse
import multiprocessing
import os
import shlex
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from preprocessing.arguments import Parser
from preprocessing.errors import UserError, command, make_folder
from preprocessing.sample import layouts
from preprocessing.sample.plan import CUES, ClipPlan, SampleOptions, plan_set

EXAMPLE = """example:
  python -m preprocessing.sample --out data/sample
  python -m preprocessing.sample --out data/tiny --layout mmsa --clips 6 --videos 3
  python -m preprocessing.sample --out data/timing --cue timing --clips 480 --videos 24
"""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m preprocessing.sample",
        description="Make a small synthetic set shaped like CMU-MOSI: talking portraits with labels.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = SampleOptions()
    parser.add_argument("--out", type=Path, required=True, help="new folder for the set")
    parser.add_argument("--layout", choices=layouts.LAYOUTS, default=default.layout, help="default: course")
    parser.add_argument("--zip", action="store_true", help=f"pack clips and labels into {layouts.ARCHIVE}")
    parser.add_argument("--clips", type=int, default=default.clips, help=f"default: {default.clips}")
    parser.add_argument("--videos", type=int, default=default.videos, help=f"default: {default.videos}")
    parser.add_argument("--seed", type=int, default=default.seed, help=f"default: {default.seed}")
    parser.add_argument(
        "--cue",
        choices=CUES,
        default=default.cue,
        help="what carries the label: the mood of face and voice (default), or when their events coincide",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes; default: one a core")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    """Makes the set, or says that it is there already."""
    arguments = parse_arguments(argv)
    options = SampleOptions(
        arguments.layout, arguments.zip, arguments.clips, arguments.videos, arguments.seed, arguments.cue
    )
    if arguments.seed < 0 or arguments.workers < 1:
        raise UserError("--seed is at least 0 and --workers at least 1: type --seed 0 --workers 1")
    out = arguments.out.absolute()
    if is_made(options, out):
        print(f"{arguments.out} holds this synthetic set (seed {options.seed}) already: nothing to do")
        return 0
    make_set(options, out, arguments.workers)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{arguments.out}: {options.clips} synthetic clips, {options.videos} videos, {size / 1e6:.1f} MB")
    return 0


def is_made(options: SampleOptions, out: Path) -> bool:
    """Whether `out` holds the complete set already.

    Raises:
        UserError: `out` holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    found = layouts.read_manifest(out) if out.is_dir() else None
    if found == layouts.manifest(options):
        return True
    other = f"type --out {shlex.quote(str(out.with_name(out.name + '-2')))}"
    if found is None:
        raise UserError(f"--out must be a new or empty folder; {out} is there and is no sample set: {other}")
    raise UserError(
        f"--out must be a new or empty folder; {out} holds a sample set of other options "
        f"({found.get('options')}, version {found.get('version')}): {other}, or delete it first"
    )


def make_set(options: SampleOptions, out: Path, workers: int) -> None:
    """Renders all clips into a folder beside `out` and renames it when everything is there."""
    clips = plan_set(options)
    make_folder(out.parent)
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was stopped
    paths = [unfinished / layouts.media_path(clip, options.layout) for clip in clips]
    for folder in {path.parent for path in paths}:
        make_folder(folder)
    render_all(clips, paths, workers)
    layouts.write_labels(clips, options.layout, unfinished)
    layouts.write_readme(options, unfinished)
    if options.zip:
        layouts.pack(unfinished)
    layouts.write_manifest(options, unfinished)
    if out.exists():
        out.rmdir()  # empty, and not every system renames onto it
    unfinished.rename(out)


def render_all(clips: list[ClipPlan], paths: list[Path], workers: int) -> None:
    """Renders clip after clip, with `workers` processes if that is more than one."""
    from preprocessing.sample.render import render_clip

    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=len(clips), desc="sample clips (synthetic)", unit="clip"))
        if workers == 1:
            done = map(render_clip, clips, paths)
        else:
            # spawned, not forked: a fork of a process whose libraries hold threads can hang
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(min(workers, len(clips)), mp_context=context))
            done = pool.map(render_clip, clips, paths, chunksize=2)
        for _ in done:
            bar.update()


if __name__ == "__main__":
    sys.exit(main())
