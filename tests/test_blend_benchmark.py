"""The benchmark that blends two models of classes."""

import pandas as pd
import pytest
from kit.typed_commands import ROOT, load_module


@pytest.fixture(scope="module")
def blend():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))  # as `python benchmarks/blend.py` has it
        return load_module("benchmarks/blend.py")


def write_run(folder, happy):
    """A run that gives its four clips these probabilities of happy; two are happy, then two sad."""
    folder.mkdir()
    table = pd.DataFrame(
        {"clip_id": list("abcd"), "video_id": list("abcd"), "label": ["happy"] * 2 + ["sad"] * 2}
    )
    table = table.assign(p_happy=happy, p_sad=[1 - one for one in happy])
    for split in ("valid", "test"):
        table.to_csv(folder / f"predictions_{split}.csv", index=False)
    return str(folder)


def test_two_runs_that_err_on_different_clips_are_better_together(blend, tmp_path, capsys):
    one, other = (
        write_run(tmp_path / "one", [0.9, 0.4, 0.1, 0.1]),
        write_run(tmp_path / "two", [0.9, 0.9, 0.1, 0.6]),
    )
    assert blend.main([one, other, "--out", str(tmp_path / "rows.json")]) == 0
    rows = pd.read_json(tmp_path / "rows.json")
    test = rows[rows.split == "test"].set_index("share")
    assert test.acc[0] == test.acc[1] == 0.75 and len(test) == 3
    best = test.drop([0, 1]).iloc[0]
    assert best.acc == 1 and best.nll == rows[rows.split == "valid"].nll.min()
    assert len(capsys.readouterr().out.splitlines()) == 14


def test_other_clips_are_an_error(blend, tmp_path, capsys):
    one, other = write_run(tmp_path / "one", [0.5] * 4), write_run(tmp_path / "two", [0.5] * 4)
    path = tmp_path / "two" / "predictions_valid.csv"
    path.write_text(path.read_text().replace("a,a", "z,a"))
    assert blend.main([one, other]) == 2
    assert "the same clips" in capsys.readouterr().err
    path.unlink()
    assert blend.main([one, other]) == 2
    assert "--split valid" in capsys.readouterr().err
