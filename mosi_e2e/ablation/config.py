"""What an ablation is made of: the schema of `configs/ablations.yaml`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mosi_e2e.config import RunConfig
from preprocessing.errors import UserError
from preprocessing.names import check_name
from preprocessing.settings import check_choice, load_config

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class VariantConfig:
    """One row of the table.

    Attributes:
        base: recipe; empty: that of the ablation.
        set: settings `a.b=c` that make the variant.
    """

    base: str = ""
    set: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AblationConfig:
    """Named variants, each trained with every seed.

    Attributes:
        base: recipe that the variants differ from.
        out: folder of the runs (`<variant>/seed<k>`) and of the tables.
        set: settings `a.b=c` of all variants; a variant's own come after them.
        seeds: one run of each variant for each.
        split: what the table scores. Epochs and settings are chosen on valid; test is for the end.
        reference: the variant that the others are compared with; empty: the first.
        launch: words for `accelerate launch`, such as `[--config_file, accelerate_config.yaml]`.
        parallel: runs at once. On a machine with GPUs each gets one of its own.
        executor: `local`, or `ray`: on a Ray cluster whose machines share these folders.
        gpus_per_run: what Ray reserves for a run.
        variants: by name.
    """

    base: str = "configs/crossmodal.yaml"
    out: str = "runs/ablations"
    set: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    split: str = "test"
    reference: str = ""
    launch: list[str] = field(default_factory=list)
    parallel: int = 1
    executor: str = "local"
    gpus_per_run: float = 1.0
    variants: dict[str, VariantConfig] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One training of the ablation: which variant and seed, where, and what its command gets."""

    variant: str
    seed: int
    folder: Path
    base: str
    settings: tuple[str, ...]

    @property
    def config(self) -> RunConfig:
        """Its resolved settings."""
        return load_config(RunConfig, self.base, self.settings)


def list_runs(config: AblationConfig) -> list[Run]:
    """All runs, seed by seed, so that an early look at the table compares all variants.

    Raises:
        UserError: no variants or seeds, an unknown reference, or a setting that a recipe does not know.
    """
    check_choice("executor", config.executor, EXECUTORS)
    if not config.variants or not config.seeds or config.parallel < 1:
        raise UserError(
            "an ablation needs variants, seeds and parallel of at least 1; see configs/ablations.yaml"
        )
    check_choice("reference", config.reference or next(iter(config.variants)), tuple(config.variants))
    for name in config.variants:
        check_name("a variant", name)
    runs = list(_list_runs(config))
    for run in runs[: len(config.variants)]:
        run.config  # noqa: B018  a mistyped setting is found before the first run, not after the last
    return runs


def _list_runs(config: AblationConfig) -> Iterator[Run]:
    for seed in config.seeds:
        for name, variant in config.variants.items():
            out = Path(config.out) / name
            own = (f"out={out}", f"name=seed{seed}", f"seed={seed}")
            yield Run(
                name,
                seed,
                out / f"seed{seed}",
                variant.base or config.base,
                (*config.set, *variant.set, *own),
            )
