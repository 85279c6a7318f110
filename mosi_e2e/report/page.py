"""From runs to all that the page and its Markdown show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from mosi_e2e.pages.page import Notice, Table
from mosi_e2e.pages.tables import SYNTHETIC_NOTE
from mosi_e2e.report import settings
from mosi_e2e.report.boards import Board, System, check_written, group_runs, make_boards
from mosi_e2e.report.charts import draw_system
from mosi_e2e.report.class_charts import draw_class_confusion, draw_classes
from mosi_e2e.report.clips import Sight, Thumbnails, show_clips
from mosi_e2e.report.comparisons import TITLES, draw_bars, draw_curves, draw_differences
from mosi_e2e.report.confusions import draw_confusions
from mosi_e2e.report.gallery import Drawing, Exhibit, Gallery
from mosi_e2e.report.runs import Run
from mosi_e2e.report.scores import ScoreTable, judge, tabulate_scores

ENDS = {
    "regression": ("−3", "+3"),
    "binary": ("0: negative", "1: positive"),
    "classes": ("0", "1: probability of the true class"),
}
MOST_NAMED = 3  # data sets in the title


@dataclass(frozen=True)
class Wish:
    """What the command was asked for.

    Attributes:
        split: wanted one.
        reference: system of the differences; empty: found.
        detail: systems of a board that get pictures of their own.
        clips: best and worst clips shown, each.
        cache: where the clips' pictures are; empty: where the runs say.
    """

    split: str = "test"
    reference: str = ""
    detail: int = 4
    clips: int = 4
    cache: str = ""


@dataclass(frozen=True)
class SystemView:
    """One system in pictures: `scatter` can be pointed at, `others` and `confusions` cannot."""

    name: str
    scatter: Exhibit
    others: Sequence[Exhibit]
    confusions: Sequence[Exhibit]


@dataclass(frozen=True)
class BoardView:
    """One board on the page.

    Attributes:
        anchor: its id in the page.
        title: heading.
        facts: (value, name) of what one wants to know first.
        verdict: whether anything was learned.
        scores: the table.
        charts: bars and differences.
        details: systems in pictures; `omitted` says which have none.
        sights: best and worst clips, by name; `blind` says why none of them has pictures.
        ends: captions of the scale's ends.
        missing: a remark on variants without a finished run, or nothing.
    """

    anchor: str
    title: str
    facts: Sequence[tuple[str, str]]
    verdict: Notice
    scores: ScoreTable
    charts: Sequence[Exhibit]
    details: Sequence[SystemView]
    omitted: str
    sights: Mapping[str, Sequence[Sight]]
    blind: str
    ends: tuple[str, str]
    missing: str


@dataclass(frozen=True)
class Report:
    """Everything that is shown."""

    title: str
    lead: str
    notices: Sequence[Notice]
    facts: Sequence[tuple[str, str]]
    boards: Sequence[BoardView]
    curves: Sequence[Exhibit]
    runs: Table
    differences: Table | None
    environments: Sequence[Table]
    commands: Table | None
    synthetic: bool
    real: bool

    def context(self) -> dict[str, Any]:
        """What `templates/report.html` asks for."""
        return dict(vars(self))


def make_report(runs: Sequence[Run], strays: Sequence[str], wish: Wish, gallery: Gallery) -> Report:
    """Score, draw and lay out.

    Args:
        runs: what was found.
        strays: folders that hold no run.
        wish: what was asked for.
        gallery: where figures go.
    """
    groups = group_runs(runs)
    boards = make_boards(groups, wish.split, wish.reference)
    thumbnails = Thumbnails(wish.cache)
    only_ablations = all(board.is_ablation for board in boards)
    views = []
    for number, (board, title) in enumerate(zip(boards, name_boards(boards), strict=True), start=1):
        detail = 0 if board.is_ablation and not only_ablations else wish.detail
        views.append(view_board(board, f"board-{number}", title, detail, wish, gallery, thumbnails))
    curves = [(name, draw_curves(name, members)) for name, members in groups.items()]
    data_sets = list(dict.fromkeys(run.data_set for run in runs))
    return Report(
        title=f"Results: {', '.join(data_sets[:MOST_NAMED])}{' …' if len(data_sets) > MOST_NAMED else ''}",
        lead=f"Made on {date.today().isoformat()} from {count(len(runs), 'run')} of "
        f"{count(len(groups), 'system')} on {count(len(data_sets), 'data set')}. Every score on this page "
        "was recomputed from the predictions that the runs wrote.",
        notices=list_notices(runs, strays, boards, wish.split),
        facts=list_facts(runs, groups, data_sets),
        boards=views,
        curves=[gallery.hang(f"{name}_curves", drawn) for name, drawn in curves if drawn],
        runs=settings.tabulate_runs(runs, wish.split),
        differences=settings.tabulate_differences(groups),
        environments=settings.tabulate_environments(runs),
        commands=settings.tabulate_commands(runs),
        synthetic=any(board.is_synthetic for board in boards),
        real=not boards or any(not board.is_synthetic for board in boards),
    )


def name_boards(boards: Sequence[Board]) -> list[str]:
    """Headings: data set, task and split, and what else it takes to tell them apart."""
    plain = []
    for board in boards:
        kind = f"ablation {board.place.name}" if board.is_ablation else board.objective.task
        plain.append(f"{board.data_set}: {kind}, {board.split} split")
    longer = [
        f"{title}, {board.place}" if plain.count(title) > 1 else title
        for board, title in zip(boards, plain, strict=True)
    ]
    return [
        f"{title} ({longer[:place].count(title) + 1})" if longer.count(title) > 1 else title
        for place, title in enumerate(longer)
    ]


def view_board(
    board: Board, anchor: str, title: str, detail: int, wish: Wish, gallery: Gallery, thumbnails: Thumbnails
) -> BoardView:
    """A board as the page shows it, its first systems in detail."""
    shown, left = board.systems[:detail], board.systems[detail:]
    place = board.place.name if board.is_ablation else board.data_set
    stem = f"{place}_{board.split}_{board.objective.task}"
    charts = {"bars": draw_bars(board), "differences": draw_differences(board)}
    omitted = f"No pictures of {', '.join(s.name for s in left)}; to draw them, too, type "
    omitted += f"python -m mosi_e2e.report {board.place} --detail {len(board.systems)}."
    sights = show_clips(board, shown, wish.clips, thumbnails) if shown else {}
    reasons = {one.lacking for part in sights.values() for one in part}
    return BoardView(
        anchor,
        title,
        list_headlines(board),
        judge(board),
        tabulate_scores(board),
        [gallery.hang(f"{stem}_{name}", drawn) for name, drawn in charts.items() if drawn],
        [view_system(system, board, gallery) for system in shown],
        omitted if left else "",
        sights,
        f"No pictures of the clips: {reasons.pop()}." if len(reasons) == 1 and "" not in reasons else "",
        ENDS[board.objective.task],
        f"Variants without a finished run: {', '.join(board.missing)}." if board.missing else "",
    )


def view_system(system: System, board: Board, gallery: Gallery) -> SystemView:
    """A system as the page shows it."""

    def hang(drawings: Mapping[str, Drawing]) -> list[Exhibit]:
        return [gallery.hang(f"{system.name}_{board.split}_{name}", one) for name, one in drawings.items()]

    if board.objective.classes:
        drawn, confusions = draw_classes(system, board), {"confusion": draw_class_confusion(system, board)}
    else:
        drawn, confusions = draw_system(system, board), draw_confusions(system, board)
    scatter, *others = hang(drawn)
    return SystemView(system.name, scatter, others, hang(confusions))


def list_notices(
    runs: Sequence[Run], strays: Sequence[str], boards: Sequence[Board], split: str
) -> list[Notice]:
    """What is not to be missed, the worst first."""
    notices = []
    if synthetic := [run for run in runs if run.is_trained_on_synthetic]:
        named = [] if len(synthetic) == len(runs) else [f"{run.name} ({run.data_set})" for run in synthetic]
        notices.append(Notice("warning", SYNTHETIC_NOTE, named))
    unscored = [run for run in runs if run.choose_split(split) is None]
    if unscored:
        text = f"{count(len(unscored), 'run')} without predictions, so without scores on this page."
        notices.append(Notice("warning", text, [explain_unscored(run) for run in unscored]))
    lent = [run for run in runs if run.choose_split(split) not in (split, None)]
    if lent:
        text = f"{count(len(lent), 'run')} without predictions of the {split} split, shown on valid instead, "
        text += "in tables of their own. Epochs were chosen on valid: these scores are too good."
        todo = [f"{run.name}: type python -m mosi_e2e.evaluate {run.folder} --split {split}" for run in lent]
        notices.append(Notice("warning", text, todo))
    faults = [f"{run.name}: {fault}" for run in runs for fault in run.faults]
    if faults:
        notices.append(Notice("warning", "Files that could not be used.", faults))
    if strays:
        notices.append(Notice("note", "Folders that are no run.", list(strays)))
    checked = [check_written(board) for board in boards]
    same, odd = sum(one for one, _ in checked), [line for _, lines in checked for line in lines]
    if odd:
        notices.append(Notice("warning", "Recomputed scores differ from the runs' own metrics files.", odd))
    elif same:
        text = f"the recomputed scores are those of the runs' own metrics files, in {count(same, 'run')}."
        notices.append(Notice("good", text[0].upper() + text[1:]))
    return notices


def explain_unscored(run: Run) -> str:
    """How far the run came, and what to type."""
    planned = (run.config.get("optim") or {}).get("epochs", "?")
    if not run.epochs:
        return f"{run.name}: not one epoch has ended"
    again = f"accelerate launch -m mosi_e2e.train --config {run.folder}/config.yaml --resume"
    told = f"{run.epochs} of at most {planned} epochs, then it was stopped or is still running"
    return f"{run.name}: {told}; to go on: {again}"


def list_facts(
    runs: Sequence[Run], groups: Mapping[str, Sequence[Run]], data_sets: Sequence[str]
) -> list[tuple[str, str]]:
    """(value, name) of what holds for the whole page."""
    numbers = {"run": len(runs), "system": len(groups), "data set": len(data_sets)}
    facts = [(f"{number}", count(number, word).partition(" ")[2]) for word, number in numbers.items()]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    if seconds:
        facts.append((settings.show_time(sum(seconds)), "wall time of all runs"))
    return facts


def list_headlines(board: Board) -> list[tuple[str, str]]:
    """(value, name) of what one wants to know first about a board."""
    metric = TITLES[board.metric]
    facts = [(f"{len(board.table)}", "clips"), (f"{board.table.video_id.nunique()}", "videos")]
    best = board.best_system()
    facts += [(f"{best[0]:.3f}", f"best {metric}")] if best else []
    if (floor := board.best_floor(board.metric)) is not None:
        facts.append((f"{floor:.3f}", f"best floor, {metric}"))
    return [*facts, (best[1], "best system")] if best else facts


def count(number: int, word: str) -> str:
    """A number with its word, singular or plural."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
