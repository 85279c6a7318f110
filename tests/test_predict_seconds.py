"""The marked second, from the voice and from the face: what is really seen and heard in it is taken away."""

import functools
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from kit.launched import run as run_command
from kit.made_predictor import write_run
from kit.tiny_encoders import GROUP_NORM, LAYER_NORM, tiny_speech
from kit.tiny_models import TINY_CROSS

from mosi_e2e.data.batch import collate
from mosi_e2e.data.encoded import encode_rows
from mosi_e2e.models.crossmodal import CrossModalTransformer
from mosi_e2e.predict.muting import encode_silence
from mosi_e2e.predict.pictures import Album
from mosi_e2e.predict.reading import Reading
from mosi_e2e.predict.recording import Recording, Seen
from mosi_e2e.predict.scoring import Scorer, cut_seconds
from mosi_e2e.predict.windows import Stretch, WindowReader
from preprocessing.config import SAMPLE_RATE, PreprocessConfig

CLIP_S, CROP_RATE, SIZE = 4, 5, 32
WHOLE = Stretch(0, 0.0, CLIP_S, has_voice=True)


pytestmark = pytest.mark.usefixtures("one_thread")


def make_recording(rng: np.random.Generator, label: float) -> tuple[Recording, int]:
    """Noise, seen and heard; in one second the sound is a low or a high tone, the face dark or bright."""
    where = int(rng.integers(CLIP_S))
    time = np.arange(CLIP_S * SAMPLE_RATE) / SAMPLE_RATE
    sound = rng.normal(0, 0.05, len(time))
    tone = np.sin(2 * np.pi * (300 if label < 0 else 1200) * time)
    sound += 0.1 * abs(label) * tone * (np.floor(time) == where)
    crop_time = (np.arange(CLIP_S * CROP_RATE) + 0.5) / CROP_RATE
    light = 128 + 40 * label * (np.floor(crop_time) == where)
    crops = [np.clip(rng.normal(mean, 10, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8) for mean in light]
    faces = pack(crops, crop_time)
    people, waveform = [Seen({"faces": faces}, [])], np.round(32767 * np.clip(sound, -1, 1)).astype(np.int16)
    return Recording(Path("made"), CLIP_S, waveform, True, people, crop_time, None, Album(), [], []), where


def pack(crops: list[np.ndarray], time: np.ndarray) -> dict[str, np.ndarray]:
    """As the cache has them."""
    jpegs = [cv2.imencode(".jpg", crop)[1].tobytes() for crop in crops]
    return {
        "face_jpeg": np.frombuffer(b"".join(jpegs), np.uint8),
        "face_offset": np.cumsum([0, *map(len, jpegs)]),
        "face_time": time,
        "face_valid": np.ones(len(time), bool),
        "face_box": np.zeros((len(time), 4), np.float32),
    }


def read(recording: Recording, stream: str, label: float = 0.0) -> dict:
    return WindowReader(recording, PreprocessConfig()).read_example(WHOLE, [stream]) | {"label": label}


@functools.cache
def train(stream: str) -> Scorer:
    """A small model that has learned to find the second that matters; its speech encoder is random."""
    torch.manual_seed(0)
    speech = replace(TINY_CROSS.speech, freeze="frozen")
    model = CrossModalTransformer(replace(TINY_CROSS, streams=[stream], speech=speech), {})
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rng = np.random.default_rng(4)
    labels = rng.choice([-1, 1], 96) * rng.uniform(1.5, 2.5, 96)
    examples = [read(make_recording(rng, label)[0], stream, label) for label in labels]
    for step in range(80):
        start = 12 * step % len(examples)
        batch = collate(examples[start : start + 12])
        loss = (model(batch).score - batch["label"]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1.0  # against 2 of always 0
    return Scorer(model.eval(), "regression", [stream])


def ask(scorer: Scorer, recording: Recording, stream: str, exact: bool) -> Reading:
    edges, quiet = cut_seconds(CLIP_S), None if exact else scorer.hear_silence(recording.waveform)
    return scorer.read([scorer.encode(read(recording, stream), edges, quiet)], [edges], 0, 0)


@pytest.mark.parametrize(
    ("stream", "exact"),
    [
        ("face", False),
        pytest.param("speech", False, marks=pytest.mark.slow),
        pytest.param("speech", True, marks=pytest.mark.slow),
    ],
)
def test_the_second_that_carries_the_label_is_marked_and_decides(stream, exact):
    scorer, rng = train(stream), np.random.default_rng(5)
    marked, random, hits = [], [], 0
    for label in (*rng.uniform(1.5, 2.5, 6), *rng.uniform(-2.5, -1.5, 6)):
        recording, where = make_recording(rng, label)
        reading = ask(scorer, recording, stream, exact)
        without = [recording.without(start, start + 1) for start in range(CLIP_S)]
        change = reading.score[0] - [ask(scorer, one, stream, exact).score[0] for one in without]
        assert not exact or reading.effect[0] == pytest.approx(change, abs=1e-4)
        second = int(np.abs(reading.effect[0]).argmax())
        marked.append(abs(change[second]))
        random.append(np.abs(change).mean())  # what a second drawn at random brings on average
        hits += second == where
    assert np.mean(marked) > 2 * np.mean(random)
    assert hits >= 9


@pytest.mark.parametrize("kwargs", [GROUP_NORM, LAYER_NORM], ids=["group", "layer"])
def test_silence_is_encoded_as_a_pause_in_the_recordings_own_sound(kwargs):
    """Alone it is unlike any pause: encoders standardise what they get by all of it."""
    torch.manual_seed(0)
    encoder = tiny_speech(kwargs=kwargs, normalise=True).eval()
    sound = np.random.default_rng(8).normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
    sound[SAMPLE_RATE : 2 * SAMPLE_RATE] = 0
    with torch.inference_mode():
        pause, alone = (
            encode_rows(encoder, "speech", {"values": one, "time": np.zeros(1, np.float32)})["values"][60:90]
            for one in (sound, np.zeros_like(sound))
        )
        error = np.abs(encode_silence(encoder, sound) - pause.mean(axis=0)).mean()
    assert error < 0.5 * np.abs(alone.mean(axis=0) - pause.mean(axis=0)).mean()


@pytest.mark.slow
def test_the_benchmark_takes_every_second_of_a_label_files_clips_away(tmp_path, sample_cache):
    run = write_run(tmp_path / "run", sample_cache)
    words = [run, "--labels", sample_cache.parent / "raw", "--splits", "valid", "--exact-seconds"]
    printed = run_command(sys.executable, "benchmarks/deciding.py", *words)
    assert "more than each other second:     in 100 % of the clips" in printed
    marked, best = (
        next(line.split()[-1] for line in printed.splitlines() if line.startswith(f"the {which}"))
        for which in ("marked second  ", "best choice")
    )
    assert float(marked) == float(best) > 0
