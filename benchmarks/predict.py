"""What a prediction costs: start-up, each part per second of video, and peak memory.

    python benchmarks/predict.py --minutes 1 10    # a small ViT and wav2vec 2.0 base, untrained
    python benchmarks/predict.py --minutes 1 --int8
    python benchmarks/predict.py --minutes 1 --exact-seconds --overlay
    python benchmarks/predict.py --videos clips/*.mp4 --text-model FOLDER   # words, too
    python benchmarks/predict.py --videos clips/*.mp4 --run runs/words      # a run of yours

The made video holds no speech: a model that reads words needs files with some. Every length is a process of
its own. Processor time tells what the work costs whatever else the machine does; wall time, and with it "of
real time", means something on an idle machine only.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from preprocess import LOOP_S, repeat_clip, write_loop

from preprocessing.errors import UserError, command

if TYPE_CHECKING:
    from preprocessing.config import PreprocessConfig

MIB = 1 << 20


class Clock:
    """Processor and wall seconds by name; what is measured inside something else is taken off that."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._inside: list[list[float]] = []

    def watch(self, owner: object, name: str, label: str) -> None:
        """Measure every call of `owner.name`."""
        work = getattr(owner, name)

        def run(*args: object, **named: object) -> object:
            return self.measure(label, lambda: work(*args, **named))

        setattr(owner, name, run)

    def measure(self, label: str, work: Callable[[], object]) -> object:
        """Run `work` and add its own time."""
        self._inside.append([0.0, 0.0])
        started = time.process_time(), time.perf_counter()
        answer = work()
        taken = time.process_time() - started[0], time.perf_counter() - started[1]
        inside = self._inside.pop()
        own = self.seconds.setdefault(label, [0.0, 0.0])
        for kind in (0, 1):
            own[kind] += taken[kind] - inside[kind]
            if self._inside:
                self._inside[-1][kind] += taken[kind]
        return answer


def write_run(folder: Path, text_model: str = "") -> Path:
    """A run whose crossmodal model has the encoders of `configs/crossmodal.yaml`, untrained.

    Args:
        folder: of the run.
        text_model: a text encoder; it then reads words, too.
    """
    import torch

    from mosi_e2e.config import RunConfig
    from mosi_e2e.models import build_model
    from mosi_e2e.models.config import CrossModalConfig, FaceConfig, ModelConfig, SpeechConfig, TextConfig
    from mosi_e2e.runs.checkpoint import CacheFacts, save_model
    from preprocessing.config import PreprocessConfig, WordsConfig
    from preprocessing.stages import find_stage
    from preprocessing.stages.recipes import describe_stages

    torch.manual_seed(0)
    usual = CrossModalConfig()
    model = ModelConfig(
        crossmodal=replace(
            usual,
            streams=[*usual.streams, *(["words"] if text_model else [])],
            words=TextConfig(text_model or usual.words.model),
            face=FaceConfig("vit_small_patch16_224", pretrained=False),
            speech=SpeechConfig("wav2vec2", pretrained=False),
        )
    )
    settings = PreprocessConfig(words=WordsConfig("whisper" if text_model else "none"))
    columns = {"behaviour": find_stage("behaviour").columns(settings)}
    facts = CacheFacts(columns, [0.0], True, describe_stages(settings))
    save_model(folder / "best", build_model(model, columns), RunConfig(model=model), facts)
    return folder


