"""The plan: what is to be done and why, for how long; and that saying so changes nothing."""

import json
import os
import shutil
from pathlib import Path

import pytest
from kit.doc_pages import TEXTS
from kit.made_set import LABELS, read_times, work_here, write_face, write_labels
from kit.plugged import plug
from kit.typed_commands import list_scripts

from preprocessing.__main__ import main
from preprocessing.config import PreprocessConfig
from preprocessing.run import pipeline
from preprocessing.run.clip_job import ClipJob
from preprocessing.run.estimate import Tally, estimate_lengths, estimate_run, find_speed, format_time
from preprocessing.run.executor import Outcome
from preprocessing.sets.labels import ClipEntry
from preprocessing.settings import load_config
from preprocessing.stages import find_stage, name_stages

STAGES = name_stages()


CLIPS = LABELS[:3]


@pytest.fixture(autouse=True)
def _one_process(monkeypatch):
    monkeypatch.setattr(pipeline, "run_jobs", work_here)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with raw clips in `raw` and their finished cache in `cache`. Look, do not change."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "raw").mkdir()
    for seed, (clip_id, _, _) in enumerate(CLIPS):
        write_face(folder / "raw" / f"{clip_id}.mp4", seed)
    write_labels(folder / "raw", *CLIPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "run_jobs", work_here)
        assert main([f"labels={folder / 'raw'}", f"out={folder / 'cache'}"]) == 0
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """A copy of that folder, as working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(capsys, *arguments: str, status: int = 0) -> str:
    """What a dry run says; whatever it says, it changes nothing."""
    before = read_times(Path())
    capsys.readouterr()
    assert main(["labels=raw", "out=cache", "--dry-run", *arguments]) == status
    assert read_times(Path()) == before
    said = capsys.readouterr()
    return said.err if status else said.out


def read_stages(said: str) -> dict[str, str]:
    """What a plan says of each stage."""
    lines = [line.split(maxsplit=1) for line in said.splitlines()]
    return {words[0]: words[1] for words in lines if words and words[0] in STAGES}


def test_nothing_to_do(place, capsys):
    assert ask(capsys) == "cache is complete and up to date: nothing to do\n"


def test_a_cache_made_before_settings_were_kept_is_up_to_date(place, capsys):
    path = place / "cache" / "meta.json"
    meta = json.loads(path.read_text())
    del meta["settings"]
    path.write_text(json.dumps(meta))
    assert ask(capsys) == "cache is complete and up to date: nothing to do\n"


def test_a_stage_that_was_registered_since_is_new_and_replaces_nothing(place, capsys, tmp_path):
    with plug(tmp_path / "level.py", list_scripts(TEXTS["own_stream.md"])[1]):
        said = ask(capsys)
    assert read_stages(said) == dict.fromkeys(STAGES, "up to date")
    assert "  level      3 to do: 3 new" in said and "--update" not in said


def test_new_clips(place, capsys):
    said = ask(capsys, "out=other/deep")
    assert said.startswith("3 clips of raw → other/deep\n")
    assert read_stages(said) == dict.fromkeys(STAGES, "3 to do: 3 new")
    assert "for 2 s of clips (with assumed speeds, nothing was measured here yet)" in said
    assert not (place / "other").exists()


def test_one_changed_option_is_named_and_makes_one_stage_anew(place, capsys):
    said = read_stages(ask(capsys, "faces.size=64"))
    assert said.pop("faces") == "3 to do: 3 settings changed (faces.size 224 → 64)"
    assert set(said.values()) == {"up to date"}
    said = read_stages(ask(capsys, "track.rate=5"))
    changed = "3 to do: 3 settings changed (track.rate 7.5 → 5.0)"
    assert said == dict.fromkeys(("faces", "behaviour"), changed) | dict.fromkeys(
        ("waveform", "acoustics"), "up to date"
    )


def test_the_run_says_it_too_before_it_works(place, capsys, monkeypatch):
    def work(*_):
        assert "settings changed (faces.size 224 → 64)" in capsys.readouterr().out
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(pipeline, "run_jobs", work)
    assert main(["labels=raw", "out=cache", "faces.size=64", "--update"]) == 130


def test_damaged_lost_and_replaced_files_are_told_apart(place, capsys):
    (waveform,) = (place / "cache" / "clips").glob("waveform-*")
    damaged, lost = (waveform / f"{clip_id}.safetensors" for clip_id, _, _ in CLIPS[:2])
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])  # one bit of one value
    lost.unlink()
    assert read_stages(ask(capsys))["waveform"] == "2 to do: 1 damaged, 1 lost"
    shutil.copy(place / "raw" / "v_1_1.mp4", place / "raw" / "-w_1.mp4")
    said = read_stages(ask(capsys))
    assert said["faces"] == "1 to do: 1 clip replaced"
    assert said["waveform"] == "3 to do: 1 damaged, 1 lost, 1 clip replaced"
    write_labels(place / "raw", *CLIPS, LABELS[3])
    write_face(place / "raw" / "-w_2.mp4", 7)
    assert read_stages(ask(capsys))["faces"] == "2 to do: 1 clip replaced, 1 new"
    assert main(["labels=raw", "out=cache"]) == 0
    assert "nothing to do" in ask(capsys)


@pytest.mark.parametrize(
    "change", [["faces.size=64"], ["labels=other"], ["acoustics.feature_set=GeMAPSv01b"]]
)
def test_a_finished_cache_changes_on_request_alone(place, capsys, change):
    """Other settings, or clips that are gone; the plan says what would be redone."""
    shutil.copytree(place / "raw", place / "other")
    write_labels(place / "other", *CLIPS[1:])
    before = read_times(place / "cache")
    said = ask(capsys, *change)
    assert "only --update changes that" in said
    assert main(["labels=raw", "out=cache", *change]) == 2
    error = capsys.readouterr().err
    assert "nothing was done" in error and "add --update" in error and error.count("\n") == 1
    assert {"faces.size 224 → 64" in error, "'v_1_1'" in error, "GeMAPSv01b" in error} == {True, False}
    assert read_times(place / "cache") == before
    assert main(["labels=raw", "out=cache", *change, "--update"]) == 0
    assert "nothing to do" in ask(capsys, *change)
    assert main(["labels=raw", "out=cache", *change]) == 0


def test_without_any_input_there_is_help_and_nothing_else(place, capsys):
    for words in ([], ["--dry-run"], ["--update"]):
        assert main(words) == 2
        assert "example: python -m preprocessing --config" in capsys.readouterr().err
    assert sorted(path.name for path in place.iterdir()) == ["cache", "raw"]


@pytest.mark.parametrize("name", ["meta.json", "index.csv", "stats.json", "summary.json"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff\xfe", b'{"format": 1, "stages": {}}', b"[" * 9999]
)
def test_damaged_tables_are_written_again(place, capsys, name, content):
    whole = (place / "cache" / name).read_bytes()
    (place / "cache" / name).write_bytes(content)
    expected = content == b"{}" and name == "stats.json"  # empty statistics could be those of an empty set
    assert main(["labels=raw", "out=cache"]) == 0
    assert (place / "cache" / name).read_bytes() == (content if expected else whole)


def test_a_wrong_label_in_the_index_is_put_right(place):
    index = place / "cache" / "index.csv"
    whole = index.read_bytes()
    index.write_bytes(whole.replace(b"-1.2", b"-1.3"))
    assert main(["labels=raw", "out=cache"]) == 0
    assert index.read_bytes() == whole


def test_imported_features_are_not_overwritten(place, capsys):
    meta = json.loads((place / "cache" / "meta.json").read_text())
    (place / "cache" / "meta.json").write_text(json.dumps(meta | {"imported": {}}))
    assert main(["labels=raw", "out=cache"]) == 2
    assert "holds imported features" in capsys.readouterr().err


def test_a_copied_clip_is_not_a_replaced_one(place, capsys):
    for path in (place / "raw").glob("*.mp4"):
        os.utime(path)
    assert "nothing to do" in ask(capsys)


def test_a_lost_index_is_written_again(place, capsys):
    (place / "cache" / "index.csv").unlink()
    assert "only the index is to be written" in ask(capsys)


def test_what_a_run_would_stumble_over_a_dry_run_does_too(place, capsys):
    assert "not the expected" in ask(capsys, "faces.size=64", "track.model=raw/labels.csv", status=2)


def test_a_zip_is_not_unpacked(place, capsys):
    archive = shutil.make_archive("set", "zip", "raw")
    said = ask(capsys, f"labels={archive}", status=2)
    assert f"python -m preprocessing.fetch --url {archive} --out " in said
    shutil.copytree("raw", "set")  # as a run would have unpacked it
    assert "nothing to do" in ask(capsys, f"labels={archive}")


def test_the_estimate_rests_on_what_was_measured(place):
    config = load_config(PreprocessConfig, None, ["out=cache", "workers=2"])
    entries = [ClipEntry(f"x_{n}", "x", "test", None, place / "raw" / "v_1_1.mp4", "") for n in range(4)]
    jobs = [ClipJob(entry, frozenset(STAGES), config, {}) for entry in entries]
    known = {entry.clip_id: 1000.0 for entry in entries}
    passes = {
        "behaviour by mediapipe + faces by mediapipe": {"clip_s": 10.0, "work_s": 1.0},
        "acoustics + waveform": {"clip_s": 10.0, "work_s": 0.2},
    }
    (place / "cache" / "last_run.json").write_text(json.dumps({"passes": passes}))
    said = estimate_run(jobs, known, config)  # 4000 s of clips at 0.12 in two processes
    assert said == "4 min 0 s with 2 processes, for 1 h 6 min of clips (as fast as the last run)"
    faces = [ClipJob(entry, frozenset({"faces"}), config, {}) for entry in entries]
    assert estimate_run(faces, known, config).startswith("3 min 20 s with 2 processes")
    ray = load_config(PreprocessConfig, None, ["out=cache", "executor=ray"])
    assert estimate_run(faces, known, ray).startswith("6 min 40 s divided by the cluster's cores")
    (place / "cache" / "last_run.json").unlink()
    assert "assumed speeds" in estimate_run(faces, known, config)


def test_a_part_of_a_pass_costs_at_most_the_whole():
    config = PreprocessConfig()
    faces, waveform, behaviour, acoustics = map(find_stage, STAGES)
    speeds = {"acoustics + waveform": 0.5, "acoustics": 0.4}
    assert find_speed([waveform], config, speeds) == (0.5, True)
    assert find_speed([acoustics], config, speeds) == (0.4, True)
    assert find_speed([faces], config, speeds) == (faces.cost(config), False)
    both = find_speed([faces, behaviour], config, {})
    assert both == (faces.cost(config), False)  # one pass, not two
    assert find_speed([waveform, acoustics], config, {})[0] == acoustics.cost(config)


def test_lengths_come_from_headers_and_from_sizes_beyond_a_sample(place, monkeypatch):
    path = place / "raw" / "v_1_1.mp4"
    long = write_face(place / "long.mp4", 0, seconds=1.8)
    garbage = place / "garbage.mp4"
    garbage.write_bytes(b"garbage" * 9)
    jobs = [
        ClipJob(ClipEntry(name, "x", "test", None, file, ""), frozenset(STAGES), PreprocessConfig(), {})
        for name, file in (("a_1", path), ("b_1", long), ("c_1", path), ("d_1", garbage))
    ]
    lengths = estimate_lengths(jobs, {"c_1": 7.0})
    assert lengths[:3] == pytest.approx([0.6, 1.8, 7.0], abs=0.05) and lengths[3] < 0.1
    monkeypatch.setattr("preprocessing.run.estimate.SAMPLED_CLIPS", 1)
    per_byte = lengths[0] / path.stat().st_size
    assert estimate_lengths(jobs, {})[1] == pytest.approx(per_byte * long.stat().st_size)


def test_a_tally_adds_up_what_was_measured():
    tally = Tally()
    tally.add(Outcome("a_1", clip_s=2.0, seconds={"faces": 1.0}))
    tally.add(Outcome("b_1", clip_s=3.0, seconds={"faces": 0.5, "acoustics": 0.1}))
    tally.add(Outcome("c_1"))
    assert (tally.clips, tally.clip_s) == (3, 5.0)
    assert tally.passes == {
        "faces": {"clip_s": 5.0, "work_s": 1.5},
        "acoustics": {"clip_s": 3.0, "work_s": 0.1},
    }


@pytest.mark.parametrize(("seconds", "said"), [(0.1, "1 s"), (59.6, "1 min 0 s"), (9000, "2 h 30 min")])
def test_times_are_said_in_words(seconds, said):
    assert format_time(seconds) == said
