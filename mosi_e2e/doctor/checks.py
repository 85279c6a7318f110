"""One finding, and how a list of them is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

STATES = {
    "ok": "ok",
    "missing": "MISSING",
    "broken": "BROKEN",
    "version": "VERSION",
    "warning": "warning",
    "optional": "-",
}


@dataclass(frozen=True)
class Check:
    """A finding.

    Attributes:
        name: what was looked at.
        state: one of `STATES`.
        found: what is there.
        todo: what to type, where something is to be done.
        needed: whether the main job (preprocess, train, evaluate) cannot do without.
    """

    name: str
    state: str
    found: str
    todo: str = ""
    needed: bool = False

    @property
    def is_fatal(self) -> bool:
        """Whether nothing works without it."""
        return self.needed and self.state in ("missing", "broken")


def format_checks(groups: Mapping[str, Sequence[Check]]) -> str:
    """Text for people: every finding, then what to do."""
    lines = []
    for title, checks in groups.items():
        lines.append(title)
        width = max((len(check.name) for check in checks), default=0)
        for check in checks:
            lines.append(f"  {STATES[check.state]:8}{check.name:{width}}  {check.found}")
            if check.todo and check.state != "ok":
                lines.append(f"  {'':8}{'':{width}}  → {check.todo}")
    fatal = [check for checks in groups.values() for check in checks if check.is_fatal]
    if not fatal:
        return "\n".join(
            [*lines, "", "The main job can run: python -m preprocessing, mosi_e2e.train, mosi_e2e.evaluate."]
        )
    lines += ["", f"The main job cannot run: {', '.join(check.name for check in fatal)}. Type:"]
    return "\n".join([*lines, *dict.fromkeys(f"  {check.todo}" for check in fatal if check.todo)])


def to_json(groups: Mapping[str, Sequence[Check]]) -> dict:
    """The same for programs."""
    checks = [{"group": title, **asdict(check)} for title, found in groups.items() for check in found]
    return {
        "can_run": not any(check.is_fatal for found in groups.values() for check in found),
        "checks": checks,
    }
