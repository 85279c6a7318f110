"""Labels that are names (happy, sad): told from numbers, and checked.

A column of labels holds either numbers or names. Where it holds names, each clip gets one, and a blank cell
is an unlabelled clip.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preprocessing.untrusted.problems import Problem, RowProblem
from preprocessing.untrusted.tables import TextTable, is_number, shorten

if TYPE_CHECKING:
    from preprocessing.sets.labels import ClipEntry

MOST_CLASSES = 100  # more different names are texts of another kind, such as transcripts
LONGEST_NAME = 40  # letters
NO_NAMES = ("nan", "na", "n/a", "null", "none", "inf", "+inf", "-inf", "infinity", "-infinity")


def holds_names(table: TextTable, index: int) -> bool:
    """Whether a column of a table holds names of classes: no number, several, short and few."""
    cells = {cells[index] for _, cells in table.rows[1:] if index < len(cells)} - {""}
    if not 1 < len(cells) <= MOST_CLASSES or max(map(len, cells)) > LONGEST_NAME:
        return False
    return not any(is_number(one.replace(",", ".", 1)) or one.lower() in NO_NAMES for one in cells)


def parse_name(text: str) -> str:
    """A class's name in printable letters; blank = unlabelled."""
    if not text.isprintable():
        raise RowProblem(f"label {shorten(text)} holds letters that cannot be printed")
    return text


def find_spellings(entries: Sequence["ClipEntry"]) -> list[Problem]:
    """Find names that differ by case alone: two classes where one is meant."""
    first: dict[str, ClipEntry] = {}
    problems: dict[str, Problem] = {}
    for entry in entries:
        name = entry.class_name
        if not name:
            continue
        other = first.setdefault(name.casefold(), entry)
        if other.class_name != name and name not in problems:
            message = (
                f"label {shorten(name)} here, {shorten(other.class_name)} in {other.row}: write it one way"
            )
            problems[name] = Problem(entry.row, message, f"spelling of {name.casefold()}")
    return list(problems.values())
