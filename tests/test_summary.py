"""The table at the end of a run, and the JSON beside it."""

from preprocessing.run.executor import Failure
from preprocessing.run.finish import list_remarks
from preprocessing.run.summary import Remark, describe_summary, group_reasons, summarise

GOOD = {
    "split": "train",
    "label": 1.0,
    "duration_s": 30.0,
    "face_ratio": 0.9,
    "faces": "ok",
    "waveform": "ok",
}
ROWS = [
    GOOD,
    GOOD | {"split": "test", "label": "", "waveform": "no_audio", "face_ratio": 0.7},
    GOOD | {"faces": "no_face", "face_ratio": 0.0, "duration_s": 60.0},
    GOOD | {"faces": "failed", "waveform": "failed", "face_ratio": "", "duration_s": ""},
]
REFUSED = [
    Failure("x_1", "faces", "truncated or damaged: 0.40 s of the promised 2.00 s can be decoded; raise it"),
    Failure("x_3", "waveform", "truncated or damaged: 1.50 s of 3.00 s can be decoded; raise it"),
    Failure("x_2", "clip", "not a readable media file: '/data/x_2.mp4'"),
    Failure("x_3", "faces", "truncated or damaged: 1.00 s of the promised 3.00 s can be decoded; raise it"),
    Failure("x_4", "behaviour", "OpenFace on x_4.mp4: no CSV was written; it printed: nothing"),
    Failure("x_5", "behaviour", "OpenFace on x_5.avi: no CSV was written; it printed: something"),
    Failure("x_6", "clip", "there is no file /data/x_6.mp4"),
    Failure("x_7", "behaviour", "no OpenFace CSV of clip x_7 in /csvs: add one of x_7.csv"),
]


def test_the_numbers_are_those_of_the_usable_clips():
    summary = summarise(ROWS, ROWS[:3], REFUSED[:1])
    assert summary["clips"] == 4 and summary["usable"] == 3
    assert summary["splits"] == {"train": 2, "test": 1}
    assert summary["minutes"] == 2.0
    assert summary["face_ratio"] == round((0.9 + 0.7 + 0.0) / 3, 4)
    assert (summary["without_face"], summary["without_sound"], summary["unlabelled"]) == (1, 1, 1)
    assert summary["reasons"] == {"truncated or damaged": 1}
    assert summary["refused"] == [vars(REFUSED[0])]


def test_reasons_are_grouped_whatever_the_single_clip_adds():
    assert group_reasons(REFUSED) == {
        "truncated or damaged": ["x_1", "x_3"],
        "OpenFace: no CSV was written": ["x_4", "x_5"],
        "not a readable media file": ["x_2"],
        "there is no file …": ["x_6"],
        "no OpenFace CSV of clip … in …": ["x_7"],
    }


def test_the_table_says_it_all():
    summary = summarise(ROWS, ROWS[:3], REFUSED[:1])
    run = {"clips": 4, "wall_s": 75.0, "clip_s": 120.0, "times_real_time": 1.6}
    lines = describe_summary(summary, run, "cache/x").splitlines()
    table = {line[:18].strip(): line[18:] for line in lines[:-1]}
    assert table == {
        "cache": "cache/x",
        "clips": "3 of 4 usable (train 2, test 1)",
        "minutes": "2.0",
        "faces found": "in 53.3 % of the sampled frames",
        "without a face": "1",
        "without sound": "1",
        "without a label": "1",
        "refused or failed": "1",
        "": "1 × truncated or damaged (x_1)",
        "worked on": "4 in 1 min 15 s, 1.6 times real time",
    }
    assert "cache/x/failures.csv" in lines[-1] and "--retry-failed" in lines[-1]


def test_nothing_refused_and_nothing_done_are_not_spoken_of():
    said = describe_summary(summarise(ROWS[:1], ROWS[:1], []), None, "cache/x")
    assert "failures.csv" not in said and "worked on" not in said
    assert "refused or failed 0" in said


def test_many_reasons_and_many_clips_are_cut_short():
    refused = [Failure(f"x_{number}", "clip", f"reason {number}") for number in range(15)]
    refused += [Failure(f"y_{number}", "clip", "the same") for number in range(9)]
    said = describe_summary(summarise([], [], refused), None, "cache/x")
    assert "9 × the same (y_0, y_1, y_2, …)" in said
    assert "and 6 further reasons" in said
    assert "faces found       -" in said


def test_remarks_are_listed_once_per_clip_and_shown_by_kind():
    status = {
        "faces": {"state": "ok", "remark": "the picture lasts 6.40 s, the sound 3.97 s"},
        "waveform": {"state": "ok", "remark": "a hole; the picture lasts 6.40 s, the sound 3.97 s"},
        "behaviour": {"state": "ok"},
        "acoustics": None,
    }
    remarks = list_remarks("x_1", status)
    assert remarks == [
        Remark("x_1", "faces+waveform", "the picture lasts 6.40 s, the sound 3.97 s"),
        Remark("x_1", "waveform", "a hole"),
    ]
    remarks.append(Remark("x_2", "faces", "the picture lasts 2.00 s, the sound 9.10 s"))
    summary = summarise(ROWS, ROWS[:3], [], remarks)
    assert summary["remarks"] == [vars(remark) for remark in remarks]
    text = describe_summary(summary, None, "cache/x")
    assert "2 × the picture lasts … s, the sound … s (x_1, x_2)" in text and "1 × a hole (x_1)" in text
    assert "cache/x/remarks.csv" in text
    del summary["remarks"]  # of an earlier version
    assert "remark" not in describe_summary(summary, None, "cache/x")
