"""Reading OpenFace CSVs: 20 real ones, real oddities, and what must be refused."""

import csv
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from preprocessing.config import OpenFaceConfig
from preprocessing.errors import UserError
from preprocessing.openface.columns import GROUPS, describe_columns
from preprocessing.openface.table import (
    OpenFaceError,
    behaviour_from_openface,
    check_frame_count,
    find_openface_csv,
    read_openface_csv,
)
from preprocessing.settings import load_config

CONFIG = OpenFaceConfig()
POSE = OpenFaceConfig(groups=["pose"])
HEADER = "frame,face_id,timestamp,confidence,success,pose_Tx,pose_Ty,pose_Tz,pose_Rx,pose_Ry,pose_Rz"
ROW = "{},0,0.000,0.98,1,1.0,2.0,3.0,0.1,0.2,0.3"


def read_frame_times(clip: Path) -> np.ndarray:
    """Seconds of each shown frame, from the decoder (an edit list cuts off what is before 0)."""
    decord = pytest.importorskip("decord")
    reader = decord.VideoReader(str(clip))
    times = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0].astype(np.float64)  # [N]
    return times[times >= 0]


def find_clip(shared: Path, stem: str) -> Path:
    [clip] = [path for path in (shared / "data/clips").glob("*/*") if path.stem == stem]
    return clip


def write_csv(path: Path, frames, header: str = HEADER, row: str = ROW) -> Path:
    path.write_text("\n".join([header, *(row.format(frame) for frame in frames)]) + "\n")
    return path


def test_every_real_csv_fits_the_decoder(shared):
    """20 real clips: as many rows as frames (one less for one), and plausible where they are valid."""
    paths = sorted((shared / "data/openface").glob("*.csv.gz"))
    assert len(paths) == 20
    for path in paths:
        stem = path.name.removesuffix(".csv.gz")
        times = read_frame_times(find_clip(shared, stem))
        table = read_openface_csv(path, CONFIG)
        arrays = behaviour_from_openface(table, times, CONFIG)

        assert len(times) - len(table.frame) == (stem.startswith("ravdess")), stem
        assert {key: (value.dtype, len(value)) for key, value in arrays.items()} == {
            "behaviour": (np.float32, len(times)),
            "behaviour_time": (np.float64, len(times)),
            "behaviour_valid": (bool, len(times)),
            "behaviour_confidence": (np.float32, len(times)),
        }
        shown = dict(zip(table.columns, arrays["behaviour"][arrays["behaviour_valid"]].T, strict=True))
        faces = {"pyfeat_no_face": 0, "pyfeat_face_noface": 78}.get(stem, len(table.frame))
        assert len(shown["pose_Tz"]) == faces, stem
        if faces:
            assert shown["pose_Tz"].min() > 200, stem  # mm from the camera
            assert shown["pose_Tz"].max() < 1300, stem
            assert np.abs(shown["pose_Ry"]).max() < np.pi / 2, stem
            assert all(v.min() >= 0 and v.max() <= 5 for k, v in shown.items() if k.endswith("_r")), stem
            assert all(set(np.unique(v)) <= {0, 1} for k, v in shown.items() if k.endswith("_c")), stem
        assert not arrays["behaviour"][~arrays["behaviour_valid"]].any(), stem


def test_failed_frames_are_masked_and_their_numbers_are_gone(shared):
    table = read_openface_csv(shared / "data/openface/pyfeat_face_noface.csv.gz", CONFIG)
    assert np.abs(table.values[~table.success]).max() > 1000  # the numbers that must not be taken for data
    arrays = behaviour_from_openface(table, np.arange(169) / 25, CONFIG)
    np.testing.assert_array_equal(arrays["behaviour_valid"], table.success)
    assert np.abs(arrays["behaviour"]).max() < 1000


