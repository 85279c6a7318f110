"""What preprocessing costs: end to end, part by part, and in memory.

    python benchmarks/preprocess.py --clips FOLDER            # speed, on real clips of yours
    python benchmarks/preprocess.py --memory 1 10             # peak memory of a worker, on clips made here

Processor time tells what the work costs whatever else the machine does; wall time, and with it "times real
time", means something on an idle machine only.
"""

import argparse
import csv
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from fractions import Fraction
from io import StringIO
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data

from preprocessing.config import PreprocessConfig
from preprocessing.errors import UserError, command
from preprocessing.faces.landmarks import cut_crop, load_landmarker
from preprocessing.media.container import open_media
from preprocessing.media.decode import MediaError, video_stream
from preprocessing.media.file import Media
from preprocessing.media.frames import pick_frames
from preprocessing.run.clip_job import ClipJob, process_clip
from preprocessing.run.pipeline import preprocess
from preprocessing.sets.labels import ClipEntry
from preprocessing.sets.media_files import MEDIA_EXTENSIONS, walk_files
from preprocessing.settings import load_config
from preprocessing.stages import name_stages
from preprocessing.stages.acoustics import extract_acoustics
from preprocessing.stages.recipes import make_recipes

STAGES = name_stages()


WIDTH, HEIGHT, FPS = 1280, 720, 25
LOOP_S = 10.24  # whole frames of sound and picture; encoded once, then repeated without encoding
MIB = 1 << 20


class Clock:
    """Processor seconds by name."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - started


def list_clips(folder: Path) -> list[Path]:
    """Media files below a folder."""
    paths = [path for path in walk_files(folder) if path.suffix.lower() in MEDIA_EXTENSIONS]
    if not paths:
        raise UserError(f"{folder} holds no clips; type --clips FOLDER with clips of talking people")
    return paths


def measure_parts(paths: list[Path], config: PreprocessConfig) -> dict[str, float]:
    """Processor milliseconds per second of clip, by part of the work, in this process."""
    cv2.setNumThreads(1)
    landmarker, clock, seconds = load_landmarker(config.track), Clock(), 0.0
    landmarker(np.zeros((64, 64, 3), np.uint8), None)
    extract_acoustics(np.ones(16_000, np.int16), config.acoustics)
    for path in paths:
        with clock.measure("header and time stamps"):
            media = Media(path, config.decode)
            reader = media.frames
        seconds += media.info.duration_s
        index = pick_frames(reader.time, config.track.rate)
        cropped = set(index[pick_frames(reader.time[index], config.faces.rate)].tolist())
        frames = reader.frames(index)
        while True:
            with clock.measure("frames: decode, convert"):
                position, frame = next(frames, (None, None))
            if frame is None:
                break
            with clock.measure("faces: MediaPipe"):
                faces = landmarker(frame, None)
            with clock.measure("crops: warp, JPEG"):
                for face in faces if position in cropped else ():
                    cut_crop(frame, face.points, config.faces)
        with clock.measure("sound: decode, resample"):
            waveform = media.sound.waveform
        with clock.measure("acoustics: openSMILE"):
            extract_acoustics(waveform, config.acoustics)
    return {name: 1000 * value / seconds for name, value in clock.seconds.items()}


def measure_decoding(paths: list[Path], config: PreprocessConfig) -> float:
    """Times real time per core of a bare decoder that converts nothing: what this machine is like now."""
    seconds, started = 0.0, time.process_time()
    for path in paths:
        info = Media(path, config.decode).info
        if not info.has_video:
            continue
        seconds += info.video_duration_s
        with open_media(path) as file:
            stream = video_stream(file)
            stream.thread_type = "NONE"
            for _ in file.decode(stream):
                pass
    return seconds / (time.process_time() - started)


def measure_run(paths: list[Path], repeats: int, workers: int, settings: list[str]) -> dict[str, float]:
    """One run of the program on every clip, `repeats` times over: seconds of clips, wall and processor."""
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "labels.csv"
        with labels.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(("path", "video_id", "clip_id", "label", "split"))
            for number in range(repeats):
                for clip, path in enumerate(paths):
                    table.writerow((path.resolve(), f"v{number}", f"v{number}_{clip}", 0, "train"))
        config = load_config(
            PreprocessConfig,
            None,
            [*settings, f"labels={labels}", f"out={folder}/cache", f"workers={workers}"],
        )
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        with redirect_stdout(StringIO()):
            summary, _ = preprocess(config)
        wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"clip_s": 60 * summary["minutes"], "wall_s": wall_s, "cpu_s": cpu_s}


def measure_speed(paths: list[Path], repeats: int, settings: list[str]) -> dict:
    """Parts, and whole runs with one and two processes on half of the clips and on all."""
    config = load_config(PreprocessConfig, None, settings)
    found = {"decoding": measure_decoding(paths, config), "parts": measure_parts(paths, config), "runs": []}
    for workers in (1, 2):
        for share in (repeats, 2 * repeats):
            run = measure_run(paths, share, workers, settings)
            found["runs"].append({"workers": workers} | run)
    return found


def print_speed(found: dict) -> None:
    total = sum(found["parts"].values())
    print("one process, processor time per second of clip:")
    for name, value in sorted(found["parts"].items(), key=lambda item: -item[1]):
        print(f"  {name:28}{value:8.1f} ms{100 * value / total:6.0f} %")
    print(f"  {'all':28}{total:8.1f} ms       {1000 / total:.1f} times real time per core")
    print(f"  for comparison, decoding every frame alone: {found['decoding']:.1f} times real time per core")
    print("\nwhole runs, start of the processes included:")
    print("  processes  clips s   wall s  times real time  processor s per clip s")
    for run in found["runs"]:
        speed, cost = run["clip_s"] / run["wall_s"], run["cpu_s"] / run["clip_s"]
        print(f"  {run['workers']:9}{run['clip_s']:9.0f}{run['wall_s']:9.1f}{speed:17.1f}{cost:24.3f}")
    for half, whole in zip(found["runs"][::2], found["runs"][1::2], strict=True):
        more_s, longer_s = whole["clip_s"] - half["clip_s"], whole["wall_s"] - half["wall_s"]
        twice = whole["cpu_s"] / half["cpu_s"]
        print(
            f"  {half['workers']} process(es): twice the clips cost {twice:.2f} times the processor time; "
            f"each further second of clip {1000 * longer_s / more_s:.0f} ms"
        )


def write_loop(path: Path) -> Path:
    """`LOOP_S` seconds of 720p: a portrait that drifts over noise, and a tone."""
    portrait = cv2.resize(data.astronaut()[:300, 75:375], (600, 600))
    canvas = np.random.default_rng(0).integers(60, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "50"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = file.add_stream("aac", rate=44_100, layout="stereo")
        for number in range(round(LOOP_S * FPS)):
            picture = canvas.copy()
            left = 100 + 2 * abs(number % 100 - 50)
            picture[60:660, left : left + 600] = portrait
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(video.encode())
        tone = 0.2 * np.sin(np.arange(round(LOOP_S * 44_100)) * 2 * np.pi * 150 / 44_100).astype(np.float32)
        for start in range(0, len(tone), 1024):
            piece = np.ascontiguousarray(np.tile(tone[start : start + 1024], (2, 1)))
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, start, Fraction(1, 44_100)
            file.mux(audio.encode(frame))
        file.mux(audio.encode())
    return path


def repeat_clip(source: Path, target: Path, times: int) -> Path:
    """The same packets over and over, without encoding."""
    with av.open(str(target), "w") as out:
        streams: dict[int, object] = {}
        for number in range(times):
            with av.open(str(source)) as file:
                streams = streams or {one.index: out.add_stream_from_template(one) for one in file.streams}
                for packet in shift_packets(file, number):
                    packet.stream = streams[packet.stream.index]
                    out.mux(packet)
    return target


def shift_packets(file, number: int) -> Iterator[av.Packet]:
    """The packets of one loop, `number` loops later; without the encoder's first and last."""
    for packet in file.demux():
        length = round(LOOP_S / packet.time_base)
        if packet.dts is not None and 0 <= packet.dts < length:
            packet.pts, packet.dts = packet.pts + number * length, packet.dts + number * length
            yield packet


