"""One clip as its stages see it: what several of them need is worked out once."""

from functools import cached_property
from pathlib import Path

from preprocessing.config import SAMPLE_RATE, PreprocessConfig
from preprocessing.media.decode import MediaInfo, check_duration, join_remarks
from preprocessing.media.file import Media
from preprocessing.media.frames import FrameReader
from preprocessing.media.sound import Sound
from preprocessing.stages.base import StageResult
from preprocessing.stages.look import Person, find_person


class Clip:
    """A clip of the data set, opened.

    Args:
        path: its file.
        config: of the cache.
        clip_id: under which a folder of OpenFace CSVs may have it; by default the name of the file.

    Attributes:
        media: its file, opened once.

    Raises:
        MediaError: the file cannot be used, or is longer than `decode.max_minutes`.
    """

    def __init__(self, path: Path, config: PreprocessConfig, clip_id: str = ""):
        self.path, self.config, self.clip_id = path, config, clip_id or path.stem
        self.media = Media(path, config.decode)

    @property
    def info(self) -> MediaInfo:
        """What its container promises."""
        return self.media.info

    @property
    def duration_s(self) -> float:
        """Its length, as it is stored."""
        return round(self.info.duration_s, 3)

    @property
    def frames(self) -> FrameReader:
        """Its frames, with their times."""
        return self.media.frames

    @property
    def sound(self) -> Sound:
        """Its sound, as far as it decodes."""
        return self.media.sound

    @cached_property
    def sound_facts(self) -> dict[str, object]:
        """What is stored beside whatever is made of the sound.

        Raises:
            MediaError: more of the sound is missing than `decode.max_missing` allows.
        """
        promised_s, limit = self.info.audio_duration_s, self.config.decode.max_missing
        missing = check_duration("sound", promised_s, self.sound.decoded_s, limit)
        return {
            "duration_s": self.duration_s,
            "audio_s": round(len(self.sound.waveform) / SAMPLE_RATE, 3),
            "remark": join_remarks(missing, self.sound.remark, self.info.remark),
        }

    @cached_property
    def person(self) -> Person:
        """The person whose clip it is, followed through the sampled frames by MediaPipe.

        Raises:
            MediaError: no frame decodes, or more of the picture is missing than `decode.max_missing` allows.
        """
        self.check_picture()
        return find_person(self.media, self.config)

    @cached_property
    def openface(self) -> dict[str, StageResult]:
        """`behaviour`, and with `faces.source=openface` `faces`, from one run of OpenFace or from its CSV.

        Raises:
            MediaError: as of `person`.
            OpenFaceError: the program failed, or its table is not that of this clip.
        """
        from preprocessing.stages.openface import run_openface_stages

        self.check_picture()
        return run_openface_stages(self)

    def check_picture(self) -> None:
        """Refuse a clip that lacks too much of its picture before anything looks at it."""
        promised_s, limit = self.info.video_duration_s, self.config.decode.max_missing
        check_duration("picture", promised_s, self.frames.span_s, limit)
