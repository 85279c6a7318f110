"""Others' feature files become caches: rows, times, ids, rules and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from kit.made_features import ROWS, SPLITS, make_tables, write_archive, write_pickle

from mosi_e2e.train import main as train
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError
from preprocessing.import_features.__main__ import main
from preprocessing.import_features.rules import StreamRules

CLIPS = sum(SPLITS.values())


def run_import(file: Path, *arguments: str) -> ClipStore:
    out = file.parent / "cache"
    assert main([str(file), "--out", str(out), *arguments]) == 0
    return ClipStore(out)


def refusal(capsys, *arguments: object) -> str:
    assert main([str(one) for one in arguments]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: ")
    return message


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_as_mmsa_shares_it(tmp_path, protocol):
    tables = make_tables()
    store = run_import(write_pickle(tmp_path / "a.pkl", tables, protocol))
    assert store.index.split.value_counts().to_dict() == SPLITS
    assert list(store.meta["stages"]) == ["vision", "audio"]  # texts only where they are asked for
    row = store.index.set_index("clip_id").loc["-train_v1_3"]
    assert (row.video_id, row.label) == ("-train_v1", tables["train"]["regression_labels"][3])
    stored = store.read("-train_v1_3", "vision")
    np.testing.assert_array_equal(stored["vision"], tables["train"]["vision"][3].astype(np.float32))
    np.testing.assert_allclose(stored["vision_time"], (np.arange(ROWS) + 0.5) / 2.5)
    assert stored["vision_valid"].all() and row.duration_s == pytest.approx(ROWS / 2.5)
    train_rows = tables["train"]["audio"].reshape(-1, 2)
    np.testing.assert_allclose(store.stats["audio"]["mean"], train_rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(store.stats["audio"]["std"], train_rows.std(axis=0), rtol=1e-5)
    assert store.meta["imported"]["time"]["assumed"] is True


def test_an_archive_with_ids_equals_the_pickle(tmp_path):
    tables = make_tables()
    (tmp_path / "p").mkdir(), (tmp_path / "n").mkdir()
    one = run_import(write_pickle(tmp_path / "p" / "a.pkl", tables))
    other = run_import(write_archive(tmp_path / "n" / "a.npz", tables, ids=True))
    assert one.index.equals(other.index[one.index.columns])
    for stage in ("vision", "audio"):
        for key, array in one.read("-test_v1_2", stage).items():
            np.testing.assert_array_equal(array, other.read("-test_v1_2", stage)[key])


def test_without_ids_each_row_is_a_video_and_the_record_says_so(tmp_path, capsys):
    store = run_import(write_archive(tmp_path / "a.npz", make_tables()))
    assert store.index.video_id.nunique() == CLIPS
    assert "made up" in store.meta["imported"]["ids"] and "cannot be checked" in capsys.readouterr().out


def test_texts_on_request(tmp_path):
    store = run_import(write_pickle(tmp_path / "a.pkl", make_tables()), "--streams", "audio,text")
    assert list(store.meta["stages"]) == ["audio", "text"]


def test_labels_of_another_scale_are_centred(tmp_path, capsys):
    tables = make_tables()
    for table in tables.values():
        wide = np.repeat(table["regression_labels"][:, None], 3, axis=1)
        table["regression_labels"] = wide * [1, 0, 2 / 3] + [0, 0, 3]  # the last column: from 1 to 5
    file = write_pickle(tmp_path / "a.pkl", tables)
    message = refusal(capsys, file, "--out", tmp_path / "x", "--label-column", "2")
    assert "outside [-3, 3]" in message and "--neutral" in message
    store = run_import(file, "--label-column", "2", "--neutral", "3")
    expected = tables["train"]["regression_labels"][:, 2] - 3
    np.testing.assert_allclose(store.index.label[: SPLITS["train"]], expected, atol=1e-6)
    assert "counted from 0" in refusal(capsys, file, "--out", tmp_path / "x", "--label-column", "3")


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_is_cut_and_counted(tmp_path, side):
    """Aligned streams stay aligned: what is cut moves the clip's start, not one stream against another."""
    tables = make_tables()
    lost = slice(0, 2) if side == "left" else slice(ROWS - 2, ROWS)
    for table in tables.values():
        table["vision"][:, lost] = 0
        table["audio"][:, lost if side == "right" else slice(0, 1)] = 0
    store = run_import(write_pickle(tmp_path / "a.pkl", tables), "--rate", "1")
    rule = {"left": "leading_padding", "right": "trailing_padding"}[side]
    counts = store.meta["stages"]["vision"]["rules"]
    assert counts == dict.fromkeys(counts, 0) | {rule: 2 * CLIPS}
    vision, audio = store.read("-valid_v0_1", "vision"), store.read("-valid_v0_1", "audio")
    first = 1.5 if side == "left" else 0.5
    np.testing.assert_allclose(vision["vision_time"], first + np.arange(4))
    np.testing.assert_allclose(audio["audio_time"], 0.5 + np.arange(5 if side == "left" else 4))


