"""From runs to all that the page and its Markdown show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mosi_e2e.pages import Notice, Table
from mosi_e2e.report import settings
from mosi_e2e.report.boards import Board, System, check_written, group_runs, make_boards
from mosi_e2e.report.charts import draw_system
from mosi_e2e.report.clips import Sight, Thumbnails, show_clips
from mosi_e2e.report.comparisons import TITLES, draw_bars, draw_curves, draw_differences
from mosi_e2e.report.confusions import draw_confusions
from mosi_e2e.report.gallery import Drawing, Exhibit, Gallery
from mosi_e2e.report.runs import Run
from mosi_e2e.report.scores import ScoreTable, judge, tabulate_scores
from mosi_e2e.tables import SYNTHETIC_NOTE


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
    for number, board in enumerate(boards, start=1):
        detail = 0 if board.is_ablation and not only_ablations else wish.detail
        views.append(view_board(board, f"board-{number}", detail, wish, gallery, thumbnails))
    curves = [(name, draw_curves(name, members)) for name, members in groups.items()]
    systems = "system" if len(groups) == 1 else "systems"
    return Report(
        title="Results",
        lead=f"{count(len(runs), 'run')} of {len(groups)} {systems}. Every score on this page was recomputed "
        "from the predictions that the runs wrote.",
        notices=list_notices(runs, strays, boards, wish.split),
        facts=list_facts(runs, groups, boards),
        boards=views,
        curves=[gallery.hang(f"{name}_curves", drawn) for name, drawn in curves if drawn],
        runs=settings.tabulate_runs(runs, wish.split),
        differences=settings.tabulate_differences(groups),
        environments=settings.tabulate_environments(runs),
        commands=settings.tabulate_commands(runs),
        synthetic=any(run.is_synthetic for run in runs),
    )


def view_board(
    board: Board, anchor: str, detail: int, wish: Wish, gallery: Gallery, thumbnails: Thumbnails
) -> BoardView:
    shown, left = board.systems[:detail], board.systems[detail:]
    stem = f"{board.place.name}_{board.split}_{board.objective.task}" if board.is_ablation else ""
    stem = stem or f"{board.split}_{board.objective.task}"
    charts = {"bars": draw_bars(board), "differences": draw_differences(board)}
    word = "Ablation" if board.is_ablation else board.objective.task.capitalize()
    title = (
        f"{word}: {board.place.name}, {board.split} split"
        if board.is_ablation
        else f"{word}, {board.split} split"
    )
    omitted = f"No pictures of {', '.join(s.name for s in left)}; to draw them, too, type "
    omitted += f"python -m mosi_e2e.report {board.place} --detail {len(board.systems)}."
    is_binary = board.objective.task == "binary"
    sights = show_clips(board, shown, wish.clips, thumbnails) if shown else {}
    reasons = {one.lacking for part in sights.values() for one in part}
    return BoardView(
        anchor,
        title,
        judge(board),
        tabulate_scores(board),
        [gallery.hang(f"{stem}_{name}", drawn) for name, drawn in charts.items() if drawn],
        [view_system(system, board, gallery) for system in shown],
        omitted if left else "",
        sights,
        f"No pictures of the clips: {reasons.pop()}." if len(reasons) == 1 and "" not in reasons else "",
        ("0: negative", "1: positive") if is_binary else ("−3", "+3"),
        f"Variants without a finished run: {', '.join(board.missing)}." if board.missing else "",
    )


def view_system(system: System, board: Board, gallery: Gallery) -> SystemView:
    def hang(drawings: Mapping[str, Drawing]) -> list[Exhibit]:
        return [gallery.hang(f"{system.name}_{board.split}_{name}", one) for name, one in drawings.items()]

    scatter, *others = hang(draw_system(system, board))
    return SystemView(system.name, scatter, others, hang(draw_confusions(system, board)))


def list_notices(
    runs: Sequence[Run], strays: Sequence[str], boards: Sequence[Board], split: str
) -> list[Notice]:
    """What is not to be missed, the worst first."""
    notices = []
    if any(run.is_synthetic for run in runs):
        notices.append(Notice("warning", SYNTHETIC_NOTE))
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
    runs: Sequence[Run], groups: Mapping[str, Sequence[Run]], boards: Sequence[Board]
) -> list[tuple[str, str]]:
    """(value, name) of what one wants to know first."""
    facts = [(f"{len(runs)}", "runs"), (f"{len(groups)}", "systems")]
    if boards:
        board = boards[0]
        key, task = board.metric, board.objective.task
        facts.append((f"{len(board.table)}", f"{board.split} clips"))
        facts.append((f"{board.table.video_id.nunique()}", f"{board.split} videos"))
        found = [(s.row["seeds"][key]["mean"], s.name) for s in board.systems]
        known = [one for one in found if one[0] is not None]
        if known:
            value, name = min(known) if key == "mae" else max(known)
            facts.append((f"{value:.3f}", f"best {TITLES[key]}, {task} ({name})"))
        if board.best_floor(key) is not None:
            facts.append((f"{board.best_floor(key):.3f}", f"best floor, {TITLES[key]}"))
    seconds = [run.seconds for run in runs if run.seconds is not None]
    if seconds:
        facts.append((settings.show_time(sum(seconds)), "wall time of all runs"))
    return facts


def count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
