"""Reports of several sets, of ablations, of few clips, and with pictures."""

import json
from datetime import date
from pathlib import Path

import pandas as pd
from kit.made_cache import make_cache
from kit.made_reports import CLIPS, report
from kit.made_runs import MadeRun, make_clips, read_clips, write_run

from mosi_e2e.report.boards import group_runs, make_boards
from mosi_e2e.report.clips import Thumbnails, show_clips
from mosi_e2e.report.gallery import slim
from mosi_e2e.report.runs import name_run, read_runs

NAME = "<script>alert(1)<|script>"


def test_means_lie_in_their_intervals_and_few_videos_have_no_p_value(tmp_path):
    """Pooled predictions of seeds that disagree have another correlation than the seeds on average."""
    few = make_clips(videos=3, clips=6)
    for variant, skill in (("all", 0.7), ("speech", 0.0), ("face", -0.2)):
        for seed in range(3):
            made = MadeRun(f"{variant}/seed{seed}", "crossmodal", seed=seed + len(variant), skill=skill)
            write_run(tmp_path / "runs" / "ablations", made, few)
    (board,) = make_boards(group_runs(read_runs([tmp_path / "runs"])[0]), "test")
    for system in board.systems:
        for key, seeds in system.row["seeds"].items():
            if system.row["interval"].get(key) and seeds["n"]:
                low, high = system.row["interval"][key]
                assert low <= seeds["mean"] <= high, (system.name, key)
    compared = [system.row for system in board.systems if system.row["against"]]
    assert [row["against"]["mae"]["smallest_p"] for row in compared] == [0.25, 0.25]
    assert [(row["p_holm"], row["p_smallest"]) for row in compared] == [(None, 0.5), (None, 0.5)]
    text = report(tmp_path / "runs", tmp_path / "out", "--detail", "0").text
    assert "No p-values: with 3 videos, 2 comparisons allow none below 0.5." in text


def test_several_data_sets_have_their_own_sections_headlines_and_warnings(tmp_path):
    others = make_clips(videos=4, clips=6, seed=5)
    for place, clips, is_synthetic in (("mosi", CLIPS, False), ("sample", others, True)):
        for model in ("late_fusion", "crossmodal"):
            made = MadeRun(f"{place}/{model}", model, seed=len(model))
            write_run(tmp_path / "runs", made, clips, f"cache/{place}", is_synthetic)
    page = report(tmp_path / "runs", tmp_path / "out", "--detail", "0")
    titles = ["mosi: regression, test split", "sample: regression, test split"]
    assert all(page.text.count(title) == 2 for title in titles)  # in the navigation and above the section
    assert "Results: mosi, sample" in page.text and date.today().isoformat() in page.text
    first, second = page.text.split(titles[0])[-1].split(titles[1])
    for text, clips, word, other in ((first, 60, "60 clips", "24"), (second, 24, "24 synthetic clips", "60")):
        head = " ".join(text.split())[:60]
        assert head.startswith(f"clips {clips} videos") and f" {other} " not in head and word in text
    assert "sample/late_fusion (sample)" in page.text and "mosi/late_fusion (mosi)" not in page.text
    assert "This page may show people" in page.text and "marked synthetic" in page.text


def test_clips_are_called_synthetic_by_their_own_facts(tmp_path):
    """A run of the sample set that was scored on real clips, and the other way round."""
    folder = write_run(tmp_path / "runs", MadeRun("late"), CLIPS, "cache/sample", synthetic=True)
    path = folder / "metrics_test.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"synthetic": False}))
    text = report(tmp_path / "runs", tmp_path / "out", "--detail", "0").text
    assert "SYNTHETIC" in text  # the model learned from such clips
    assert "60 clips of 12 videos" in text and "marked synthetic" not in text


def test_a_predictor_that_collapsed_is_called_so(tmp_path):
    folder = write_run(tmp_path / "runs", MadeRun("flat"), CLIPS)
    table = pd.read_csv(folder / "predictions_test.csv").assign(score=0.25)
    table.to_csv(folder / "predictions_test.csv", index=False)
    text = report(tmp_path / "runs", tmp_path / "out", "--clips", "0").text
    assert "flat predicts the same number for every clip" in text and "does not lie wholly beyond it" in text


