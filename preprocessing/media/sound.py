"""A clip's sound → one mono waveform at 16 kHz, each sample at its time.

It is read with PyAV: decord's audio reader leaves out a late start and ends at the first damaged packet.

How channels are mixed:

- two: their mean. Where they cancel each other out, as an inverted channel does, the louder one alone.
- more: the centre, where speech is, at its level; left and right at 0.5 as in stereo, the others 3 dB below
  that (their relation in ITU-R BS.775), the bass effects not at all. Without a centre, weights that sum to 1.
  Six or eight channels without names are those of 5.1 and 7.1, any other number counts equally.
"""

from dataclasses import dataclass, replace

import av
import numpy as np

from preprocessing.config import SAMPLE_RATE
from preprocessing.media.clock import HOLE_S
from preprocessing.media.container import open_media
from preprocessing.media.decode import MediaInfo, check_decoder, decodable_frames, join_remarks

ROUNDING = SAMPLE_RATE // 50  # samples, 20 ms: below is rounding of time stamps, above is missing sound
PADDING = SAMPLE_RATE // 10  # samples, 0.1 s, that an encoder may put behind the end of a part
PIECE_S = 0.5  # of sound whose channels are compared
EVERY = 4  # frames, of which one is looked at
CANCELLED = 0.1  # of the channels' energy is left in their mean: a correlation below -0.8
CANCELLED_SHARE = 0.2  # of all energy that lies in such pieces
LOUDER = 1.1  # times the energy of the left channel must the right one have to be preferred
SILENCE = 1e-7  # mean square; below is noise of the encoder (full scale is 1)
SPEECH_WEIGHT, SIDE_WEIGHT, REST_WEIGHT = 1.0, 0.5, 0.5 / np.sqrt(2)
UNNAMED = {6: "5.1", 8: "7.1"}  # number of channels → the layout that files have which name none
SIDES, MUTED = ("FL", "FR", "FLC", "FRC"), ("LFE", "LFE2")
CHANNELS = ("left", "right")


@dataclass(frozen=True)
class Sound:
    """A clip's sound.

    Attributes:
        waveform: [S] int16, mono, 16 kHz; sample n lies n / 16000 s from the clip's start.
        decoded_s: how much of it was decoded; the rest is silence put in for what is not there.
        remark: what is odd about it, or nothing.
    """

    waveform: np.ndarray
    decoded_s: float
    remark: str = ""


def read_sound(info: MediaInfo) -> Sound:
    """Decode the first audio stream as mono at 16 kHz.

    A stream that starts late is preceded by silence, so that sample n always lies n / 16000 s from the
    clip's start. Damaged packets are replaced by silence of their length.

    Returns:
        An empty waveform where the clip has no audio stream or no decodable sound.

    Raises:
        MediaError: there is no decoder for it.
    """
    if not info.has_audio:
        return Sound(np.zeros(0, np.int16), 0.0)
    tape = _record(info, None)
    sound, chosen = tape.finish(), tape.balance.choose_channel()
    if chosen is not None:
        remark = f"the channels of the sound cancel each other out: the {CHANNELS[chosen]} one alone is used"
        sound = replace(_record(info, chosen).finish(), remark=remark)
    hole_s = info.clock.hole_s
    hole = f"{hole_s:.2f} s in the middle of the sound are missing: silence stands there" if hole_s else ""
    return replace(sound, remark=join_remarks(sound.remark, hole))


def _record(info: MediaInfo, channel: int | None) -> "_Tape":
    tape = _Tape(info, channel)
    with open_media(info.path) as container:
        stream = container.streams.audio[0]
        check_decoder(stream, "sound")
        for frame in decodable_frames(info, container, stream):
            tape.add(frame)
    return tape