def test_unaligned_streams_share_the_clip(tmp_path):
    tables = make_tables(lengths={"vision": 10, "audio": 4})
    tables["train"]["audio"][0, 2:] = 0
    tables["train"]["vision"][0, 5:] = 0
    store = run_import(write_pickle(tmp_path / "a.pkl", tables), "--rate", "5")
    clip = store.index.clip_id[0]
    assert store.index.duration_s[0] == 1.0 and store.index.duration_s[1] == 2.0
    np.testing.assert_allclose(store.read(clip, "vision")["vision_time"], [0.1, 0.3, 0.5, 0.7, 0.9])
    np.testing.assert_allclose(store.read(clip, "audio")["audio_time"], [0.25, 0.75])
    assert store.meta["imported"]["time"] == {
        "assumed": True,
        "rule": "unaligned: evenly over the clip",
        "rate_hz": 5.0,
        "rate_of": "vision",
    }


def test_odd_values_are_handled_by_named_rules(tmp_path, capsys):
    tables = make_tables()
    audio, vision = tables["train"]["audio"], tables["train"]["vision"]
    audio[0, 1, 0], audio[0, 2, 0], audio[1, 3, 1] = -np.inf, np.nan, 255
    audio[2, 2] = [np.nan, -np.inf]  # a row of nothing else
    vision[3, 4] = 0
    vision[4] = 0
    store = run_import(write_pickle(tmp_path / "a.pkl", tables), "--sentinel", "255")
    counts = {rule: n for rule, n in store.meta["stages"]["audio"]["rules"].items() if n}
    assert counts == {"infinite": 2, "nan": 2, "sentinel": 1, "inner_empty": 1, "imputed": 3}
    counts = {rule: n for rule, n in store.meta["stages"]["vision"]["rules"].items() if n}
    assert counts == {"inner_empty": 1, "empty_clip": 1}
    assert "sentinel 1, inner_empty 1, imputed 3" in capsys.readouterr().out

    kept = np.where(np.isfinite(audio) & (audio != 255), audio, np.nan)
    fill = np.nanmean(kept.reshape(-1, 2), axis=0)
    ids = list(store.index.clip_id)
    np.testing.assert_allclose(store.read(ids[0], "audio")["audio"][1:3, 0], fill[0], rtol=1e-5)
    np.testing.assert_allclose(store.read(ids[1], "audio")["audio"][3, 1], fill[1], rtol=1e-5)
    assert store.read(ids[2], "audio")["audio_valid"].tolist() == [True, True, False, True, True, True]
    assert store.index.vision[4] == "no_rows" and len(store.read(ids[4], "vision")["vision"]) == 0
    assert np.isfinite(store.read(ids[2], "audio")["audio"]).all()


def test_what_is_imputed_is_learned_from_train_alone(tmp_path):
    tables = make_tables()
    tables["test"]["audio"][0, 1, 0] = np.nan
    tables["test"]["audio"][1:, :, 0] = 77.0
    store = run_import(write_pickle(tmp_path / "a.pkl", tables))
    found = store.read("-test_v0_0", "audio")["audio"][1, 0]
    assert found == pytest.approx(tables["train"]["audio"][..., 0].mean(), rel=1e-5)


