"""What reaches FFmpeg is the file that was named, whatever it is called and whatever stands in it."""

from pathlib import Path

import numpy as np
import pytest
from kit.made_clips import draw_number, make_chirps, read_number, write_clip

from preprocessing.config import READERS
from preprocessing.media.container import name_file, open_media
from preprocessing.media.decode import MediaError, probe
from preprocessing.media.frames import FrameReader
from preprocessing.media.sound import read_sound

PICTURES = [draw_number(number) for number in range(10)]
PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n"
LISTS = {
    "hls.m3u8": PLAYLIST,
    "hls.mp4": PLAYLIST,
    "concat.mp4": "ffconcat version 1.0\nfile {}\n",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    "<AdaptationSet><Representation><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["10:15:30.mp4", "-clip.mp4", "file:x.mp4", "a%03d.mp4", "pipe:0.mp4"])
def test_any_name_is_a_file_of_that_name(tmp_path, monkeypatch, reader, name):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / name, PICTURES, sound=make_chirps(0.4, 44_100))
    info = probe(Path(name))
    frames = dict(FrameReader(info, reader).frames(np.array([0, 7])))
    assert [read_number(frame) for frame in frames.values()] == [0, 7]
    assert len(read_sound(info).waveform) > 6000
    assert name_file(Path(name)) == str(tmp_path / name)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_other_files_is_not_followed(tmp_path, name):
    write_clip(tmp_path / "secret.ts", PICTURES)
    for target in ("secret.ts", str(tmp_path / "secret.ts"), "http://127.0.0.1:9/secret.ts"):
        (tmp_path / name).write_text(LISTS[name].format(target))
        with pytest.raises(MediaError, match="not a readable media file"):
            probe(tmp_path / name)


def test_a_list_of_files_is_refused_by_its_kind(tmp_path):
    write_clip(tmp_path / "secret.ts", PICTURES)
    (tmp_path / "concat.mp4").write_text(LISTS["concat.mp4"].format("secret.ts"))
    with pytest.raises(MediaError, match="its form is none of a clip, such as a list of other files"):
        probe(tmp_path / "concat.mp4")


def test_odd_characters_in_a_title_are_no_reason_to_refuse(tmp_path):
    path = write_clip(tmp_path / "clip.mkv", PICTURES)
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"L\xe4vf", 1))
    with open_media(path) as container:
        assert container.format.name.startswith("matroska")