def test_every_group_is_read_by_its_exact_name(shared):
    path = shared / "data/openface/variants/one_frame.all.csv.gz"
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    config = OpenFaceConfig(groups=list(GROUPS))
    table = read_openface_csv(path, config)
    assert table.columns == tuple(describe_columns(config.groups))
    assert len(table.columns) == 8 + 6 + 17 + 18 + 136 + 204 + 40
    expected = [[float(row[name]) for name in table.columns] for row in rows]
    np.testing.assert_allclose(table.values, expected, rtol=1e-6)
    assert describe_columns(["landmarks_2d"])["x_0"] == "px"
    assert describe_columns(["landmarks_3d"])["X_0"] == "mm"


def test_form_2_0_with_spaces_reads_the_same(shared, tmp_path):
    path = shared / "data/openface/retalking_face_3.csv.gz"
    spaced = tmp_path / "spaced.csv"
    spaced.write_text(gzip.decompress(path.read_bytes()).decode().replace(",", ", "))
    np.testing.assert_array_equal(
        read_openface_csv(spaced, CONFIG).values, read_openface_csv(path, CONFIG).values
    )


@pytest.mark.parametrize(("group", "tolerance"), [("gaze", 0.01), ("pose", 0.5), ("au_r", 0.2)])
def test_versions_2_0_and_2_2_agree_on_one_clip(shared, group, tolerance):
    """The numbers differ a little between the versions: columns taken by position would be far off."""
    config = OpenFaceConfig(groups=[group])
    new = read_openface_csv(shared / "data/openface/retalking_face_3.csv.gz", config)
    variants = shared / "data/openface/variants"
    old = read_openface_csv(variants / "retalking_face_3.of206_leading_spaces.csv.gz", config)
    assert old.columns == new.columns
    np.testing.assert_array_equal(old.success, new.success)
    np.testing.assert_allclose(old.values, new.values, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "groups", "refused"),
    [
        ("cremad_ANG.pose_only", ["pose"], None),
        (
            "cremad_ANG.pose_only",
            ["pose", "au_r"],
            "lacks the columns AU01_r, AU02_r, AU04_r, AU05_r and 13 more",
        ),
        ("cremad_ANG.simalign_only", ["pose"], "lacks the columns pose_Tx"),
        ("one_frame.all", list(GROUPS), None),
        ("pyfeat_no_face.of206.aus_pose", ["au_r", "au_c", "pose"], None),
        ("pyfeat_no_face.of206.aus_pose", ["gaze"], "lacks the columns gaze_0_x"),
        ("retalking_face_3.fdir30.aus", ["au_r", "au_c"], None),
        ("multi_face.truncated_avi.pose_only", ["pose"], None),
    ],
)
def test_real_variants(shared, name, groups, refused):
    path = shared / "data/openface/variants" / f"{name}.csv.gz"
    config = OpenFaceConfig(groups=groups)
    if refused:
        with pytest.raises(OpenFaceError, match=refused):
            read_openface_csv(path, config)
    else:
        assert len(read_openface_csv(path, config).frame) >= 1


