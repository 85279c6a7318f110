"""Label files: the real ones of MOSI, small made sets in every layout, and rows that cannot be right."""

from pathlib import Path

import pytest

from preprocessing.errors import UserError
from preprocessing.sets.labels import read_labels

COURSE = "clip,label,split"
CSV = "path,video_id,clip_id,label,split"
MMSA = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode"
TRICKY_IDS = ("_dI--eQ6qVU", "-abc", "6_0THN4chvY", "I5y0__X72p0", "1e5", "NA", "nan", "007", "a.b", "_")


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        write(folder, name)


def refusal(labels: Path, layout: str = "auto", columns=None, check_files: bool = False) -> str:
    with pytest.raises(UserError) as caught:
        read_labels(labels, layout, columns, check_files)
    message = str(caught.value)
    assert "\n" not in message
    return message


def relative_paths(entries, root: Path) -> list[str]:
    return [entry.path.relative_to(root).as_posix() for entry in entries]


def test_course_clips_anywhere_in_any_container(tmp_path):
    names = ("a_1.mp4", "b_2.AVI", "c_3.mkv", "d_4.flv", "e_5.mpg", "f_6.mov", "g_7.webm", "h_8.wmv")
    touch(
        tmp_path,
        *(f"clips/part{i % 2}/{name}" for i, name in enumerate(names)),
        "__MACOSX/clips/a_1.mp4",
    )
    touch(tmp_path, "clips/part0/._a_1.mp4", "notes/b_2.txt")
    rows = [f"{Path(name).stem},{i / 4 - 1},train" for i, name in enumerate(names)]
    write(tmp_path, "labels.csv", COURSE, *rows)
    entries = read_labels(tmp_path)
    assert relative_paths(entries, tmp_path) == [f"clips/part{i % 2}/{n}" for i, n in enumerate(names)]
    assert [entry.label for entry in entries] == [i / 4 - 1 for i in range(len(names))]
    assert (entries[1].clip_id, entries[1].video_id, entries[1].row) == ("b_2", "b", "labels.csv row 3")


@pytest.mark.parametrize("clip", ["1", "1.mp4", "v_1", "v/1", "v/1.mp4", "Clips\\v\\1.mp4"])
def test_course_with_video_column(tmp_path, clip):
    touch(tmp_path, "Clips/v/1.mp4", "Clips/w/1.mp4")
    write(tmp_path, "labels.csv", "video_id,clip_id,label,subset", f"v,{clip},0,train", "w,1,0,test")
    entries = read_labels(tmp_path)
    assert [entry.clip_id for entry in entries] == ["v_1", "w_1"]
    assert relative_paths(entries, tmp_path) == ["Clips/v/1.mp4", "Clips/w/1.mp4"]


@pytest.mark.parametrize("clip", ["interview", "6_0THN4chvY", "v_", "_7", "v_1.5", "v_1 b", "v-1.mp4", "٣_٣"])
def test_course_stem_without_number(tmp_path, clip):
    message = refusal(write(tmp_path, "labels.csv", COURSE, "v_1,0,train", f"{clip},0,train"))
    assert "labels.csv row 3" in message
    assert "<video_id>_<number>" in message
    assert "video_id" in message


@pytest.mark.parametrize("video_id", TRICKY_IDS)
@pytest.mark.parametrize("number", ["1", "01", "12"])
def test_ids_stay_text_in_every_layout(tmp_path, video_id, number):
    clip_id = f"{video_id}_{number}"
    tables = {
        "course": (COURSE, f"{clip_id}.mp4,0,train"),
        "mmsa": (MMSA, f"{video_id},{number},hello,0,0,0,0,Neutral,train"),
        "cmu": (f"0.5,1.5,{video_id},{number},0",),
        "csv": (CSV, f"{clip_id}.mp4,{video_id},{number},0,train"),
    }
    media = {"mmsa": f"Raw/{video_id}/{number}.mp4", "cmu": f"Segmented/{clip_id}.mp4"}
    for layout, lines in tables.items():
        folder = tmp_path / layout
        write(folder, "folds.csv", "video_id,split", f"{video_id},train")
        labels = write(folder, "labels.csv", *lines)
        touch(folder, media.get(layout, f"{clip_id}.mp4"))
        for chosen in ("auto", layout):
            (entry,) = read_labels(labels, chosen)
            assert (entry.clip_id, entry.video_id) == (clip_id, video_id)
            assert entry.path.is_file()
            assert entry.path == read_labels(labels, chosen, check_files=False)[0].path