def test_a_sentinel_is_no_measurement_where_the_column_reaches_it():
    """A pitch that saturates at 255 is one, a loudness of -255 among values below 1 is none."""
    rules = StreamRules(2, 255.0)
    values = np.array([[255, -0.4], [240, -255], [120, -0.5], [130, -0.3]], np.float32)
    rules.look_for_sentinel(values)
    rules.learn(values)
    cleaned, valid, _ = rules.apply(values)
    assert rules.counts["sentinel"] == 1 and valid.all()
    np.testing.assert_allclose(cleaned[:, 0], values[:, 0])
    assert cleaned[1, 1] == pytest.approx(-0.4)


def test_a_clip_of_nothing_is_refused_and_the_command_fails(tmp_path, capsys):
    tables = make_tables()
    tables["test"]["vision"][3] = tables["test"]["audio"][3] = 0
    file = write_pickle(tmp_path / "a.pkl", tables)
    assert main([str(file), "--out", str(tmp_path / "cache")]) == 1
    assert "refused: -test_v1_3: no row in any stream" in capsys.readouterr().out
    assert ClipStore(tmp_path / "cache").index.vision.iloc[-1] == "refused"


def test_a_finished_import_is_not_touched_and_nothing_else_is_overwritten(tmp_path, capsys):
    file = write_pickle(tmp_path / "a.pkl", make_tables())
    run_import(file)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.*")}
    run_import(file)
    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.*")} == before
    assert "something else" in refusal(capsys, file, "--out", tmp_path / "cache", "--rate", "9")
    assert "something else" in refusal(capsys, file, "--out", tmp_path)


def test_faults_are_named(tmp_path, capsys):
    def fault(change, *arguments: str) -> str:
        tables = make_tables()
        change(tables)
        return refusal(capsys, write_pickle(tmp_path / "a.pkl", tables), "--out", tmp_path / "x", *arguments)

    def leak(tables):
        tables["test"]["id"][2] = "-train_v0$_$7"

    assert "a.pkl test row 3: video -train_v0 is test here, train in" in fault(leak)
    assert "is already in a.pkl train row 1" in fault(
        lambda t: t["train"]["id"].__setitem__(1, "-train_v0$_$0")
    )
    assert "names no video" in fault(lambda t: t["train"]["id"].__setitem__(1, "clip"))
    assert "label 'nan'" in fault(lambda t: t["valid"]["regression_labels"].__setitem__(0, np.nan))
    assert "has no labels" in fault(lambda t: t["valid"].pop("regression_labels"))
    assert "3 clips but 2 ids" in fault(lambda t: t["valid"]["id"].pop())
    assert "no train split" in fault(lambda t: t.pop("train"))
    assert "no stream 'smell'" in fault(lambda t: None, "--streams", "smell")
    only = fault(lambda t: [(table.pop("vision"), table.pop("audio")) for table in t.values()])
    assert "no stream but texts" in only
    assert "must be above 0" in fault(lambda t: None, "--rate", "0")
    narrow = fault(lambda t: t["test"].__setitem__("audio", t["test"]["audio"][..., :1]))
    assert "same columns in all splits, not train 2, valid 2, test 1" in narrow
    taken = fault(lambda t: [table.__setitem__("speech", table.pop("audio")) for table in t.values()])
    assert "'speech' is taken" in taken
    assert "there is no file" in refusal(capsys, tmp_path / "no.pkl", "--out", tmp_path / "x")
    (tmp_path / "a.csv").touch()
    assert "known are .pkl" in refusal(capsys, tmp_path / "a.csv", "--out", tmp_path / "x")


def test_a_stream_that_a_split_lacks_is_left_out_aloud(tmp_path, capsys):
    tables = make_tables()
    del tables["train"]["vision"]
    store = run_import(write_pickle(tmp_path / "a.pkl", tables))
    assert list(store.meta["stages"]) == ["audio"]
    assert "left out: vision (not in every split)" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["late_fusion", "crossmodal"])