@pytest.mark.parametrize(
    ("name", "clip", "n_rows", "n_frames"),
    [
        ("multi_face.truncated_avi.pose_only", "openface_multi_face", 38, 702),
        ("retalking_face_3.fdir30.aus", "retalking_face_3", 30, 125),
    ],
)
def test_rows_of_a_part_of_the_clip_are_refused_with_both_numbers(shared, name, clip, n_rows, n_frames):
    groups = [name.rsplit(".", 1)[1].replace("_only", "").replace("aus", "au_r")]
    config = OpenFaceConfig(groups=groups)
    table = read_openface_csv(shared / "data/openface/variants" / f"{name}.csv.gz", config)
    times = read_frame_times(find_clip(shared, clip))
    with pytest.raises(OpenFaceError, match=f"{n_rows} rows, the decoder found {n_frames} frames"):
        behaviour_from_openface(table, times, config)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("", "lacks the columns frame"),
        (HEADER + "\n", "no row"),
        (
            f"{HEADER}\n{ROW.format(1)}\n{ROW.format(2)[:-4]}\n",
            "row 2 has 10 of 11 values and a line end",
        ),
        (
            f"{HEADER}\n{ROW.format(1)}\n{ROW.format(2)[:-1]}",
            "row 2 has 11 of 11 values and no line end",
        ),
        (f"{HEADER}\n{ROW.format(1).replace('2.0', 'two')}\n", "not a number .*'two'"),
        (f"{HEADER}\n{ROW.format(1).replace('2.0', '')}\n", "not a number"),
        (f"{HEADER}\n{ROW.format(1)}\n{ROW.format(1)}\n", "number its frames upwards"),
        (f"{HEADER}\n{ROW.format(0)}\n", "number its frames upwards from 1"),
        (f"{HEADER}\n{ROW.format(1.5)}\n", "number its frames"),
        (f"{HEADER}\n{ROW.format('nan')}\n", "number its frames"),
        (f"{HEADER}\n{ROW.format(1)}\n{ROW.format(1).replace(',0,', ',1,', 1)}\n", "several faces"),
        (f"{HEADER}\n{ROW.format(1).replace('0.98,1', '0.98,2')}\n", "neither 0 nor 1"),
        (f"{HEADER},pose_Tx\n{ROW.format(1)},1\n", "names a column twice"),
        (f"{HEADER.replace('success', 'Success')}\n{ROW.format(1)}\n", "lacks the columns success"),
    ],
)
def test_what_is_not_a_whole_csv_is_refused(tmp_path, text, refused):
    path = tmp_path / "clip.csv"
    path.write_text(text)
    with pytest.raises(OpenFaceError, match=refused) as caught:
        read_openface_csv(path, POSE)
    assert "clip.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files_are_refused(tmp_path):
    whole = gzip.compress(write_csv(tmp_path / "whole.csv", range(1, 400)).read_bytes())
    for name, content in {
        "half.csv.gz": whole[:-20],
        "no.csv.gz": b"frame,x\n",
        "image.csv": b"\xff\xd8\xff\xe0",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OpenFaceError, match="cannot be read as text"):
            read_openface_csv(tmp_path / name, POSE)
    with pytest.raises(OpenFaceError, match="cannot be read as text"):
        read_openface_csv(tmp_path / "absent.csv", POSE)


def test_columns_in_another_order_windows_line_ends_and_a_byte_order_mark(tmp_path):
    names, numbers = HEADER.split(","), ROW.format(1).split(",")
    order = [10, 3, 5, 0, 1, 4, 9, 2, 8, 7, 6]
    text = "\r\n".join([",".join(names[i] for i in order), ",".join(numbers[i] for i in order), ""])
    path = tmp_path / "clip.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    table = read_openface_csv(path, POSE)
    assert table.columns == ("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz")
    np.testing.assert_allclose(table.values, [[1.0, 2.0, 3.0, 0.1, 0.2, 0.3]])


def test_config_can_be_loaded_and_names_unknown_groups(tmp_path):
    merged = load_config(OpenFaceConfig, None, ["groups=[pose, faces]"])
    with pytest.raises(UserError, match=r"gaze_angle, gaze, pose, .* got faces"):
        read_openface_csv(tmp_path / "clip.csv", merged)
    with pytest.raises(UserError, match="got none"):
        describe_columns([])
    assert list(describe_columns(["gaze_angle", "gaze"])).count("gaze_angle_x") == 1
    assert len(describe_columns(CONFIG.groups)) == 43


