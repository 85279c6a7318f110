"""Damaged OpenFace CSVs, and those with values that cannot be: rows within their range, or one line."""

import gzip

import numpy as np
import pytest
from kit.fuzzing import damage, seeded

from preprocessing.config import OpenFaceConfig
from preprocessing.openface.table import OpenFaceError, behaviour_from_openface, read_openface_csv

POSE, FRAMES = OpenFaceConfig(groups=["pose"]), 40
HEADER = "frame,face_id,timestamp,confidence,success,pose_Tx,pose_Ty,pose_Tz,pose_Rx,pose_Ry,pose_Rz"
ROWS = [f"{number},0,{number / 25:.3f},0.98,1,1.0,2.0,3.0,0.1,0.2,0.3" for number in range(1, FRAMES + 1)]
TEXT = "\n".join([HEADER, *ROWS]) + "\n"
TEXTS = [TEXT.encode(), TEXT.replace(",", ", ").encode()]  # versions 2.1 and 2.0
PACKED = gzip.compress(TEXTS[0], mtime=0)


def read(path) -> str:
    """The message of a refusal."""
    try:
        arrays = behaviour_from_openface(read_openface_csv(path, POSE), np.arange(float(FRAMES)), POSE)
    except OpenFaceError as error:
        return str(error)
    assert len(arrays["behaviour"]) == FRAMES and (np.abs(arrays["behaviour"]) <= 1e6).all()
    assert (np.abs(arrays["behaviour_confidence"] - 0.5) <= 0.5).all()
    return ""


@seeded(100)
def test_a_damaged_csv_is_read_or_refused_in_one_line(tmp_path, draw):
    (tmp_path / "clip.csv").write_bytes(damage(draw.choice(TEXTS), draw))
    said = read(tmp_path / "clip.csv")
    assert "\n" not in said and len(said) < 2000


@seeded(100)
def test_a_damaged_packed_csv_is_read_or_refused_in_one_line(tmp_path, draw):
    (tmp_path / "clip.csv.gz").write_bytes(damage(PACKED, draw))
    said = read(tmp_path / "clip.csv.gz")
    assert "\n" not in said and len(said) < 2000


def test_the_undamaged_csvs_are_read(tmp_path):
    for text in TEXTS:
        (tmp_path / "clip.csv").write_bytes(text)
        assert read(tmp_path / "clip.csv") == ""


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        ("2,0,0,0.98,1,9,9,1e30,9,9,9", "frame 2 .* pose_Tz 1e[+]30, which is out of range"),
        ("2,0,0,0.98,1,9,9,9,9,-2e6,9", "pose_Ry -2e[+]06"),
        ("1e30,0,0,0.98,1,9,9,9,9,9,9", "number its frames upwards"),
        ("2,0,0,1e30,1,9,9,9,9,9,9", "`confidence` outside"),
        ("2,0,0,-1,1,9,9,9,9,9,9", "`confidence` outside"),
        ("2,0,0,0.98,0,9,9,1e30,9,9,9", ""),
        ("2,0,0,0.98,1,9,9,1e39,9,9,9", ""),
    ],
)
def test_a_value_that_cannot_be_is_out_of_range(tmp_path, row, refused):
    path = tmp_path / "clip.csv"
    path.write_text("\n".join([HEADER, ROWS[0], row]) + "\n")
    if refused:
        with pytest.raises(OpenFaceError, match=refused):
            behaviour_from_openface(read_openface_csv(path, POSE), np.arange(2.0), POSE)
    else:
        arrays = behaviour_from_openface(read_openface_csv(path, POSE), np.arange(2.0), POSE)
        assert arrays["behaviour_valid"].tolist() == [True, False] and not arrays["behaviour"][1].any()
