"""The command `python -m preprocessing`: what cannot work is reported before the first clip."""

import pytest
from kit.made_set import LABELS, write_labels

from preprocessing.__main__ import main


@pytest.fixture
def raw(tmp_path):
    """Labels, and files in which nothing is looked for."""
    write_labels(tmp_path, *LABELS)
    for clip_id, _, _ in LABELS:
        (tmp_path / f"{clip_id}.mp4").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("track.rate=0", "track.rate must be above 0"),
        ("faces.size=-1", "faces.size must be above 0"),
        ("timeout_s=nan", "timeout_s is a number and finite"),
        ("timeout_s=0", "timeout_s must be above 0"),
        ("track.max_faces=0", "track.max_faces"),
        ("faces.rate=20", "type track.rate=20"),
        ("faces.quality=101", "type faces.quality=92"),
        ("workers=-1", "type workers=0"),
        ("executor=dask", "processes, ray"),
        ("behaviour.backend=openfase", "mediapipe, openface, openface_csv"),
        ("acoustics.feature_set=egemaps", "type acoustics.feature_set=eGeMAPSv02"),
        ("track.model=nowhere.task", "nowhere.task"),
        ("labels=nowhere", "nowhere"),
        ("facess.size=96", "did you mean 'faces"),
    ],
)
def test_what_cannot_work_is_told_before_the_first_clip(raw, tmp_path, capsys, setting, named):
    assert main([f"labels={raw}", f"out={tmp_path / 'cache'}", setting]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "Traceback" not in said
    assert named in said
    assert not (tmp_path / "cache").exists()


def test_unknown_openface_columns_are_told_before_the_first_clip(raw, tmp_path, capsys):
    groups = ["behaviour.backend=openface_csv", "behaviour.openface.groups=[aus]"]
    assert main([f"labels={raw}", f"out={tmp_path / 'cache'}", *groups]) == 2
    assert "got aus" in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "example: python -m preprocessing --config" in capsys.readouterr().out
