"""Models that are opened in the page's scoring process: they do what a clip's name says."""

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mosi_e2e.predict.pictures import PersonPictures
from mosi_e2e.predict.result import Interval, PersonResult, Spread, VideoResult, Window
from preprocessing.errors import UserError
from preprocessing.media.decode import probe

CONTRIBUTION = {"face": -1.1, "speech": 0.44, "behaviour": 0.0}
WORDS = [
    {"word": "<good>", "start_s": 0.1, "end_s": 0.5, "confidence": 0.9, "effect": 0.4},
    {"word": "bad", "start_s": 0.6, "end_s": 0.9, "confidence": 0.8, "effect": -2.0},
]
WINDOWS = ((0.0, 2.0, -0.4), (2.0, 3.0, 1.5), (3.0, 4.0, 0.2), (6.0, 8.0, 5.0))


class ObedientModel:
    """Scores nothing: it hangs, dies, fails or answers as the clip's name tells it."""

    facts = SimpleNamespace(synthetic=True)

    def predict(self, video: Path, on_progress) -> VideoResult:
        duration = probe(video).duration_s
        on_progress(0.5, "reading the frames")
        if video.stem == "hang":
            time.sleep(600)
        if video.stem == "slow":
            time.sleep(0.8)
        if video.stem == "die":
            os._exit(3)
        if video.stem == "fail":
            raise ZeroDivisionError("nobody foresaw this")
        if video.stem == "unfit":
            raise UserError(f"{video} cannot be scored: it is unfit")
        return make_result(duration_s=duration, remarks=[f"process {os.getpid()}"])


def open_obedient(_: Path) -> ObedientModel:
    return ObedientModel()


def make_result(duration_s: float = 8.0, remarks: list[str] | None = None) -> VideoResult:
    """A result with a stream that is missing, a gap and two people."""
    seconds = [{"start_s": 0.0, "end_s": 1.0, "effect": -0.2}, {"start_s": 1.0, "end_s": 2.0, "effect": 0.1}]
    timeline = [
        Window(
            start,
            end,
            score,
            score - 0.3,
            score + 0.3,
            {},
            CONTRIBUTION,
            [],
            *((seconds, WORDS) if start == 0 else ([], [])),
        )
        for start, end, score in WINDOWS
    ]
    first = PersonResult(
        number=1,
        score=-1.26,
        label_class="negative",
        probability=0.17,
        interval=Interval(-1.9, -0.6, 0.9, "by the errors on 20 videos", "test", 20),
        by_stream={},
        alone={"face": -0.2, "speech": 1.0},
        contribution=CONTRIBUTION,
        timeline=timeline,
        deciding=seconds[0],
        streams_missing=["behaviour"],
        face_ratio=0.9,
        voice_ratio=1.0,
        portrait=PersonPictures(),
        name="person 1 (left)",
        spread=Spread(-1.3, -1.2, 0.9, "30 dropout samples", 0.0),
        leading_stream="face",
    )
    nothing = {"score": None, "label_class": None, "interval": None, "spread": None, "timeline": []}
    why = "no score: nothing that the model reads was found"
    second = replace(first, number=2, name="person 2 (right)", deciding=None, why_none=why, **nothing)
    model = {"name": "x", "kind": "made", "task": "regression", "synthetic": True, "test_mae": 0.854}
    sound = np.zeros(0, np.int16)
    return VideoResult("video.mp4", duration_s, [first, second], -0.2, remarks or [], model, sound)
