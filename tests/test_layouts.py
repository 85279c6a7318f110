"""Label files as text: writings of one table, column names, what is no label file, where it is found."""

import zipfile
from pathlib import Path

import pytest

from preprocessing.errors import UserError
from preprocessing.sets.labels import read_labels

COURSE = "clip,label,split"


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def refusal(labels: Path, layout: str = "auto", columns=None) -> str:
    with pytest.raises(UserError) as caught:
        read_labels(labels, layout, columns, check_files=False)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("header", ["Clip,Sentiment,Subset", " File Name ;Annotation Value; MODE"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_course_writings_of_one_table(tmp_path, header, ending, encoding):
    mark = ";" if ";" in header else ","
    rows = [
        header,
        f' "x_1.mp4"{mark} -0.8 {mark}Train ',
        "",
        f"y_2.mp4{mark}3{mark}dev{mark}",
        mark * 2,
    ]
    (tmp_path / "labels.csv").write_bytes(ending.join(rows).encode(encoding))
    found = read_labels(tmp_path, check_files=False)
    assert [(e.clip_id, e.label, e.split) for e in found] == [
        ("x_1", -0.8, "train"),
        ("y_2", 3.0, "valid"),
    ]
    assert [e.row for e in found] == ["labels.csv row 2", "labels.csv row 4"]
    assert [e.path for e in found] == [tmp_path / "x_1.mp4", tmp_path / "y_2.mp4"]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("name\tscore\tset", {}),
        ("clip_name\tlabel\tpartition", {}),
        ("Segment\tLabel\tfold", {"clip": ""}),
        ("was\twie\two", {"clip": "was", "label": "wie", "split": "wo"}),
        ("Was\tlabel\tset", {"clip": " was"}),
        ("label\tclip\tset", {"clip": "label", "label": "clip"}),
        ("Clip\tclip\tset", {"clip": "Clip", "label": "clip"}),
        ("video\tvalue\tsubset", {}),
        ("name\tlabels\tdata split\t\t", {}),
    ],
)
def test_course_columns_by_alias_or_setting(tmp_path, header, columns):
    write(tmp_path, "labels.tsv", header, "v_1\t1.5\ttest")
    (entry,) = read_labels(tmp_path, "auto", columns, check_files=False)
    assert (entry.clip_id, entry.label, entry.split) == ("v_1", 1.5, "test")


@pytest.mark.parametrize(
    ("header", "columns", "needles"),
    [
        (
            "was,wie,wo",
            {},
            ("'was', 'wie', 'wo'", "labels_columns.clip=NAME", "labels_columns.split=NAME"),
        ),
        ("clip,mood,split", {}, ("label", "'mood'", "labels_columns.label=NAME")),
        ("file,segment,label,split", {}, ("'file', 'segment'", "labels_columns.clip=NAME")),
        ("clip,label,set,mode", {}, ("'set', 'mode'", "labels_columns.split=NAME")),
        ("clip,label,split", {"clip": "Datei"}, ("labels_columns.clip=Datei", "no column", "'clip'")),
        ("clip,label,split", {"text": "clip"}, ("'text'", "clip, label, split, video")),
        ("clip,label,label,split", {}, ("labels_columns.label=NAME",)),
        ("justonecolumn", {}, ("'justonecolumn'",)),
    ],
)
def test_course_unknown_header_names_the_setting(tmp_path, header, columns, needles):
    message = refusal(write(tmp_path, "labels.csv", header, "v_1,1,train,x"), columns=columns)
    assert all(needle in message for needle in needles), message


def test_files_that_are_no_label_file(tmp_path):
    book = tmp_path / "labels.csv"
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    assert "Excel workbook" in refusal(book)
    for raw, needle in (
        (b"\xd0\xcf\x11\xe0old", "Excel workbook"),
        (b"clip,\xe9", "UTF-8"),
        (b"a\0b", "zero"),
    ):
        book.write_bytes(raw)
        assert needle in refusal(book)
    for name in ("MOSI.zip", "labels.csv"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("MOSI/labels.csv", COURSE)
        assert f"python -m preprocessing.fetch --url {tmp_path / name} --out DIR" in refusal(tmp_path / name)
    assert "labels=FILE" in refusal(tmp_path / "absent.csv")


def test_label_file_in_a_folder(tmp_path):
    assert "no labels.csv" in refusal(tmp_path)
    write(tmp_path, "a/any.csv", COURSE, "v_1,0,train")
    write(tmp_path, "a/._any.csv", "the hidden twin that archives made on a Mac hold")
    write(tmp_path, "a/folds.csv", "video_id,split")
    assert len(read_labels(tmp_path, check_files=False)) == 1
    write(tmp_path, "a/other.csv", "x")
    assert "a/any.csv, a/other.csv" in refusal(tmp_path)
    write(tmp_path, "MOSI/Labels.csv", COURSE, "v_1,0,train", "v_2,0,train")
    assert len(read_labels(tmp_path, check_files=False)) == 2


def test_id_and_mode_beside_a_video_id_are_no_mmsa(tmp_path):
    labels = write(tmp_path, "labels.csv", "video_id,id,label,mode", "v,1,0,train")
    assert read_labels(labels, check_files=False)[0].clip_id == "v_1"


def test_layout_setting(tmp_path):
    labels = write(tmp_path, "labels.csv", COURSE, "v_1,0,train")
    assert "auto, course, mmsa, cmu, csv" in refusal(labels, "mosei")
    assert "needs the columns video_id, clip_id, label, mode" in refusal(labels, "mmsa")
    assert "layout=course only" in refusal(labels, "csv", {"clip": "clip"})
    assert "it has 3 cells and needs 5" in refusal(labels, "cmu")


def test_an_excel_export_is_read_at_once(tmp_path):
    """A line `sep=`, decimal commas, long names of splits, the speaker as the video."""
    lines = (
        "sep=;",
        "clip;Speaker;label;subset",
        "1;Ann;0,5;Training",
        "2;Ann;-1,25;Training",
        "1;Bo;3;Testing",
    )
    labels = write(tmp_path, "labels.csv", *lines)
    found = read_labels(labels, check_files=False)
    assert [(e.clip_id, e.label, e.split, e.row) for e in found] == [
        ("Ann_1", 0.5, "train", "labels.csv row 3"),
        ("Ann_2", -1.25, "train", "labels.csv row 4"),
        ("Bo_1", 3.0, "test", "labels.csv row 5"),
    ]


def test_decimal_points_and_commas_in_one_column_are_refused(tmp_path):
    labels = write(tmp_path, "labels.csv", "clip;label;split", "v_1;1,234;train", "v_2;0.5;train")
    assert "row 2: label '1,234' is not a number" in refusal(labels)


@pytest.mark.parametrize(
    "content",
    [
        b",,,\n,,\n",
        b'"",""\n',
        b"clip," + b"x" * 200_000 + b",split\nv_1,0,train\n",
        b"PK\x05\x06" + b"\0\0\1\0" + b"\0" * 14,
        b"\xff\xfea",
        b"sep=;\n",
    ],
    ids=["commas", "quotes", "long header", "broken zip end", "half a letter", "sep alone"],
)
def test_odd_files_get_one_line(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    assert refusal(path)


def test_a_long_name_in_a_table_is_a_missing_file(tmp_path):
    labels = write(
        tmp_path, "labels.csv", "path,video_id,clip_id,label,split", f"{'x' * 300}.mp4,v,1,0,train"
    )
    with pytest.raises(UserError, match="have no media file"):
        read_labels(labels)
