"""Tables of strangers, damaged and odd: read as they stand, or refused in one line."""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.fuzzing import damage, fuzz, seeded

from mosi_e2e.config import LossConfig
from mosi_e2e.engine.losses import Objective
from mosi_e2e.runs.runlog import score_table
from mosi_e2e.scores.predictions import read_predictions
from preprocessing.errors import UserError
from preprocessing.sets.labels import read_labels
from preprocessing.untrusted.tables import read_table

COURSE = 'clip,label,subset\nv_1,-0.8,train\nw_2,3,dev\n"x, y_3",0,test\n'
EXCEL = "sep=;\r\nclip;Speaker;label;subset\r\n1;Ann;0,5;Training\r\n2;Bo;-1,25;Testing\r\n"
MMSA = 'video_id,clip_id,text,label,mode\nv,1,"well, yes",-1.2,train\nNA,2,no,0.4,test\n'
CMU = "0.1,2.5,_dI--eQ6qVU,1,2.4\n3.0,4.0,2iD-tVS8NPw,2,-1\n"
CSV = "path,video_id,clip_id,label,split\na.mp4,v,1,,train\nb.mp4,w,2,-3,valid\n"
PREDICTIONS = "video_id\tlabel\tscore\nNA\t0.8\t0.5\nMüller\t-1\t-0.4\nb\t\t0.25\n"
TABLES = [
    text.encode(encoding)
    for text in (COURSE, EXCEL, MMSA, CMU, CSV, PREDICTIONS)
    for encoding in ("utf-8", "utf-16")
]
NUMBERS = st.one_of(
    st.floats(-3, 3).map(repr),
    st.floats(allow_nan=True).map(repr),
    st.sampled_from(("", "1e999", "-1e308", "0")),
)
CELLS = st.text(st.sampled_from(',;\t"\n\r =.-+0123456789eENaninfü\x00\ufeff'), max_size=12)


def read(data: bytes, reader):
    """What a reader makes of a file; its refusal is one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_bytes(data)
        try:
            return reader(path)
        except UserError as error:
            message = str(error)
    assert "\n" not in message and len(message) < 2000
    return None


@seeded(100)
def test_a_damaged_label_file_is_read_or_refused(draw):
    for entry in (
        read(damage(draw.choice(TABLES), draw), lambda path: read_labels(path, check_files=False)) or []
    ):
        assert entry.label is None or -3 <= entry.label <= 3
        assert entry.split in ("train", "valid", "test") and entry.clip_id and entry.video_id


@seeded(100)
def test_damaged_predictions_are_read_or_refused(draw):
    task = draw.choice(("regression", "binary"))
    table = read(damage(draw.choice(TABLES), draw), lambda path: read_predictions(path, task))
    if table is not None:
        assert table.score.notna().all() and table.video_id.str.len().all()
        assert task == "regression" or table.score.between(0, 1).all()


@fuzz
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4), st.sampled_from(("regression", "binary"))
)
def test_predictions_of_any_size_are_scored_or_refused(rows, task):
    """Numbers that can be read can be scored: no overflow, no warning, and nothing but numbers or None."""
    text = "label,score\n" + "".join(f"{label},{score}\n" for label, score in rows)
    table = read(text.encode(), lambda path: read_predictions(path, task))
    known = None if table is None else table[table.label.notna()]
    if known is not None and known.label.any():
        scores = score_table(known, Objective(task, "drop", LossConfig(), known.label.to_numpy()))
        found = [value for row in (scores["metrics"], *scores["floors"].values()) for value in row.values()]
        assert all(value is None or np.isfinite(value) for value in found)


@fuzz
@given(st.lists(st.lists(CELLS, max_size=6), max_size=6), st.sampled_from(",;\t"))
def test_any_text_is_a_table_or_refused(rows, mark):
    text = "\n".join(mark.join(cells) for cells in rows)
    table = read(text.encode(), read_table)
    if table is not None:
        assert all(any(cells) for _, cells in table.rows)


@fuzz
@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=8), st.floats(-3, 3), st.floats(-9, 9)), min_size=1),
    st.sampled_from((",", ";", "\t")),
)
def test_what_was_written_is_what_is_read(rows, mark):
    """Ids stay text, numbers keep their value, whatever separates them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=mark)
    writer.writerow(("video_id", "label", "score"))
    writer.writerows(rows)
    table = read(text.getvalue().encode(), lambda path: read_predictions(path, "regression"))
    if table is not None:  # an id of spaces alone, or a lone carriage return, is refused
        assert table.label.tolist() == [label for _, label, _ in rows]
        assert table.score.tolist() == [score for _, _, score in rows]


@pytest.mark.parametrize("number", range(len(TABLES)))
def test_the_undamaged_tables_are_read(number):
    if number < len(TABLES) - 2:
        assert len(read(TABLES[number], lambda path: read_labels(path, check_files=False))) >= 2
    else:
        assert len(read(TABLES[number], lambda path: read_predictions(path, "regression"))) == 3