def test_an_ablation_is_compared_with_its_reference(tmp_path):
    root = tmp_path / "runs" / "ablations"
    for variant, skill in (("speech", 0.1), ("all", 0.8)):
        for seed in (0, 1):
            made = MadeRun(f"{variant}/seed{seed}", "crossmodal", seed=seed + len(variant), skill=skill)
            write_run(root, made, CLIPS, synthetic=False)
    plan = {"reference": "all", "missing": ["face"], "rows": [{"variant": "all"}, {"variant": "speech"}]}
    (root / "table.json").write_text(json.dumps(plan))
    found, _ = read_runs([tmp_path / "runs"])
    (board,) = make_boards(group_runs(found), "test")
    assert board.is_ablation and board.reference == "all" and board.missing == ("face",)
    assert [(s.name, len(s.runs)) for s in board.systems] == [("all", 2), ("speech", 2)]
    assert board.systems[1].row["against"]["mae"]["interval"][0] > 0
    page = report(tmp_path / "runs", tmp_path / "out", "--detail", "0")
    assert (
        "none: ablation ablations, test split" in page.text
        and "Variants without a finished run: face" in page.text
    )
    assert "No pictures of all, speech" in page.text and "SYNTHETIC" not in page.text
    assert page.text.count("Paired") == 0 and any("Paired" in one["alt"] for one in page.all("img"))


def test_pictures_of_clips_come_from_the_cache_wherever_it_is_now(tmp_path):
    cache = make_cache(tmp_path / "made")
    write_run(tmp_path / "runs", MadeRun("late"), read_clips(cache), cache=str(cache))
    (board,) = make_boards(group_runs(read_runs([tmp_path / "runs"])[0]), "test")

    def look(where=""):
        sights = show_clips(board, board.systems, 4, Thumbnails(where))
        return {one.clip_id: (len(one.pictures), one.lacking) for part in sights.values() for one in part}

    before = look()
    assert len(before) == 8 and before["xb_2"] == (0, "no face in this clip")
    assert sum(count == 3 for count, _ in before.values()) >= 4
    moved = cache.rename(tmp_path / "moved")
    assert all("is not there any more" in why and not count for count, why in look().values())
    assert look(str(moved)) == before
    index = pd.read_csv(moved / "index.csv").assign(label=lambda table: table.label + 0.2)
    index.to_csv(moved / "index.csv", index=False)
    assert all("another label for it" in why for _, why in look(str(moved)).values())


def test_names_that_are_markup_are_shown_as_text(tmp_path):
    clips = {split: table.assign(video_id="<b>&'\"|") for split, table in CLIPS.items()}
    clips["test"] = clips["test"].assign(clip_id=[f"'\"<i>{n}</i>" for n in range(len(clips["test"]))])
    write_run(tmp_path / "runs", MadeRun(NAME), clips)
    page = report(tmp_path / "runs", tmp_path / "out")
    spots = json.loads(next(one["data-spots"] for one in page.all("div") if "data-spots" in one))
    assert "'\"<i>3</i>" in [name for _, _, name, _ in spots]
    assert len(page.all("script")) == 1 and not page.all("i")[0].keys() - {
        "class",
        "hidden",
        "style",
        "title",
    }


def test_a_single_video_and_a_single_epoch_can_be_shown(tmp_path):
    few = {split: table.head(4) for split, table in CLIPS.items()}
    write_run(tmp_path / "runs", MadeRun("tiny_binary", task="binary", epochs=1), few)
    assert "One video was scored" in report(tmp_path / "runs", tmp_path / "out").text


def test_digits_are_cut_in_drawings_and_never_in_texts():
    svg = (
        '<svg><!-- p -->\n   <path d="M 1.23456 -0.98765"/>\n<text x="2.34567">p < 0.001 0.12345</text></svg>'
    )
    svg = svg.replace("p <", "p &lt;")
    assert slim(svg) == '<svg>\n<path d="M 1.23 -0.98"/>\n<text x="2.34">p &lt; 0.001 0.12345</text></svg>'


def test_runs_are_named_as_shortly_as_tells_them_apart():
    one, two, same = Path("runs/one"), Path("runs/two"), Path("more/one")
    assert name_run(one, one, [one, two]) == "one"
    assert name_run(one, one, [one, same]) == "runs/one"
    assert name_run(one / "seed0", one, [one]) == "seed0"
    assert name_run(one / "seed0", one, [one, two]) == "runs/one/seed0"
