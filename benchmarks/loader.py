"""What loading one training clip costs on one core: 21 crops of 224 px (4 s at 5 a second) and 4 s of sound.

    python benchmarks/loader.py

Each part is forced to happen, as in the clips that it is drawn for; "as configured" is the mean over the
draws of the default configuration. Medians of processor time, so that what else the machine does matters
little.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage import data

from mosi_e2e.config import AugmentConfig
from mosi_e2e.data.augment import Augmenter, augment_waveform, change_speed
from mosi_e2e.data.batch import collate
from mosi_e2e.data.dataset import decode_crops
from preprocessing.cache.checksums import sum_arrays
from preprocessing.cache.store import Arrays, StageFiles
from preprocessing.config import SAMPLE_RATE, FacesConfig
from preprocessing.errors import command

CROPS, SIDE, SECONDS, COLUMNS = 21, 224, 4, 62
CLIPS = 16  # of a batch


def make_crops() -> tuple[np.ndarray, np.ndarray]:
    """JPEG bytes and offsets of a face that moves a little, compressed as preprocessing does."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, FacesConfig().quality]
    picture = data.astronaut()[..., ::-1]  # RGB -> BGR
    jpegs = []
    for number in range(CROPS):
        face = picture[20 + number % 5 : 220 + number % 5, 130 + number : 330 + number]
        jpegs.append(cv2.imencode(".jpg", cv2.resize(face, (SIDE, SIDE)), quality)[1])
    return np.concatenate(jpegs), np.cumsum([0, *map(len, jpegs)])


def time_ms(run: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of processor time of `run`, after one call to warm up."""
    run()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return 1000 * statistics.median(taken)


def mean_ms(augmenter: Augmenter, streams: dict, draws: int) -> float:
    """Mean milliseconds over draws, of medians of three calls each."""
    return statistics.mean(time_ms(lambda n=n: augmenter(streams, (0, 0, n)), 3) for n in range(draws))


def time_reading(stages: dict[str, Arrays], repeats: int) -> dict[str, float]:
    """Milliseconds to read a clip from its files, and what the checksums are of that."""
    with tempfile.TemporaryDirectory() as folder:
        files = {stage: StageFiles(Path(folder), stage, "0") for stage in stages}
        for stage, arrays in stages.items():
            files[stage].write("a_1", arrays, {"state": "ok"})
        read = time_ms(lambda: [one.read("a_1") for one in files.values()], repeats)
    sums = time_ms(lambda: [sum_arrays(arrays) for arrays in stages.values()], repeats)
    return {"read, checked": read, "of which checksums": sums}


def measure(repeats: int) -> dict[str, float]:
    """Milliseconds per clip, by part."""
    config, rng = AugmentConfig(stream_dropout=0.0), np.random.default_rng(0)
    jpeg, offset = make_crops()
    valid = np.ones(CROPS, dtype=bool)
    crops = decode_crops(jpeg, offset, valid)
    sound = (0.1 * rng.standard_normal(SECONDS * SAMPLE_RATE)).astype(np.float32)
    tokens = rng.standard_normal((10 * SECONDS, COLUMNS)).astype(np.float32)
    streams = {
        "face": {"values": crops, "time": np.arange(CROPS, dtype=np.float32) / 5},
        "speech": {"values": sound, "time": np.zeros(1, np.float32)},
        "behaviour": {"values": tokens, "time": np.arange(len(tokens), dtype=np.float32) / 10},
    }
    augmenter = Augmenter(config, {"behaviour": np.ones(COLUMNS, np.float32)})
    example = {"index": 0, "clip_id": "a_1", "label": 0.0, "weight": 1.0, "streams": streams}
    found = time_reading(
        {
            "faces": {"face_jpeg": jpeg, "face_offset": offset},
            "waveform": {"waveform": sound.astype(np.int16)},
        },
        repeats,
    )
    found |= {"decode": time_ms(lambda: decode_crops(jpeg, offset, valid), repeats)}
    for transform in augmenter.pictures.transforms:
        name = f"crops: {type(transform).__name__}"
        found[name] = time_ms(lambda t=transform: t(images=crops, force_apply=True), repeats)
    found["sound: speed"] = time_ms(lambda: change_speed(torch.from_numpy(sound), 1.05), repeats)
    found["sound: gain and noise"] = time_ms(
        lambda: augment_waveform(sound, 1.0, AugmentConfig(noise=1.0), np.random.default_rng(0)), repeats
    )
    for name in streams:
        alone = {name: streams[name]}
        found[f"{name}, as configured"] = mean_ms(augmenter, alone, repeats)
    found["augment, as configured"] = mean_ms(augmenter, streams, repeats)
    found[f"collate, in a batch of {CLIPS}"] = time_ms(lambda: collate([example] * CLIPS), 5) / CLIPS
    found["decode + augment"] = found["decode"] + found["augment, as configured"]
    return found


@command
def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/loader.py",
        description="Time the loading of one training clip on one core.",
        epilog="example: python benchmarks/loader.py --repeats 100",
    )
    parser.add_argument("--repeats", type=int, default=50, help="calls of each part")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for name, value in measure(args.repeats).items():
        print(f"{name:32}{value:8.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
