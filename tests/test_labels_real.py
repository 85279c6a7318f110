"""Real label files, in the layouts in which they were published."""

from collections import Counter

import pandas as pd
import pytest

from preprocessing.sets.labels import read_labels


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("mosi_labels.csv", (1284, 229, 686)),
        ("OpinionLevelSentiment.csv", (1284, 229, 686)),
        ("label_mmsa_like_id_text_label_mode.csv", (1281, 229, 685)),
    ],
)
def test_real_label_files(shared, name, splits):
    entries = read_labels(shared / "data" / "mosi" / name, check_files=False)
    counts = Counter(entry.split for entry in entries)
    assert (counts["train"], counts["valid"], counts["test"]) == splits
    assert len({entry.clip_id for entry in entries}) == len(entries) == sum(splits)
    assert len({entry.video_id for entry in entries}) == 93
    assert all(entry.clip_id.rsplit("_", 1)[0] == entry.video_id for entry in entries)
    assert {entry.video_id for entry in entries} >= {"_dI--eQ6qVU", "6_0THN4chvY", "I5y0__X72p0"}


def test_real_label_files_agree_row_by_row(shared):
    folder = shared / "data" / "mosi"
    official = pd.read_csv(folder / "mosi_labels.csv", dtype=str, keep_default_na=False)
    by_video = read_labels(folder / "OpinionLevelSentiment.csv", check_files=False)
    assert [entry.split for entry in by_video] == list(official["mode"])
    assert [entry.clip_id for entry in by_video] == list(official["video_id"] + "_" + official["clip_id"])
    known = {entry.clip_id: (entry.split, round(entry.label, 5)) for entry in by_video}
    for name in ("mosi_labels.csv", "label_mmsa_like_id_text_label_mode.csv"):
        for entry in read_labels(folder / name, check_files=False):
            assert known[entry.clip_id] == (entry.split, round(entry.label, 5)), entry.row


def test_real_label_means(shared):
    entries = read_labels(shared / "data" / "mosi" / "OpinionLevelSentiment.csv", check_files=False)
    table = pd.DataFrame(entries).groupby("split")["label"].mean()
    assert table.round(3).to_dict() == {"train": 0.234, "valid": 0.310, "test": -0.317}