def test_mmsa_layout_and_its_id_variant(tmp_path):
    touch(tmp_path, "Raw/v_x/1.mp4", "Raw/v_x/2.avi", "Raw/w/1.mp4", "processed/v_x/1.avi")
    rows = [("v_x", 1, "dev"), ("v_x", 2, "valid"), ("w", 1, "test")]
    full = [f'{v},{n},"a, ""b""",1,,,,Positive,{m}' for v, n, m in rows]
    write(tmp_path, "label.csv", MMSA, *full)
    by_columns = read_labels(tmp_path)
    assert relative_paths(by_columns, tmp_path) == ["Raw/v_x/1.mp4", "Raw/v_x/2.avi", "Raw/w/1.mp4"]
    assert [entry.split for entry in by_columns] == ["valid", "valid", "test"]
    write(tmp_path, "label.csv", "id,text,label,mode", *(f"{v}_{n},hi,1,{m}" for v, n, m in rows))
    assert read_labels(tmp_path) == by_columns == read_labels(tmp_path / "label.csv", "mmsa")


def test_cmu_takes_official_folds_and_own_ones_win(tmp_path):
    touch(tmp_path, "Raw/Video/Segmented/_dI--eQ6qVU_1.mp4", "Raw/Video/Full/_dI--eQ6qVU_1.mp4")
    labels = write(tmp_path, "Labels/OpinionLevelSentiment.csv", "27.87,32.92,_dI--eQ6qVU,1,2.4")
    (entry,) = read_labels(tmp_path)
    assert (entry.split, entry.label, entry.row) == ("valid", 2.4, "OpinionLevelSentiment.csv row 1")
    assert relative_paths([entry], tmp_path) == ["Raw/Video/Segmented/_dI--eQ6qVU_1.mp4"]
    write(tmp_path, "Labels/folds.csv", "video_id,split", "_dI--eQ6qVU,Test")
    assert read_labels(tmp_path)[0].split == "test"
    write(tmp_path, "Labels/folds.csv", "video_id,split", "other,test")
    assert "OpinionLevelSentiment.csv row 1: video _dI--eQ6qVU is in no split" in refusal(labels)
    write(tmp_path, "Labels/folds.csv", "video_id,split", "v,test", "v,train")
    assert "folds.csv row 3: video v is train here, test in folds.csv row 2" in refusal(labels)
    write(tmp_path, "Labels/folds.csv", "video,split", "v,test")
    assert "folds.csv needs the columns video_id, split" in refusal(labels)


def test_csv_paths_blank_labels_and_ids(tmp_path):
    elsewhere = tmp_path / "elsewhere" / "one.flv"
    touch(tmp_path, "elsewhere/one.flv", "set/two.m4a", "set/sub/x_1.mp4")
    write(
        tmp_path,
        "set/table.csv",
        "split, label ,clip_id,video_id,path,note",
        f"train,,HAP_XX,1001,{elsewhere},",
        "dev,-3.0,speaker_x_1,speaker_x,sub\\x_1.mp4,twice the video id",
        "test,+.5,7,speaker_y,../set/two.m4a,",
    )
    entries = read_labels(tmp_path / "set" / "table.csv")
    assert entries == read_labels(tmp_path)  # paths stay relative to the table, not to the folder given
    assert [entry.clip_id for entry in entries] == ["1001_HAP_XX", "speaker_x_1", "speaker_y_7"]
    assert [entry.label for entry in entries] == [None, -3.0, 0.5]
    assert entries[0].path == elsewhere
    assert all(entry.path.is_file() and entry.path.is_absolute() for entry in entries)