def measure_worker(path: Path, out: str, settings: list[str], answer) -> None:
    """All stages of one clip in this (new) process; answers with peak memory and time."""
    config = replace(load_config(PreprocessConfig, None, settings), out=out)
    job = ClipJob(
        ClipEntry("v_1", "v", "test", None, path, ""), frozenset(STAGES), config, make_recipes(config)
    )
    started = time.process_time()
    outcome = process_clip(job)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    answer.put((peak, time.process_time() - started, [failure.error for failure in outcome.failures]))


def measure_memory(minutes: list[float], settings: list[str]) -> list[dict[str, float]]:
    """Peak resident memory of a worker per length of clip."""
    context, found = multiprocessing.get_context("spawn"), []
    with tempfile.TemporaryDirectory() as folder:
        loop = write_loop(Path(folder) / "loop.mp4")
        for length in minutes:
            clip = repeat_clip(loop, Path(folder) / "clip.mp4", max(round(60 * length / LOOP_S), 1))
            answer = context.SimpleQueue()
            worker = context.Process(target=measure_worker, args=(clip, folder, settings, answer))
            worker.start()
            worker.join()
            if worker.exitcode:
                raise UserError(
                    f"the worker died with status {worker.exitcode} on a clip of {length} minutes"
                )
            peak, cpu_s, errors = answer.get()
            if errors:
                raise UserError(f"the clip of {length} minutes was refused: {errors[0]}")
            found.append({"minutes": length, "peak_mib": peak / MIB, "cpu_s": cpu_s})
            print(
                f"{length:6.1f} minutes of 720p: peak {peak / MIB:6.0f} MiB, {cpu_s:6.1f} s of processor time"
            )
    return found


@command
def main(argv: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/preprocess.py",
        description="Measure preprocessing: speed on real clips, or memory of a worker on long ones.",
        epilog="example: python benchmarks/preprocess.py --clips my_clips --repeats 4",
    )
    parser.add_argument("--clips", type=Path, help="folder of real clips")
    parser.add_argument("--repeats", type=int, default=2, help="how often half of a run goes through them")
    parser.add_argument("--memory", type=float, nargs="+", metavar="MINUTES", help="lengths to measure")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of preprocessing")
    args = parser.parse_intermixed_args(argv)
    if args.memory:
        found = measure_memory(args.memory, args.overrides)
    else:
        if args.clips is None or not args.clips.is_dir():
            found = "no clips are named" if args.clips is None else f"{args.clips} is no folder"
            raise UserError(f"{found}; type --clips FOLDER with clips of talking people")
        try:
            found = measure_speed(list_clips(args.clips), args.repeats, args.overrides)
        except MediaError as error:
            raise UserError(f"a clip cannot be read: {error}; take it out of {args.clips}") from error
        print_speed(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
