"""Damaged media files: pictures and sound that can be used, or one reason why not."""

from pathlib import Path

import av
import numpy as np
import pytest
from kit.fuzzing import damage, seeded
from kit.made_clips import draw_number, make_chirps, write_clip

from preprocessing.config import DecodeConfig
from preprocessing.media.decode import MediaError
from preprocessing.media.file import Media

KINDS = {"mp4": ("libx264", "aac"), "mkv": ("mpeg4", "pcm_s16le"), "avi": ("mpeg2video", "mp2")}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, bytes]:
    """Eight small pictures and a third of a second of sound, by container."""
    folder, found = tmp_path_factory.mktemp("clips"), {}
    for kind, (codec, audio) in KINDS.items():
        pictures, sound = [draw_number(number)[::8, ::8] for number in range(8)], make_chirps(0.32, 16_000)
        options = {"codec": codec, "audio_codec": audio, "sample_rate": 16_000, "sound": sound}
        options |= {} if codec == "libx264" else {"options": {}}
        found[kind] = write_clip(folder / f"clip.{kind}", pictures, **options).read_bytes()
    return found


def read(path: Path) -> str:
    """What is said of a file that cannot be used."""
    try:
        media = Media(path, DecodeConfig())
        if media.info.has_video:
            time = media.frames.time
            shapes = {picture.shape for _, picture in media.frames.frames(np.arange(min(len(time), 20)))}
            assert np.isfinite(time).all() and len(shapes) <= 1
        if media.info.has_audio:
            assert np.isfinite(media.sound.waveform).all()
    except MediaError as error:
        return str(error)
    return ""


@seeded(100)
def test_a_damaged_file_is_read_or_refused(clips, tmp_path, draw):
    kind = draw.choice(sorted(KINDS))
    path = tmp_path / f"clip.{kind}"
    path.write_bytes(damage(clips[kind], draw))
    av.logging.set_level(av.logging.PANIC)
    assert "\n" not in read(path)


def test_the_undamaged_files_are_read(clips, tmp_path):
    for kind, content in clips.items():
        (tmp_path / f"clip.{kind}").write_bytes(content)
        assert read(tmp_path / f"clip.{kind}") == ""