@pytest.mark.parametrize(
    "label",
    ["nan", "NaN", "inf", "-inf", "positive", "3.01", "-3.2", "1e9", "2,4", "1_0", "--1", "0x1", "٣"],
)
@pytest.mark.parametrize("layout", ["course", "mmsa", "cmu", "csv"])
def test_labels_that_are_no_sentiment(tmp_path, layout, label):
    quoted = f'"{label}"'
    lines = {
        "course": (COURSE, "v_1,0,train", f"v_2,{quoted},train"),
        "mmsa": (MMSA, "v,1,t,0,,,,,train", f"v,2,t,{quoted},,,,,train"),
        "cmu": ("0,1,_dI--eQ6qVU,0,0", "0,1,_dI--eQ6qVU,1,0", f"0,1,_dI--eQ6qVU,2,{quoted}"),
        "csv": (CSV, "a.mp4,v,1,,train", f"b.mp4,v,2,{quoted},train"),
    }
    message = refusal(write(tmp_path, "labels.csv", *lines[layout]), layout)
    assert f"labels.csv row 3: label '{label}'" in message


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ((COURSE, "v_1,,train"), "row 2: label is blank"),
        ((COURSE, "v_1,0,eval"), "row 2: split 'eval' is none of train, valid, val, dev,"),
        ((COURSE, "v_1,0,"), "row 2: split '' is none of"),
        ((COURSE, "v_1,0,train", "", "v_1.mp4,1,train"), "row 4: clip v_1 is already in {} row 2"),
        ((COURSE, "v_1,0,train", "", "v_2,0,test"), "row 4: video v is test here, train in {} row 2"),
        ((COURSE, "v_1,oh, well,0,train"), "row 2: it has 5 cells and needs 3"),
        ((COURSE, "v_1,0"), "row 2: it has 2 cells and needs 3"),
        ((COURSE, 'v_1,0,"train', "v_2,0,train"), "labels.csv is malformed near line 3"),
        ((COURSE,), "labels.csv has a header and no clips"),
        ((), "labels.csv is empty"),
        ((MMSA, "v,1,t,,,,,,train"), "row 2: label is blank"),
        ((MMSA, ",1,t,0,,,,,train"), "row 2: video id is blank"),
        ((MMSA, "v,,t,0,,,,,train"), "row 2: clip id is blank"),
        (("id,text,label,mode", "v,t,0,train"), "row 2: clip 'v' names no video"),
        (("0,1,_dI--eQ6qVU,0,0", "0,1,_dI--eQ6qVU,1,"), "row 2: label is blank"),
        (("0,1,_dI--eQ6qVU,0,0", "0,1,unheard,1,0"), "row 2: video unheard is in no split"),
        ((CSV, ",v,1,0,train"), "row 2: path is blank"),
        ((CSV, "a.mp4,v,1,,"), "row 2: split ''"),
        ((CSV, "a.mp4,a,b_1,,train", "b.mp4,a_b,1,,train"), "row 3: clip a_b_1 is already in {} row 2"),
        (("path,video_id,label,split", "a.mp4,v,0,train"), "has no column clip_id among 'path'"),
        (("path,path,video_id,clip_id,label,split", "a,b,v,1,0,train"), "has more than one column path"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_right(tmp_path, lines, problem):
    assert problem.format("labels.csv") in refusal(write(tmp_path, "labels.csv", *lines))


def test_many_problems_make_one_line(tmp_path):
    """One example of each kind, and how many there are."""
    rows = [f"v_{i},x{i},train" for i in range(8)] + [
        "w_1,0,exam",
        "w_2,4,train",
        "w_3,5,train",
        "v_9,0,test",
    ]
    message = refusal(write(tmp_path, "labels.csv", COURSE, "v_99,0,train", *rows, '"two\nlines_",0,train'))
    assert "labels.csv row 3: label 'x0' is not a number (such as -0.8) (and 7 more such rows)" in message
    assert "row 4" not in message
    assert "row 11: split 'exam' is none of" in message
    assert "row 12: label '4' is outside [-3, 3] (and 1 more such rows)" in message
    assert "row 15: clip 'two\\nlines_' names no video" in message
    assert "row 14: video v is test here, train in labels.csv row 2" in message
    assert "row 2" in refusal(write(tmp_path, "labels.csv", COURSE, '"two\nlines",0,train', "v_1,0,train"))


def test_missing_media_are_counted_and_the_first_is_named(tmp_path):
    touch(tmp_path, "clips/v_1.mp4", "clips/v_3.txt", "clips/v_2.avi")
    labels = write(tmp_path, "labels.csv", COURSE, "v_1,0,train", "v_2.mp4,0,train", "v_3,0,train")
    message = refusal(labels, check_files=True)
    assert "2 of 3 clips have no media file, the first is v_2 (labels.csv row 3;" in message
    labels = write(tmp_path, "labels.csv", CSV, "clips/v_1.mp4,v,1,0,train", "clips,v,2,0,train")
    message = refusal(labels, check_files=True)
    assert "1 of 2 clips have no media file, the first is v_2 (labels.csv row 3;" in message


def test_two_files_for_one_clip_or_one_file_for_two(tmp_path):
    touch(tmp_path, "x/a_1.mp4", "x/a_1.avi", "a/1.mkv", "y/b_1.mp4", "z/b_1.mp4")
    labels = write(tmp_path, "labels.csv", COURSE, "a_1.mp4,0,train", "y/b_1,0,test")
    assert relative_paths(read_labels(labels), tmp_path) == ["x/a_1.mp4", "y/b_1.mp4"]
    labels = write(tmp_path, "labels.csv", COURSE, "x/a_1,0,train", "b_1,0,test")
    message = refusal(labels, check_files=True)
    assert "row 2: x/a_1.avi and x/a_1.mp4 both fit clip a_1, keep one (and 1 more such rows)" in message
    touch(tmp_path, "w/b_1.mp4")  # a third one
    labels = write(tmp_path, "labels.csv", COURSE, "b_1,0,test")
    assert "row 2: w/b_1.mp4 and y/b_1.mp4 both fit clip b_1" in refusal(labels, check_files=True)
    labels = write(
        tmp_path, "labels.csv", "video_id,file,label,split", "p,a/1.mkv,0,train", "q,a/1.mkv,0,train"
    )
    assert "row 3: a/1.mkv is already the file of labels.csv row 2" in refusal(labels, check_files=True)


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "store/v_1.mp4")
    labels = write(tmp_path, "set/labels.csv", COURSE, "v_1,0,train")
    (tmp_path / "set" / "clips").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "again").symlink_to(tmp_path / "set")
    assert relative_paths(read_labels(labels), tmp_path) == ["set/clips/v_1.mp4"]