def test_both_models_train_on_an_import(tmp_path, model, capsys):
    """Streams that only the cache names; clips that lack one stay in."""
    from mosi_e2e.evaluate import main as evaluate

    tables = make_tables()
    tables["train"]["vision"][0] = 0
    cache = run_import(write_pickle(tmp_path / "a.pkl", tables)).root
    section = f"model.{model}"
    small = [f"{section}.tokens.{name}.width=8" for name in ("vision", "audio")]
    small += [f"{section}.streams=[vision,audio]", "data.workers=0", "optim.epochs=1", f"model.name={model}"]
    small += [
        "model.crossmodal.fusion.width=8",
        "model.crossmodal.fusion.heads=2",
        "model.late_fusion.width=8",
    ]
    assert train([*small, f"data.cache={cache}", f"out={tmp_path}", "name=run"]) == 0
    assert evaluate([str(tmp_path / "run"), "--split", "test"]) == 0
    header = (tmp_path / "run" / "predictions_test.csv").read_text().splitlines()[0]
    assert {"audio", "vision"} <= set(header.split(","))
    assert json.loads((tmp_path / "run" / "metrics_test.json").read_text())["n"] == SPLITS["test"]
    capsys.readouterr()
    assert train([*small, f"{section}.streams=[vision,smell]", f"data.cache={cache}", "name=a"]) == 2
    assert "streams are one or more of" in capsys.readouterr().err
    other = [f"{section}.tokens.smell.width=8", f"{section}.streams=[vision,smell]"]
    assert train([*small, *other, f"data.cache={cache}", f"out={tmp_path}", "name=b"]) == 2
    assert "has no stage smell; it has vision, audio" in capsys.readouterr().err


def test_an_import_can_be_packed(tmp_path):
    from preprocessing.cache.packed import open_store
    from preprocessing.pack import main as pack

    store = run_import(write_pickle(tmp_path / "a.pkl", make_tables()))
    assert pack([str(store.root), "--out", str(tmp_path / "b.pack.pkl")]) == 0
    packed = open_store(tmp_path / "b.pack.pkl")
    assert packed.stats == store.stats and packed.columns("audio", "audio") == ["audio_0", "audio_1"]
    for key, array in store.read("-test_v0_1", "audio").items():
        np.testing.assert_array_equal(packed.read("-test_v0_1", "audio")[key], array)


def test_an_own_stream_cannot_take_a_section_that_exists():
    from mosi_e2e.data.streams import check_streams

    with pytest.raises(UserError, match="behaviour has a section of its own"):
        check_streams(["behaviour"], ["behaviour"])


def test_the_real_files(shared, tmp_path):
    """Counts that were taken from the arrays by hand."""
    expected = {
        "mmmo": ({"train": 220, "valid": 40, "test": 80}, ["--neutral", "3", "--sentinel", "255"]),
        "pom": ({"train": 600, "valid": 100, "test": 203}, ["--neutral", "4"]),
    }
    rules = {}
    for name, (splits, options) in expected.items():
        file = shared / "data" / "sequences" / f"{name}_seq.npz"
        assert main([str(file), "--out", str(tmp_path / name), *options]) == 0
        store = ClipStore(tmp_path / name)
        assert store.index.split.value_counts().to_dict() == splits
        assert list(store.meta["stages"]) == ["audio", "vision"]
        rules[name] = {stage: entry["rules"] for stage, entry in store.meta["stages"].items()}
    assert rules["mmmo"]["audio"]["sentinel"] == rules["mmmo"]["audio"]["imputed"] == 16
    assert rules["mmmo"]["vision"]["inner_empty"] == 647
    assert rules["pom"]["audio"]["leading_padding"] == 5469
    assert rules["pom"]["vision"]["empty_clip"] == 486
    assert rules["pom"]["vision"]["trailing_padding"] == 129
