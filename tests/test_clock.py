"""Time stamps that cannot be: they start again, stray, wrap or are missing."""

from pathlib import Path

import numpy as np
import pytest
from kit.made_clips import H264, draw_number, find_lag_s, find_packets, make_chirps, read_number, write_clip

from preprocessing.config import SAMPLE_RATE
from preprocessing.media.decode import probe
from preprocessing.media.frames import FrameReader
from preprocessing.media.sound import read_sound

COUNT, SECONDS = 40, 1.6
PICTURES = [draw_number(number) for number in range(COUNT)]
SWAPPED = H264 | {"preset": "medium", "bf": "3"}
TICKS = 90_000
WRAP = (1 << 33) / TICKS  # seconds after which MPEG-TS counts from 0 again


def write_part(path: Path, start_s: float, pictures=PICTURES, sound: bool = True) -> bytes:
    """An MPEG-TS of 1.6 s whose clock starts at `start_s`; its bytes may be put behind others."""
    write_clip(
        path,
        pictures,
        times_ms=[round(1000 * start_s) + 40 * number for number in range(len(pictures))],
        options=SWAPPED,
        sound=make_chirps(SECONDS, 48_000, 2) if sound else None,
        sample_rate=48_000,
        audio_codec="mp2",
        sound_start_s=start_s,
    )
    return path.read_bytes()


def read_numbers(path: Path) -> tuple[np.ndarray, list[int]]:
    """Times of all frames and the numbers in them."""
    reader = FrameReader(probe(path))
    found = dict(reader.frames(np.arange(len(reader.time))))
    assert list(found) == list(range(len(reader.time)))
    return reader.time, [read_number(frame) for frame in found.values()]


@pytest.mark.parametrize("again_s", [0.0, 9.0], ids=["again", "ahead"])
def test_what_follows_a_new_clock_is_put_behind(tmp_path, again_s):
    path = tmp_path / "joined.ts"
    path.write_bytes(
        write_part(tmp_path / "one.ts", 0.0) + write_part(tmp_path / "two.ts", again_s, PICTURES[::-1])
    )
    info = probe(path)
    assert abs(info.duration_s - 2 * SECONDS) < 0.15
    assert info.remark.startswith("the time stamps start again once")
    times, numbers = read_numbers(path)
    assert numbers == [*range(COUNT), *reversed(range(COUNT))]
    steps = np.diff(times)
    assert np.allclose(np.delete(steps, COUNT - 1), 0.04, atol=1e-3)
    assert 0.03 < steps[COUNT - 1] < 0.12
    waveform = read_sound(info).waveform
    assert abs(len(waveform) / SAMPLE_RATE - info.duration_s) < 0.05
    reference = make_chirps(SECONDS, SAMPLE_RATE)[0]
    ends = [find_lag_s(part, reference) for part in np.split(waveform, [round(1.5 * SAMPLE_RATE)])]
    # Picture and sound of the second part are as far from each other as those of the first.
    assert abs((1.5 + ends[1] - times[COUNT]) - (ends[0] - times[0])) < 0.005


def test_a_picture_alone_that_starts_again(tmp_path):
    path = tmp_path / "joined.ts"
    path.write_bytes(
        write_part(tmp_path / "one.ts", 0.0, sound=False) + write_part(tmp_path / "two.ts", 0.0, sound=False)
    )
    times, numbers = read_numbers(path)
    assert numbers == [*range(COUNT), *range(COUNT)]
    assert np.allclose(np.diff(times), 0.04, atol=1e-3)


def test_a_pause_of_one_stream_is_no_new_clock(tmp_path):
    times = [40 * number + 3000 * (number > 20) for number in range(COUNT)]
    path = write_clip(
        tmp_path / "clip.ts",
        PICTURES,
        times_ms=times,
        sound=make_chirps(4.6, 48_000, 2),
        sample_rate=48_000,
        audio_codec="mp2",
    )
    info = probe(path)
    assert not info.clock.is_corrected and info.remark == ""
    assert np.allclose(np.diff(FrameReader(info).time), np.diff(times) / 1000, atol=1e-3)