def measure_videos(run: Path, videos: list[Path], args: argparse.Namespace, answer) -> None:
    """Open and predict in this new process."""
    started = time.perf_counter()
    from mosi_e2e.predict import leave_out
    from mosi_e2e.predict import predictor as module
    from mosi_e2e.predict.overlay import write_overlay
    from preprocessing.faces.landmarks import load_landmarker

    predictor = module.Predictor.open(run)
    if args.int8:
        predictor.use_int8()
    load_landmarker(predictor.config.track)
    options = module.PredictOptions(exact_seconds=args.exact_seconds)
    if "words" in predictor.streams:
        warm_up(predictor.choose_listener(options).config)
    start_up = time.process_time(), time.perf_counter() - started
    clock, scorer = Clock(), predictor.members[0].scorer
    clock.watch(module, "read_recording", "decode, faces, crops")
    clock.watch(module, "hear_whole", "hearing of words")
    clock.watch(leave_out, "leave_out_words", "words left out one by one")
    clock.watch(module, "choose_cuts", "windows")
    clock.watch(module.WindowReader, "read_example", "crops from JPEG")
    clock.watch(scorer, "read", "fusion: score, Shapley, dropout, seconds")
    for name, encoder in scorer.model.encoders.items():
        clock.watch(encoder, "forward", f"{name} encoder")
    seconds, windows = 0.0, 0
    for video in videos:
        result = clock.measure("the rest", partial(predictor.predict, video, options=options))
        seconds, windows = seconds + result.duration_s, windows + len(result.timeline)
        if args.overlay:
            with tempfile.TemporaryDirectory() as aside:
                target = Path(aside) / "overlay.mp4"
                clock.measure("overlay", partial(write_overlay, result, video, target))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    answer.put(
        {
            "start_up": start_up,
            "parts": clock.seconds,
            "video_s": seconds,
            "windows": windows,
            "peak_mib": peak / MIB,
        }
    )


def warm_up(config: "PreprocessConfig") -> None:
    """Load who hears the words, and encode the silence behind every piece, which is done once."""
    import numpy as np

    from preprocessing.hearing.models import load_recogniser
    from preprocessing.hearing.voice import find_speech

    load_recogniser(config.words).hear(np.zeros(16_000, np.float32))
    find_speech(np.zeros(16_000, np.int16))


def measure_made(run: Path, loop: Path, minutes: float, args: argparse.Namespace) -> dict:
    """One length of the made video."""
    with tempfile.TemporaryDirectory() as folder:
        video = repeat_clip(loop, Path(folder) / "video.mp4", max(round(60 * minutes / LOOP_S), 1))
        return measure(run, [video], args)


def measure(run: Path, videos: list[Path], args: argparse.Namespace) -> dict:
    """Some videos, one after the other, in a process of their own."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    worker = context.Process(target=measure_videos, args=(run, videos, args, answer))
    worker.start()
    worker.join()
    if worker.exitcode:
        raise UserError(f"the process that predicted ended with {worker.exitcode}; see above")
    return answer.get()


def show(found: dict) -> None:
    """One table."""
    seconds = found["video_s"]
    cpu, wall = found["start_up"]
    print(f"\n{seconds:.0f} s of video, {found['windows']} windows; peak memory {found['peak_mib']:.0f} MiB")
    print(f"start-up: {wall:.1f} s ({cpu:.1f} s of processor)")
    print(f"{'part':44}{'processor':>12}{'wall':>12}   seconds per second of video")
    total = [0.0, 0.0]
    for name, taken in sorted(found["parts"].items(), key=lambda pair: -pair[1][0]):
        print(f"{name:44}{taken[0] / seconds:12.3f}{taken[1] / seconds:12.3f}")
        total = [total[kind] + taken[kind] for kind in (0, 1)]
    print(f"{'all':44}{total[0] / seconds:12.3f}{total[1] / seconds:12.3f}", flush=True)


@command
def main(argv: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/predict.py",
        description="Measure a prediction: start-up, parts, memory.",
        epilog="example: python benchmarks/predict.py --minutes 1 10",
    )
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0], help="lengths to measure")
    parser.add_argument("--videos", type=Path, nargs="+", help="files of yours instead of the made video")
    parser.add_argument("--text-model", default="", help="the untrained model reads words, too, through this")
    parser.add_argument("--run", type=Path, help="a run of yours; default: untrained encoders of usual size")
    parser.add_argument("--int8", action="store_true", help="8-bit encoders")
    parser.add_argument("--exact-seconds", action="store_true", help="mute seconds before the speech encoder")
    parser.add_argument("--overlay", action="store_true", help="also write the video with its score")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args(argv)
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = args.run or write_run(folder / "run", args.text_model)
        if args.videos:
            found.append(measure(run, args.videos, args))
            show(found[-1])
        loop = None if args.videos else write_loop(folder / "loop.mp4")
        for minutes in [] if args.videos else args.minutes:
            found.append(measure_made(run, loop, minutes, args))
            show(found[-1])
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
