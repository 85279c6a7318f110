"""Names of files as different systems write them."""

import unicodedata
from pathlib import Path

import pytest

from mosi_e2e.predict.inputs import is_video
from preprocessing.errors import UserError
from preprocessing.openface.table import find_openface_csv
from preprocessing.sets.labels import read_labels
from preprocessing.sets.media_files import MEDIA_EXTENSIONS, find_file

STORED = ("NFD", "NFC")
MMSA = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"


def decompose(name: str, form: str = "NFD") -> str:
    return unicodedata.normalize(form, name)


def write_set(folder: Path, layout: str, label_form: str, file_form: str) -> Path:
    """One clip `1` of the video `Müller`; returns its file."""
    label, file = decompose("Müller", label_form), decompose("Müller", file_form)
    table, row, path = {
        "course": ("clip,label,subset\n", f"{label}_1,0.5,train", f"clips/{file}_1.mp4"),
        "mmsa": (MMSA, f"{label},1,x,0.5,,,,,train", f"Raw/{file}/1.mp4"),
        "cmu": ("", f"0,1,{label},1,0.5", f"Segmented/{file}_1.mp4"),
        "csv": ("path,video_id,clip_id,label,split\n", f"{label}/1.mp4,{label},1,0.5,train", f"{file}/1.mp4"),
    }[layout]
    (folder / "labels.csv").write_text(table + row + "\n", encoding="utf-8")
    if layout == "cmu":
        (folder / "folds.csv").write_text(f"video_id,split\n{file},train\n", encoding="utf-8")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).touch()
    return folder / path


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")], ids="-".join)
@pytest.mark.parametrize("layout", ["course", "mmsa", "cmu", "csv"])
def test_a_name_is_found_however_its_accents_are_stored(tmp_path, layout, forms):
    path = write_set(tmp_path, layout, *forms)
    (entry,) = read_labels(tmp_path)
    assert entry.path == path
    assert (entry.video_id, entry.clip_id) == ("Müller", "Müller_1")


@pytest.mark.parametrize("layout", ["course", "mmsa", "cmu", "csv"])
def test_two_files_that_look_the_same_are_refused(tmp_path, layout):
    label_form = "NFC"
    if layout == "csv":  # a path is taken as it is written, if it is there
        label_form, first, second = "NFC", "u\u0308\u0323", "\u1ee5\u0308"
        for name in (first, second):
            (tmp_path / name).mkdir()
            (tmp_path / name / "1.mp4").touch()
        assert find_file(tmp_path / first / "1.mp4") == tmp_path / first / "1.mp4"
        with pytest.raises(UserError, match="only their accents are stored differently: keep one"):
            find_file(tmp_path / "u\u0323\u0308" / "1.mp4")
        return
    for form in STORED:
        write_set(tmp_path, layout, label_form, form)
    with pytest.raises(UserError, match=r"only their accents are stored differently\) both fit") as caught:
        read_labels(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_label_written_in_two_forms_is_a_duplicate(tmp_path):
    write_set(tmp_path, "course", "NFC", "NFD")
    with (tmp_path / "labels.csv").open("a", encoding="utf-8") as file:
        file.write(f"{decompose('Müller')}_1,0.5,train\n")
    with pytest.raises(UserError, match=r"is already in labels\.csv row 2"):
        read_labels(tmp_path)


def test_an_openface_csv_is_found_however_its_accents_are_stored(tmp_path):
    path = tmp_path / f"{decompose('Müller')}_1.csv"
    path.touch()
    for clip_id in ("Müller_1", decompose("Müller_1")):
        assert find_openface_csv(tmp_path, clip_id, decompose("Müller_1")) == path
    (tmp_path / "Müller_1.csv.gz").touch()
    with pytest.raises(UserError, match="2 OpenFace CSVs"):
        find_openface_csv(tmp_path, "Müller_1", "Müller_1")


def test_the_course_set_of_a_mac(shared):
    (entry,) = read_labels(shared / "data" / "faults" / "nfd_course")
    assert entry.path.is_file() and entry.clip_id == "Müller_1"


@pytest.mark.parametrize("ending", sorted(MEDIA_EXTENSIONS))
def test_what_is_a_video_in_a_folder_is_a_clip_of_a_set(tmp_path, ending):
    (tmp_path / "labels.csv").write_text("clip,label,subset\na_1,0.5,train\n")
    path = tmp_path / f"a_1{ending.upper()}"
    path.touch()
    assert is_video(path) and read_labels(tmp_path)[0].path == path


def test_the_endings_that_cameras_and_phones_write_are_known():
    assert {".3gp", ".mts", ".m2ts", ".ts", ".ogv", ".mp4", ".mov", ".wmv", ".vob"} <= MEDIA_EXTENSIONS
