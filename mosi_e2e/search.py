"""`python -m mosi_e2e.search`: hyper-parameters chosen on valid; test is never looked at."""

import sys
from collections.abc import Sequence

from mosi_e2e.experiments.search_space import SearchConfig
from preprocessing.arguments import Parser
from preprocessing.errors import command
from preprocessing.settings import load_config


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Search, and write the best recipe."""
    parser = Parser(
        prog="python -m mosi_e2e.search",
        description="Look for good hyper-parameters on the valid split (Optuna's TPE sampler).",
        epilog="example: python -m mosi_e2e.search --config configs/search.yaml trials=50",
    )
    parser.add_argument("--config", required=True, help="YAML file; see configs/search.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the file")
    args = parser.parse_intermixed_args(argv)
    from mosi_e2e.experiments.trials import list_settings, run_trials, write_best

    config = load_config(SearchConfig, args.config, args.overrides)
    study = run_trials(config)
    recipe = write_best(config, study)
    found = f"{abs(study.best_value):.4f} on valid with {' '.join(list_settings(study))}"
    print(f"best of {len(study.trials)} trials: {found}")
    print(
        "the best of many trials looks better on valid than it is; score it on test once: "
        f"accelerate launch -m mosi_e2e.train --config {recipe} --score test"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