def test_rows_go_to_their_frames_and_missing_frames_stay(tmp_path):
    frames = [1, 2, 4, 5, 6, 7, 8, 9, 10]  # 3 is missing
    path = write_csv(tmp_path / "clip.csv", frames, row="{0},0,0,0.98,1,{0},2,3,4,5,6")
    times = np.array([0.0, 0.03, 0.11, 0.2, 0.21, 0.3, 0.5, 0.6, 0.61, 0.9])  # a variable rate
    arrays = behaviour_from_openface(read_openface_csv(path, POSE), times, POSE)
    np.testing.assert_array_equal(arrays["behaviour"][:, 0], [1, 2, 0, 4, 5, 6, 7, 8, 9, 10])
    np.testing.assert_array_equal(arrays["behaviour_time"], times)
    np.testing.assert_array_equal(arrays["behaviour_valid"], [True, True, False, *[True] * 7])
    np.testing.assert_array_equal(arrays["behaviour_confidence"][1:4], np.float32([0.98, 0, 0.98]))


def test_success_needs_confidence_and_finite_values(tmp_path):
    rows = ["1,0,0,0.02,1,9,9,9,9,9,9", "2,0,0,0.98,0,9,9,9,9,9,9", "3,0,0,0.98,1,9,nan,9,9,9,9"]
    rows += ["4,0,0,0.75,1,9,9,9,9,9,9", "5,0,0,nan,1,9,9,9,9,9,9"]
    path = tmp_path / "clip.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    arrays = behaviour_from_openface(read_openface_csv(path, POSE), np.arange(5.0), POSE)
    np.testing.assert_array_equal(arrays["behaviour_valid"], [False, False, False, True, False])
    np.testing.assert_array_equal(arrays["behaviour"][:, 0], [0, 0, 0, 9, 0])
    assert all(np.isfinite(array).all() for array in arrays.values())
    loose = replace(POSE, min_confidence=0.02)
    assert behaviour_from_openface(read_openface_csv(path, POSE), np.arange(5.0), loose)["behaviour_valid"][0]


@pytest.mark.parametrize(
    ("n_frames", "refused"), [(89, "90 rows up to 90, .* 89 frames"), (100, ""), (101, "101 frames")]
)
def test_frame_counts_must_match(tmp_path, n_frames, refused):
    table = read_openface_csv(write_csv(tmp_path / "clip.csv", range(1, 91)), POSE)
    if not refused:
        check_frame_count(table, n_frames, 0.1)
        return
    with pytest.raises(OpenFaceError, match=refused):
        check_frame_count(table, n_frames, 0.1)


def test_find_csv_by_clip_id_or_stem(tmp_path):
    (tmp_path / "vid_eo").mkdir()
    for name in ("vid_eo_1.csv", "my clip.csv.gz", "vid_eo/3.csv", "4.csv"):
        (tmp_path / name).touch()
    assert find_openface_csv(tmp_path, "vid_eo_1", "1") == tmp_path / "vid_eo_1.csv"
    assert find_openface_csv(str(tmp_path), "vid_eo_2", "my clip") == tmp_path / "my clip.csv.gz"
    assert find_openface_csv(tmp_path, "vid_eo_3", "3") == tmp_path / "vid_eo/3.csv"
    with pytest.raises(UserError, match=r"vid_eo_4.csv, vid_eo_4.csv.gz, vid_eo/4.csv, vid_eo/4.csv.gz"):
        find_openface_csv(tmp_path, "vid_eo_4", "4")  # 4.csv may be clip 4 of any video


def test_find_csv_refuses_two_and_no_folder(tmp_path):
    for name in ("a_1.csv", "a_1.csv.gz", "b_1.csv", "other.csv"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"2 OpenFace CSVs of clip a_1 .* a_1.csv, a_1.csv.gz"):
        find_openface_csv(tmp_path, "a_1", "a_1")
    with pytest.raises(UserError, match=r"2 OpenFace CSVs of clip b_1 .* b_1.csv, other.csv"):
        find_openface_csv(tmp_path, "b_1", "other")
    for folder in ("", tmp_path / "absent"):
        with pytest.raises(UserError, match="set `csv_dir`"):
            find_openface_csv(folder, "a_1", "a_1")
