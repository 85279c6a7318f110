"""One planned clip as an mp4 file: h264 480 x 360 at 25 frames a second, AAC 44.1 kHz stereo."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np

from preprocessing.media.container import name_file
from preprocessing.sample.face import FacePose, FaceRig
from preprocessing.sample.performance import perform
from preprocessing.sample.plan import FPS, ClipPlan, Filming
from preprocessing.sample.scene import HEIGHT, WIDTH, build_rig
from preprocessing.sample.voice import SAMPLE_RATE, synthesise

# One encoder thread: with more, x264's bytes depend on the machine's load.
VIDEO_OPTIONS = {"preset": "veryfast", "crf": "24", "g": "50", "threads": "1"}
AAC_FRAME = 1024


def render_clip(plan: ClipPlan, path: Path) -> None:
    """Writes one clip; the same plan gives the same bytes on the same machine."""
    cv2.setNumThreads(1)  # the set is rendered by one process a core
    performance = perform(plan)
    rig = _rig(plan.look)
    pictures = (rig.render(FacePose(*pose)) for pose in zip(*performance.face, strict=True))
    n_samples = plan.n_frames * SAMPLE_RATE // FPS
    sound = synthesise(performance.voice, plan.speaker, n_samples, np.random.default_rng((*plan.entropy, 1)))
    write_mp4(path, pictures, sound)


def write_mp4(path: Path, pictures: Iterable[np.ndarray], sound: np.ndarray) -> None:
    """Encodes pictures ([360, 480, 3] BGR each) and mono sound ([samples] float32) into one file."""
    # faststart: the index first, as downloads have it; bitexact: no version, no date
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(name_file(path), "w", format="mp4", options=options) as file:
        video = file.add_stream("libx264", rate=FPS, options=VIDEO_OPTIONS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = file.add_stream(
            "aac", rate=SAMPLE_RATE, layout="stereo", bit_rate=96_000, options={"aac_coder": "fast"}
        )
        for picture in pictures:
            planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
            file.mux(video.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        file.mux(video.encode())
        for start in range(0, sound.size, AAC_FRAME):
            block = np.repeat(sound[None, start : start + AAC_FRAME], 2, axis=0)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            file.mux(audio.encode(frame))
        file.mux(audio.encode())


@lru_cache(maxsize=2)
def _rig(look: Filming) -> FaceRig:
    """Clips of one video are rendered one after another and share their rig."""
    return build_rig(look)
