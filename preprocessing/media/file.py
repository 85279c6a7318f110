"""One clip's file, opened once: header, frames and sound are read when they are first asked for."""

from functools import cached_property
from pathlib import Path

from preprocessing.config import DecodeConfig
from preprocessing.media.decode import MediaError, probe
from preprocessing.media.frames import FrameReader
from preprocessing.media.sound import Sound, read_sound


class Media:
    """What all stages of a clip share, so that none reads again what another one has read.

    Attributes:
        info: what the container promises.

    Raises:
        MediaError: the file cannot be used, or is longer than `max_minutes`.
    """

    def __init__(self, path: Path, config: DecodeConfig):
        self._config = config
        self.info = probe(path)
        minutes = self.info.duration_s / 60
        if minutes > config.max_minutes:
            raise MediaError(
                f"the clip lasts {minutes:.1f} minutes, the limit is decode.max_minutes="
                f"{config.max_minutes:g}: cut it into utterances, or raise the limit and add --retry-failed"
            )

    @cached_property
    def frames(self) -> FrameReader:
        """Its frames, read when they are asked for."""
        return FrameReader(self.info, self._config.reader)

    @cached_property
    def sound(self) -> Sound:
        """Its waveform, decoded at the first call."""
        return read_sound(self.info)