def test_stamps_before_the_wrap_of_mpeg_ts(tmp_path):
    write_part(tmp_path / "clip.ts", WRAP - 45)
    info = probe(tmp_path / "clip.ts")
    assert abs(info.duration_s - SECONDS) < 0.1
    times, numbers = read_numbers(tmp_path / "clip.ts")
    assert numbers == list(range(COUNT)) and times[0] < 0.1
    assert abs(FrameReader(info).span_s - SECONDS) < 0.05
    assert abs(len(read_sound(info).waveform) / SAMPLE_RATE - SECONDS) < 0.1


def test_stamps_that_wrap_on_the_way(tmp_path):
    write_part(tmp_path / "clip.ts", WRAP - 0.8)
    times, numbers = read_numbers(tmp_path / "clip.ts")
    assert numbers == list(range(COUNT))
    assert np.allclose(np.diff(times), 0.04, atol=1e-3)


@pytest.mark.parametrize("options", [H264, SWAPPED], ids=["in order", "swapped"])
def test_pictures_without_any_stamp_come_at_the_nominal_rate(tmp_path, options):
    path = write_clip(tmp_path / "raw.h264", PICTURES, options=options)
    info = probe(path)
    assert info.remark == "the picture has no time stamps: 25 frames a second are assumed"
    assert abs(info.duration_s - SECONDS) < 1e-6
    times, numbers = read_numbers(path)
    assert numbers == list(range(COUNT))
    assert np.allclose(times, np.arange(COUNT) / 25)
    picked = dict(FrameReader(info).frames(np.array([3, 17, 39])))
    assert {place: read_number(frame) for place, frame in picked.items()} == {3: 3, 17: 17, 39: 39}


def test_an_avi_that_knows_only_the_order_of_decoding(tmp_path):
    times, numbers = read_numbers(write_clip(tmp_path / "clip.avi", PICTURES, options=SWAPPED))
    assert numbers == list(range(COUNT))
    assert np.allclose(np.diff(times), 0.04)


def test_a_single_stray_stamp_moves_nothing_else(tmp_path):
    path = write_clip(tmp_path / "clip.flv", PICTURES, sound=make_chirps(SECONDS, 44_100))
    whole, times = read_sound(probe(path)).waveform, FrameReader(probe(path)).time
    data = bytearray(path.read_bytes())
    for kind, number in (("audio", 20), ("video", 15)):
        place = find_packets(path, kind)[number][0]
        assert data[place] == {"audio": 8, "video": 9}[kind]  # an FLV tag; four bytes on lies its time
        data[place + 4] ^= 0x40  # 70 minutes later
    path.write_bytes(data)
    info = probe(path)
    assert info.clock.is_corrected and info.remark == "" and abs(info.duration_s - SECONDS) < 0.1
    assert np.array_equal(read_sound(info).waveform, whole)
    left = FrameReader(info).time
    assert len(left) == COUNT - 1 and np.isin(left.round(6), times.round(6)).all()


def test_unlike_lengths_of_picture_and_sound_are_remarked(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", PICTURES, sound=make_chirps(5, 44_100))
    assert probe(path).remark == "the picture lasts 1.60 s, the sound 5.00 s"
    path = write_clip(tmp_path / "clip.mp4", PICTURES, sound=make_chirps(2.4, 44_100))
    assert probe(path).remark == ""


def test_real_faults_of_time(shared):
    folder = shared / "data" / "faults"
    counts = {"xvid_packed.avi": (75, 3.0), "raw.h264": (75, 3.0), "huge.ts": (75, 3.04)}
    counts |= {"ts_restart.ts": (150, 6.08), "audio_change.ts": (150, 6.05)}
    for name, (count, seconds) in counts.items():
        info = probe(folder / name)
        reader = FrameReader(info)
        found = [place for place, _ in reader.frames(np.arange(len(reader.time)))]
        assert found == list(range(count)), name
        assert abs(info.duration_s - seconds) < 0.01, name
        assert (np.abs(np.diff(reader.time) - 0.04) < 1e-3).mean() > 0.99 and np.diff(reader.time).max() < 0.1
        if info.has_audio:
            assert abs(len(read_sound(info).waveform) / SAMPLE_RATE - seconds) < 0.06, name
