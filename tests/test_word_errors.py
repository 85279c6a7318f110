"""The cost of recognition errors: which clips lost a word of sentiment, and what that did to their scores."""

import json

import pandas as pd
import pytest
from kit.typed_commands import load_module
from PIL import Image


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
    other = (
        tmp_path / "runs" / "both_binary_0" / "scores" / "ibm"
    )  # of another task: probabilities, no scores
    other.mkdir(parents=True)
    table.assign(score=0.5).to_csv(other / "predictions_test.csv", index=False)
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
    assert [row["rate"] for row in found["by rate"]] == [0, 0.5]
    low, high = found["by rate"][1]["heard: mae interval"]
    assert low <= 1.1 <= high
    with Image.open(tmp_path / "runs" / "word_errors_both.png") as picture:
        assert picture.size == (1280, 544) and picture.convert("L").getextrema() == (0, 255)


def test_the_curve_shows_each_part_at_its_rate(errors):
    rows = [
        {"rate": rate}
        | {f"{name}: {key}": rate + 0.1 for name in ("heard", "given") for key in errors.TITLES}
        | {f"{name}: {key} interval": None for name in ("heard", "given") for key in errors.TITLES}
        for rate in (0.0, 0.2, 0.7)
    ]
    first, second = errors.draw_curve(rows).axes
    assert [line.get_label() for line in first.lines] == ["words heard", "words said"]
    assert first.lines[0].get_ydata() == pytest.approx([0.1, 0.3, 0.8])
    assert first.lines[0].get_xdata() == pytest.approx([0, 0.2, 0.7], abs=0.01)
    assert first.get_title() == "MAE (lower is better)" and second.lines
