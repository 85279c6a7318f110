"""Words in sound: who speaks when, what is said, and how far that is from what was said."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kit.made_clips import make_chirps, make_tone
from kit.tiny_speech import make_noise, write_ctc, write_whisper

from preprocessing.config import WordsConfig
from preprocessing.errors import UserError
from preprocessing.hearing import listening
from preprocessing.hearing.error_rate import count_errors
from preprocessing.hearing.heard import Word, pack_heard, place_words, spread_text
from preprocessing.hearing.listening import align_text, hear_words
from preprocessing.hearing.models import load_ctc, load_recogniser, load_whisper
from preprocessing.hearing.texts import parse_subtitles
from preprocessing.hearing.timing import time_tokens
from preprocessing.hearing.voice import Span, find_speech
from preprocessing.hearing.whisper_states import SoundStates
from preprocessing.media.decode import probe
from preprocessing.media.sound import read_sound

CLIPS = Path(__file__).parents[2] / "shared/data/clips"
needs_clips = pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips are not here")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return load_whisper(str(write_whisper(tmp_path_factory.mktemp("whisper"))), "")


@pytest.fixture(scope="module")
def ctc(tmp_path_factory):
    return load_ctc(str(write_ctc(tmp_path_factory.mktemp("ctc"))))


class NobodyHears:
    def hear(self, piece):
        pytest.fail("a recogniser was shown a sound without speech")


def make_melody() -> np.ndarray:
    """Chords, two a second."""
    tones = [[220, 277, 330], [247, 311, 370], [262, 330, 392], [196, 247, 294]]
    parts = [np.mean([make_tone(0.5, 16_000, pitch)[0] for pitch in chord], axis=0) for chord in tones]
    return np.concatenate(parts)


@pytest.mark.parametrize(
    "sound",
    [np.zeros(32_000), make_noise(2), make_noise(2, 0.01), make_tone(2, 16_000, 200)[0], make_melody(),
     make_chirps(2, 16_000)[0]],
    ids=["silence", "noise", "soft noise", "tone", "melody", "chirps"],
)  # fmt: skip
def test_where_nobody_speaks_nothing_is_heard(sound):
    waveform = sound if sound.dtype == np.int16 else (sound * 32767).astype(np.int16)
    assert hear_words(waveform, NobodyHears()) == []


@needs_clips
@pytest.mark.parametrize(
    "name", ["derived/silent_audio.mp4", "odd/openface_default.wmv", "odd/pyfeat_face_noface.mov"]
)
def test_in_real_clips_without_speech_nothing_is_heard(name):
    assert hear_words(read_sound(probe(CLIPS / name)).waveform[:160_000], NobodyHears()) == []


def test_the_detector_leaves_the_number_of_threads_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    find_speech(np.zeros(1600, np.int16))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_a_whisper_checkpoint_gives_words_with_times(whisper):
    words = whisper.hear(np.zeros(32_000, np.float32))
    assert [word.text for word in words] == ["The", "film", "was", "ungood."]
    edges = [edge for word in words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= 2
    assert all(0 < word.confidence <= 1 for word in words)


def test_a_text_that_repeats_itself_is_believed_once(tmp_path):
    said = ("Ġgood", "Ġfilm") * 25
    words = load_whisper(str(write_whisper(tmp_path, said)), "en").hear(np.zeros(160_000, np.float32))
    assert [word.text for word in words] == ["good", "film"]


def test_silence_and_the_last_pieces_are_encoded_once_for_all_languages(tmp_path, monkeypatch):
    folder = str(write_whisper(tmp_path))
    sizes = []
    encode = SoundStates.encode
    monkeypatch.setattr(SoundStates, "encode", lambda self, one: sizes.append(len(one)) or encode(self, one))
    short, long = np.zeros(16_000, np.float32), np.zeros(32_000, np.float32)
    for piece in (short, long):
        load_whisper(folder, "").weigh_languages(piece)
    english = load_whisper(folder, "en")
    assert english.hear(short) == load_whisper(folder, "").speaking("en").hear(short) != []
    english.hear(long)
    assert sorted(sizes) == [32_000, 48_000, 480_000]  # with a second of silence; and 30 s of it
    english.hear(np.zeros(8000, np.float32))
    assert len(english.states.known) == 2


def test_speech_is_heard_in_pieces_on_one_clock(monkeypatch, whisper):
    monkeypatch.setattr(listening, "find_speech", lambda _: [Span(1, 2), Span(2.5, 4), Span(40, 42)])
    words = hear_words(np.zeros(44 * 16_000, np.int16), whisper)
    assert [word.text for word in words] == ["The", "film", "was", "ungood."] * 2
    assert all(1 <= word.start_s <= word.end_s <= 4 for word in words[:4])
    assert all(40 <= word.start_s <= word.end_s <= 42 for word in words[4:])
    arrays = pack_heard(words)
    assert (np.diff(arrays["words_time"]) >= 0).all() and len(arrays["words"]) == 8


def test_times_outside_a_piece_are_brought_inside():
    words = place_words([Word("a", -1, 0.5, 1), Word("b", 0.3, 9, 1), Word("c", 8, 7, 1)], Span(2, 4))
    assert [(word.start_s, word.end_s) for word in words] == [(2, 2.5), (2.5, 4), (4, 4)]


def test_attention_along_a_line_gives_its_times():
    attention = np.full((1, 4, 40), 0.01)
    for row in range(4):
        attention[0, row, 10 * row : 10 * row + 10] = 1.0
    assert time_tokens(attention, 3).tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize("language", ["xx", "fr"])
def test_an_unknown_language_is_one_line(whisper, tmp_path, language):
    folder = str(write_whisper(tmp_path))
    with pytest.raises(UserError, match=r"words\.language is one the model knows \(de, en\), but got"):
        load_whisper(folder, language)


def test_another_checkpoint_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"words\.model is a whisper checkpoint, but .* is a wav2vec2"):
        load_recogniser(WordsConfig("whisper", str(write_ctc(tmp_path))))
    with pytest.raises(UserError, match=r"words\.model is a folder or a name on the hub"):
        load_recogniser(WordsConfig("ctc", "/nowhere/at/all"))


def test_a_ctc_checkpoint_hears_letters_inside_the_piece(ctc):
    words = ctc.hear(make_noise(2).astype(np.float32) / 32768)
    assert words and all(word.text == word.text.lower() for word in words)
    edges = [edge for word in words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= 2


def test_a_known_text_is_aligned_or_spread(ctc, monkeypatch):
    text = "The film, was 42 good"
    words, is_aligned = align_text(text, make_noise(2), ctc)
    assert is_aligned and [word.text for word in words] == text.split()
    edges = [edge for word in words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges) and edges[-1] <= 2
    assert words[3].start_s == words[3].end_s  # no letter of it is known
    assert align_text("x" * 999, make_noise(1), ctc)[1] is False
    monkeypatch.setattr(listening, "find_speech", lambda _: [Span(1, 1.5)])
    spread, is_aligned = align_text(text, make_noise(2), None)
    assert not is_aligned and spread[0].start_s == 1 and spread[-1].end_s == 1.5
    assert align_text("", make_noise(1), ctc) == ([], False)


def test_words_are_spread_over_pauses():
    words = spread_text(["aaa", "bbb", "ccc"], [Span(0, 1), Span(3, 5)])
    assert [(word.start_s, word.end_s) for word in words] == [(0, 1), (3, 4), (4, 5)]


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("1\r\n00:01:02,500 --> 00:01:03,000\r\n<b>Good</b>\r\nfilm\r\n", [((62.5, 63.0), "Good film")]),
        ("WEBVTT\n\n01:02.500 --> 01:03.000 align:start\nGood film\n", [((62.5, 63.0), "Good film")]),
        ("Good film", []),
    ],
)
def test_subtitles_keep_their_times(text, cues):
    found = parse_subtitles(text)
    assert [(tuple(span), said) for span, said in found.cues] == cues and found.text == "Good film"


def test_word_errors_are_counted_without_case_and_punctuation():
    said = {"a": "It's GREAT, really!", "b": "", "c": "one two", "d": "not heard of"}
    found = count_errors(said, {"a": ["it’s", "great"], "b": ["hm"], "c": ["One,", "three"]})
    assert (found.errors, found.words) == (3, 5) and found.rate == 0.6
    assert count_errors({}, {}).rate is None
