"""The cost of recognition errors: which clips lost a word of sentiment, and what that did to their scores."""

import json

import pandas as pd
import pytest
from kit.typed_commands import load_module


@pytest.fixture(scope="module")
def errors():
    return load_module("benchmarks/word_errors.py")


def test_a_lost_word_of_sentiment_is_found(errors):
    words = {"good", "bad"}
    assert errors.find_lost("a good film", "a good flame", words) == "all heard"
    assert errors.find_lost("a good film", "a food film", words) == "one or more lost"
    assert errors.find_lost("a film", "a flame", words) == "no such word"


def test_errors_are_set_beside_scores(errors, tmp_path, capsys):
    signs = {"good": 1, "bad": -1}
    rows = [
        {"video_id": f"v{n}", "clip_id": "1", "text": f"SO {word}", "label": sign, "split": split}
        for split in ("train", "test")
        for n, (word, sign) in enumerate([*signs.items()] * 5)
    ]
    labels = pd.DataFrame(rows)
    labels["video_id"] += labels.split
    labels.to_csv(tmp_path / "labels.csv", index=False)
    heard = labels[["video_id", "clip_id"]].assign(heard_ibm=labels.text.str.replace("good", "food"))
    heard.to_csv(tmp_path / "heard.csv", index=False)
    test = labels[labels.split == "test"]
    for words, score in (("given", test.label), ("ibm", test.label.clip(upper=0) - 0.1)):
        for seed in range(2):
            place = tmp_path / "runs" / f"both_{seed}" / "scores" / words
            place.mkdir(parents=True)
            table = pd.DataFrame({"clip_id": test.video_id + "_1", "label": test.label, "score": score})
            table.to_csv(place / "predictions_test.csv", index=False)
    typed = ["--labels", str(tmp_path / "labels.csv"), "--heard", str(tmp_path / "heard.csv")]
    assert errors.main([str(tmp_path / "runs"), *typed]) == 0
    found = json.loads((tmp_path / "runs" / "word_errors_both.json").read_text())
    assert found["word-error rate"] == {"ibm": 0.25}
    right, wrong = found["by words of sentiment"]
    assert (right["part"], right["cases"], right["heard: mae"], right["heard: acc2_non0"]) == (
        "all heard",
        5,
        0.1,
        1,
    )
    assert (wrong["part"], wrong["heard: mae"], wrong["heard: acc2_non0"]) == ("one or more lost", 1.1, 0)
    assert wrong["given: mae"] == 0 and [row["part"] for row in found["by rate"]] == ["0", "up to 0.5"]
