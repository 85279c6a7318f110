"""The report as Markdown, for a README, an issue or a paper's supplement."""

from collections.abc import Iterator

import pandas as pd

from mosi_e2e.experiments.formats import to_markdown
from mosi_e2e.pages.page import Notice, Table
from mosi_e2e.report.gallery import Exhibit
from mosi_e2e.report.page import BoardView, Report

WORDS = {"warning": "Warning", "note": "Note", "good": "Checked"}


def write_markdown(report: Report) -> str:
    """The whole report; figures are those in `figures/` beside it."""
    return "\n\n".join(part.strip() for part in list_parts(report) if part) + "\n"


def list_parts(report: Report) -> Iterator[str]:
    """The report from its title to its last table."""
    yield f"# {report.title}"
    yield report.lead
    yield from (quote(notice) for notice in report.notices)
    yield "\n".join(f"- {name}: {value}" for value, name in report.facts)
    for board in report.boards:
        yield from list_board(board)
    yield "## Training"
    yield from (embed(one) for one in report.curves)
    yield "## Runs and settings"
    for table in (report.runs, report.differences, *report.environments, report.commands):
        if table:
            yield lay_table(table)


def list_board(board: BoardView) -> Iterator[str]:
    """One board with its tables and pictures."""
    yield f"## {board.title}"
    yield "\n".join(f"- {name}: {value}" for value, name in board.facts)
    yield quote(board.verdict)
    yield lay_table(board.scores.flatten())
    yield "\n".join(f"- {note}" for note in board.scores.notes)
    yield board.missing
    yield from (embed(one) for one in board.charts)
    for system in board.details:
        yield f"### {system.name}"
        yield from (embed(one) for one in (system.scatter, *system.others, *system.confusions))
    yield board.omitted
    for name, sights in board.sights.items():
        rows = [
            [one.clip_id, one.video_id, one.label, f"{one.error:.2f}", *(mark.text for mark in one.marks)]
            for one in sights
        ]
        if rows:
            names = [mark.name for mark in sights[0].marks]
            yield lay_table(
                Table(f"The {name} clips", ["clip", "video", "label", "mean error", *names], rows)
            )


def lay_table(table: Table) -> str:
    """A table with its caption."""
    laid = pd.DataFrame([list(row) for row in table.rows], columns=list(table.columns))
    return f"{table.caption}\n\n{to_markdown(laid)}"


def embed(exhibit: Exhibit) -> str:
    """A picture with what it shows."""
    alt = exhibit.picture.alt.replace("[", "(").replace("]", ")")
    return f"![{alt}](figures/{exhibit.stem}.png)\n\n{exhibit.picture.caption}"


def quote(notice: Notice) -> str:
    """A notice as a quotation."""
    return "\n".join(
        [f"> **{WORDS[notice.kind]}.** {notice.text}", *(f"> - {line}" for line in notice.details)]
    )
