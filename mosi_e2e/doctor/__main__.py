"""`python -m mosi_e2e.doctor`: the state of this installation."""

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mosi_e2e.doctor import machine, packages
from mosi_e2e.doctor.checks import Check, format_checks, to_json
from mosi_e2e.doctor.imports import ImportOutcome, try_imports
from mosi_e2e.doctor.requirements import Requirement, read_requirements
from preprocessing.arguments import Parser
from preprocessing.errors import command


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Print what was found; exit status 0 if the main job can run, else 1."""
    parser = Parser(
        prog="python -m mosi_e2e.doctor",
        description="What is installed, what is missing, and what to type.",
        epilog="example: python -m mosi_e2e.doctor --json",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    args = parser.parse_args(argv)
    if sys.stderr.isatty():
        print("importing every package once, which takes some seconds ...", file=sys.stderr)
    groups = examine()
    result = to_json(groups)
    print(json.dumps(result, indent=1) if args.json else format_checks(groups))
    return 0 if result["can_run"] else 1


def examine() -> dict[str, list[Check]]:
    """All checks, in groups; a check that fails itself is a finding."""
    requirements = attempt("pyproject.toml", read_requirements)
    asked: list[Requirement] = [] if isinstance(requirements, Check) else requirements
    with ThreadPoolExecutor() as pool:
        hub = pool.submit(attempt, "model hub", machine.check_hub)
        running = [pool.submit(try_imports, group) for group in packages.plan_imports(asked)]
        outcomes: dict[str, ImportOutcome] = {}
        for one in running:
            outcomes |= one.result()
    return {
        "Machine": [
            attempt("Python", machine.check_python),
            attempt("cores", machine.check_cores),
            attempt("memory", machine.check_memory),
            attempt("disk", machine.check_disk),
            *attempt_all("devices", packages.check_devices, outcomes),
        ],
        "Packages": [
            *([requirements] if isinstance(requirements, Check) else []),
            *attempt_all("packages", packages.check_packages, asked, outcomes),
        ],
        "Face landmarks": attempt_all("MediaPipe", packages.check_mediapipe, outcomes),
        "Optional": [
            *attempt_all("programs", machine.check_programs),
            *attempt_all("extras", packages.check_extras, asked),
            attempt("accelerate config", machine.check_accelerate),
            hub.result(),
            *attempt_all("weights", machine.check_weights),
        ],
    }


def attempt(name: str, work: Callable, *arguments: object):
    """What `work` returns, or a finding that it failed: one broken thing must not hide the others."""
    try:
        return work(*arguments)
    except Exception as error:  # noqa: BLE001  whatever is broken is what this command is there to say
        return Check(name, "broken", f"the check itself failed: {type(error).__name__}: {error}")


def attempt_all(name: str, work: Callable, *arguments: object) -> list[Check]:
    """Checks of one part; a fault in the part itself is a check that failed."""
    found = attempt(name, work, *arguments)
    return [found] if isinstance(found, Check) else found


if __name__ == "__main__":
    sys.exit(main())