def test_rows_and_missing_files_are_reported_together(tmp_path):
    touch(tmp_path, "a_1.mp4", "b_1.mp4")
    rows = (COURSE, "a_1,9,train", "b_1,1,test", "b_1,1,test", "y_9,1,valid", "z_9,1,train")
    message = refusal(write(tmp_path, "labels.csv", *rows), check_files=True)
    assert "row 2: label '9' is outside" in message and "clip b_1 is already in labels.csv row 3" in message
    assert "row 5: clip y_9 has no media file" in message and "(and 1 more such rows)" in message


def test_labels_may_be_names_of_classes(tmp_path):
    rows = ["a.wav,sp1,1,happy,train", "b.wav,sp1,2,sad,train", "c.wav,sp2,1,,test"]
    entries = read_labels(write(tmp_path, "labels.csv", CSV, *rows), check_files=False)
    assert [entry.class_name for entry in entries] == ["happy", "sad", ""]
    assert [entry.label for entry in entries] == [None] * 3 and entries[0].video_id == "sp1"


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("happy", "Happy", "sad"), "label 'Happy' here, 'happy' in labels.csv row 2: write it one way"),
        (("happy", "sad", "1.2"), "label 'happy' is not a number"),
        (("happy", "happy", "happy"), "label 'happy' is not a number"),
        (("x" * 41, "sad", "sad"), "is not a number"),
        (("happy", "nan", "sad"), "is not a number"),
    ],
)
def test_names_that_cannot_be_classes(tmp_path, labels, told):
    rows = [f"{n}.wav,v,{n},{label},train" for n, label in enumerate(labels)]
    assert told in refusal(write(tmp_path, "labels.csv", CSV, *rows))
