"""Sound that changes its form, whose channels cancel out, with a centre, with holes, and that starts late."""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from kit.made_clips import draw_number, find_lag_s, make_chirps, make_tone, write_clip

from preprocessing.config import SAMPLE_RATE
from preprocessing.media.decode import check_duration, probe
from preprocessing.media.sound import Sound, read_sound

FULL_SCALE = 32768
SECONDS = 1.6
PICTURES = [draw_number(number) for number in range(40)]  # 1.6 s


def write_sound(path: Path, sound: np.ndarray, layout: str, rate: int = 16_000) -> Path:
    """PCM; WAV names its channels, Matroska does not. `sound`: [channels, S] float32."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout=layout)
        packed = (sound.T.reshape(1, -1) * 32767).round().astype(np.int16)
        for place in range(0, sound.shape[1], 1024):
            block = packed[:, place * len(sound) : (place + 1024) * len(sound)]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="s16", layout=layout)
            frame.sample_rate, frame.pts = rate, place
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def read(path: Path) -> Sound:
    return read_sound(probe(path))


def decibels(waveform: np.ndarray, reference: np.ndarray) -> float:
    return float(20 * np.log10(waveform.astype(float).std() / (reference.std() * FULL_SCALE)))


def test_an_inverted_channel_is_left_out(tmp_path):
    left = make_chirps(SECONDS, 16_000)[0]
    sound = read(write_sound(tmp_path / "clip.mkv", np.stack([left, -left]), "stereo"))
    assert sound.remark == "the channels of the sound cancel each other out: the left one alone is used"
    assert np.abs(sound.waveform - left * FULL_SCALE).max() < 3
    sound = read(write_sound(tmp_path / "clip.mkv", np.stack([-0.8 * left, left]), "stereo"))
    assert "the right one alone" in sound.remark
    assert np.abs(sound.waveform - left * FULL_SCALE).max() < 3


def test_channels_that_cancel_for_a_while_only(tmp_path):
    left = make_chirps(SECONDS, 16_000)[0]
    sign = np.where(np.arange(len(left)) < len(left) // 2, 1, -1)
    sound = read(write_sound(tmp_path / "clip.mkv", np.stack([left, sign * left]), "stereo"))
    assert "cancel each other out" in sound.remark
    assert np.abs(sound.waveform - left * FULL_SCALE).max() < 3


@pytest.mark.parametrize("kind", ["silent", "noise", "apart", "shifted"])
def test_channels_that_do_not_cancel_are_mixed(tmp_path, kind):
    left, rng = make_chirps(SECONDS, 16_000)[0], np.random.default_rng(1)
    right = {
        "silent": 0 * left,
        "noise": rng.normal(size=len(left)).astype(np.float32) * 0.1,
        "apart": -np.roll(left, 4000),
        "shifted": np.roll(left, 5),
    }[kind]
    sound = read(write_sound(tmp_path / "clip.mkv", np.stack([left, right]), "stereo"))
    assert sound.remark == ""
    assert np.abs(sound.waveform - (left + right) / 2 * FULL_SCALE).max() < 3


@pytest.mark.parametrize(
    ("layout", "channel", "gain_db"),
    [
        ("5.1(side)", "FC", 0),
        ("5.1(side)", "FL", -6.02),
        ("5.1(side)", "SR", -9.03),
        ("5.1", "BL", -9.03),
        ("5.1", "LFE", -np.inf),
        ("7.1", "FC", 0),
        ("3.0", "FC", 0),
        ("quad", "FL", -10.69),  # without a centre the weights sum to 1
        ("2.1", "FR", -6.02),
    ],
)
def test_each_channel_has_its_level_in_the_mix(tmp_path, layout, channel, gain_db):
    tone = make_tone(SECONDS, 16_000, 200)[0]
    names = [one.name for one in av.AudioLayout(layout).channels]
    sound = np.zeros((len(names), len(tone)), np.float32)
    sound[names.index(channel)] = tone
    waveform = read(write_sound(tmp_path / "clip.wav", sound, layout)).waveform
    if np.isinf(gain_db):
        assert not waveform.any()
    else:
        assert abs(decibels(waveform, tone) - gain_db) < 0.05


@pytest.mark.parametrize(("layout", "gain_db"), [("5.1", 0), ("7.1", 0), ("quad", -12.04)])
def test_channels_without_names(tmp_path, layout, gain_db):
    tone = make_tone(SECONDS, 16_000, 200)[0]
    sound = np.zeros((len(av.AudioLayout(layout).channels), len(tone)), np.float32)
    sound[2] = tone  # the centre where there is one
    waveform = read(write_sound(tmp_path / "clip.mkv", sound, layout)).waveform
    assert abs(decibels(waveform, tone) - gain_db) < 0.05


def test_a_loud_mix_is_limited_and_does_not_turn_over(tmp_path):
    tone = make_tone(SECONDS, 16_000, 200)[0] * 4.9
    waveform = read(write_sound(tmp_path / "clip.mkv", np.tile(tone, (6, 1)), "5.1")).waveform
    assert (np.sign(waveform[np.abs(tone) > 0.1]) == np.sign(tone[np.abs(tone) > 0.1])).all()


def write_parts(path: Path, parts: Iterable[tuple[int, int, float]]) -> np.ndarray:
    """An MPEG-TS of parts (rate, channels, start in s) of one sound, and that sound at 16 kHz."""
    data = b""
    for number, (rate, channels, start_s) in enumerate(parts):
        part = path.with_name(f"{number}.ts")
        whole = make_chirps(2 * SECONDS, rate, channels)
        piece = whole[:, round(start_s * rate) : round((start_s + SECONDS) * rate)]
        late_ms = 80 if start_s else 0  # B frames: the file that starts at 0 is moved by as much
        kind = {
            "sound": piece,
            "sample_rate": rate,
            "audio_codec": "mp2",
            "sound_start_s": start_s + late_ms / 1000,
        }
        times = [round(1000 * start_s) + late_ms + 40 * frame for frame in range(40)]
        data += write_clip(part, PICTURES, times_ms=times, **kind).read_bytes()
    path.write_bytes(data)
    return make_chirps(2 * SECONDS, SAMPLE_RATE)[0]


@pytest.mark.parametrize("forms", [((44_100, 2), (48_000, 1)), ((48_000, 1), (32_000, 2))])
def test_sound_that_changes_its_form_is_one_waveform(tmp_path, forms):
    starts = (0.0, SECONDS)
    whole = write_parts(
        tmp_path / "clip.ts", [(*form, start) for form, start in zip(forms, starts, strict=True)]
    )
    waveform = read(tmp_path / "clip.ts").waveform.astype(float)
    assert abs(len(waveform) / SAMPLE_RATE - 2 * SECONDS) < 0.1
    lags = []
    for start_s in (0.2, SECONDS + 0.2):
        part = slice(round(start_s * SAMPLE_RATE), round((start_s + 1.2) * SAMPLE_RATE))
        lags.append(find_lag_s(waveform[part], whole[part]))
        shifted = np.roll(waveform, -round(lags[-1] * SAMPLE_RATE))[part]
        assert np.corrcoef(shifted, whole[part])[0, 1] > 0.9
        assert abs(decibels(shifted, whole[part])) < 0.5
    assert abs(lags[1] - lags[0]) < 0.02


@pytest.mark.parametrize("late_ms", [5, 10, 19, 40])
def test_a_late_start_is_kept_to_the_sample(tmp_path, late_ms):
    sound = make_chirps(1.0, 16_000)
    kind = {"sound": sound, "sample_rate": 16_000, "audio_codec": "pcm_s16le"}
    path = write_clip(tmp_path / "clip.mkv", PICTURES, sound_start_s=late_ms / 1000, **kind)
    waveform = read(path).waveform
    late = late_ms * 16
    assert not waveform[:late].any()
    assert np.abs(waveform[late:][: sound.shape[1]] - sound[0] * FULL_SCALE).max() < 3


def write_hole(path: Path, pictures: bool) -> Path:
    """A sound of 0.5 s, then nothing for 1 s, then 0.5 s; with pictures throughout or none."""
    first, second = np.split(make_chirps(1.0, 16_000), 2, axis=1)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=25, options={"threads": "1", "bf": "0"}) if pictures else None
        sound = file.add_stream("pcm_s16le", rate=16_000, layout="mono")
        packets = []
        if video:
            video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
            for number in range(50):
                frame = av.VideoFrame.from_ndarray(PICTURES[number % 40], format="rgb24")
                frame.pts = number
                packets += video.encode(frame)
            packets += video.encode()
        for piece, start_s in ((first, 0), (second, 1.5)):
            for place in range(0, piece.shape[1], 800):
                block = np.ascontiguousarray((piece[:, place : place + 800] * 32767).astype(np.int16))
                frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
                frame.sample_rate, frame.pts = 16_000, round(start_s * 16_000) + place
                packets += sound.encode(frame)
        for packet in packets:
            file.mux(packet)
    return path


@pytest.mark.parametrize("pictures", [True, False])
def test_a_hole_in_the_sound_is_silence_and_a_remark(tmp_path, pictures):
    info = probe(write_hole(tmp_path / "clip.mkv", pictures))
    sound = read_sound(info)
    assert sound.remark == "1.00 s in the middle of the sound are missing: silence stands there"
    assert check_duration("sound", info.audio_duration_s, sound.decoded_s, 0.1) == ""
    assert abs(len(sound.waveform) - 2 * SAMPLE_RATE) < 100
    assert not sound.waveform[8050:23_900].any()
    kept = np.concatenate([sound.waveform[:8000], sound.waveform[24_000:]])
    expected = make_chirps(1.0, 16_000)[0][: len(kept)] * FULL_SCALE
    assert np.abs(kept - expected).max() < 3


def test_real_faults_of_sound(shared):
    folder = shared / "data" / "faults"
    phase = read(folder / "phase.mp4")
    plain = read(folder / "anamorphic.mp4").waveform.astype(float)
    assert "cancel each other out" in phase.remark
    size = min(len(plain), len(phase.waveform))
    assert np.corrcoef(phase.waveform[:size], plain[:size])[0, 1] > 0.99
    changed = read(folder / "audio_change.ts").waveform.astype(float)
    halves = changed[: 3 * SAMPLE_RATE], changed[3 * SAMPLE_RATE : 6 * SAMPLE_RATE]
    assert min(half.std() for half in halves) > 500
