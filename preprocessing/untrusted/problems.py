"""What is wrong with the rows of a table, told together: one example of each kind."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from preprocessing.errors import UserError

SHOWN_KINDS = 8


class RowProblem(ValueError):
    """What is wrong with one row of a table, without the row's number.

    Args:
        message: for the user.
        kind: what it has in common with other rows' problems; by default the message without quoted cells
            and numbers.
    """

    def __init__(self, message: str, kind: str = ""):
        super().__init__(message)
        self.kind = kind or re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "", message)

    def at(self, where: str) -> "Problem":
        """The problem of a row that is named."""
        return Problem(where, str(self), self.kind)


class Problem(NamedTuple):
    """A problem and its row; those of one `kind` are counted, and the first of them is shown."""

    where: str
    message: str
    kind: str


def refuse(problems: Sequence[Problem]) -> None:
    """Stop with one example of each kind of problem, and how many there are, on one line.

    Raises:
        UserError: there are problems.
    """
    if not problems:
        return
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    shown = [
        f"{group[0].where}: {group[0].message}{count_further(group)}"
        for group in list(kinds.values())[:SHOWN_KINDS]
    ]
    more = len(kinds) - SHOWN_KINDS
    tail = f"; and {more} more kinds of problem" if more > 0 else ""
    raise UserError(f"{'; '.join(shown)}{tail}: correct this and run again")


def count_further(group: Sequence[Problem]) -> str:
    """How many rows have the same problem as the first."""
    return f" (and {len(group) - 1} more such rows)" if len(group) > 1 else ""