class _Tape:
    """Takes decoded sound and puts it in its place.

    Args:
        info: of the clip.
        channel: of two, the one that is used; None for their mean.
    """

    def __init__(self, info: MediaInfo, channel: int | None):
        self.balance = _Balance()
        self._start_s, self._last_s, self._channel = info.start_s, info.duration_s + HOLE_S, channel
        self._pieces: list[np.ndarray] = []
        self._written = self._decoded = 0
        self._form, self._resampler, self._names = None, None, []

    def add(self, frame: av.AudioFrame) -> None:
        """Take the next frame; where its form differs from the last one's, a new resampler begins."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        is_new = form != self._form
        if is_new:
            self._flush()
            self._form, self._names = form, list_names(frame)
            self._resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        if frame.time is not None and frame.time - self._start_s <= self._last_s:
            gap = round((frame.time - self._start_s) * SAMPLE_RATE) - self._written
            if gap > (0 if is_new else ROUNDING):
                self._pieces.append(np.zeros(gap, np.int16))
                self._written += gap
            elif is_new and -PADDING <= gap < 0 and self._pieces:
                self._pieces = [np.concatenate(self._pieces)[:gap]]
                self._written += gap
        frame.pts = None
        self._keep(self._resampler.resample(self._mix(frame)))

    def finish(self) -> Sound:
        """What was taken, as one waveform."""
        self._flush()
        waveform = np.concatenate(self._pieces) if self._decoded else np.zeros(0, np.int16)
        return Sound(waveform, self._decoded / SAMPLE_RATE)

    def _flush(self) -> None:
        if self._resampler is not None and self._decoded:
            self._keep(self._resampler.resample(None))

    def _keep(self, pieces: list[av.AudioFrame]) -> None:
        for piece in pieces:
            self._pieces.append(piece.to_ndarray().reshape(-1))
            self._written += piece.samples
            self._decoded += piece.samples

    def _mix(self, frame: av.AudioFrame) -> av.AudioFrame:
        if len(self._names) == 1:
            return frame
        if len(self._names) > 2:
            return _make_mono(frame, weigh_channels(self._names) @ read_channels(frame))
        if self._channel is not None:
            return _make_mono(frame, read_channels(frame)[self._channel])
        self.balance.look_at(frame)
        return frame


class _Balance:
    """How much two channels have in common, piece by piece."""

    def __init__(self):
        self._pieces: list[np.ndarray] = []  # [4] each: samples, energy of left and right, their product
        self._sums: list[tuple[float, ...]] = []
        self._frames = self._count = 0

    def look_at(self, frame: av.AudioFrame) -> None:
        """Take the next frame; only some are looked at, which tells as much and costs less."""
        self._frames += 1
        if self._frames % EVERY != 1:
            return
        left, right = read_channels(frame)
        self._sums.append((len(left), left @ left, right @ right, left @ right))
        self._count += EVERY * len(left)
        if self._count >= PIECE_S * frame.sample_rate:
            self._close()

    def choose_channel(self) -> int | None:
        """The louder channel where the two cancel each other out, else None."""
        self._close()
        samples, left, right, both = np.array(self._pieces).reshape(-1, 4).T
        energy = (left + right) / 2
        kept = (left + right + 2 * both) / 4  # energy of the mean of the channels
        is_loud = energy > SILENCE * samples
        lost = is_loud & (kept < CANCELLED * energy)
        if energy[lost].sum() <= CANCELLED_SHARE * energy[is_loud].sum():
            return None
        return int(right.sum() > LOUDER * left.sum())

    def _close(self) -> None:
        if self._sums:
            self._pieces.append(np.sum(self._sums, axis=0, dtype=np.float64))
        self._sums, self._count = [], 0


def list_names(frame: av.AudioFrame) -> list[str]:
    """FFmpeg's names of a frame's channels; those of the usual layout where they have none."""
    names = [channel.name for channel in frame.layout.channels]
    usual = UNNAMED.get(len(names)) if len(set(names)) == 1 else None
    return [channel.name for channel in av.AudioLayout(usual).channels] if usual else names


def read_channels(frame: av.AudioFrame) -> np.ndarray:
    """[channels, n] float32; full scale is 1."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype.kind == "u":
        return (samples.astype(np.float32) - 128) / 128
    scale = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max) + 1
    return samples.astype(np.float32) / np.float32(scale)


def weigh_channels(names: list[str]) -> np.ndarray:
    """Weight of each of more than two channels in the mono mix, by FFmpeg's names of them.

    >>> weigh_channels(["FL", "FR", "FC", "LFE", "SL", "SR"]).round(3).tolist()
    [0.5, 0.5, 1.0, 0.0, 0.354, 0.354]
    """
    kinds = {"FC": SPEECH_WEIGHT} | dict.fromkeys(SIDES, SIDE_WEIGHT) | dict.fromkeys(MUTED, 0.0)
    if "FL" not in names and "FC" not in names:  # microphones of a recorder, say: nobody knows who is where
        return np.full(len(names), 1 / len(names), np.float32)
    weights = np.array([kinds.get(name, REST_WEIGHT) for name in names], np.float32)
    return weights if "FC" in names else weights / weights.sum()


def _make_mono(frame: av.AudioFrame, samples: np.ndarray) -> av.AudioFrame:
    mono = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
    mono.sample_rate = frame.sample_rate
    return mono
