"""What an ablation is made of: the schema of `configs/ablations.yaml`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from mosi_e2e.config import FoldConfig, RunConfig
from preprocessing.errors import UserError
from preprocessing.settings import check_choice, load_config
from preprocessing.untrusted.names import check_name


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
        folds: splits from a rule (`{by: video_id, n: 6}`; without n one video is left out at a time): each
            seed is one run for each fold (`<variant>/seed<k>/fold<j>`), whose predictions are pooled.
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
    folds: FoldConfig = field(default_factory=FoldConfig)
    variants: dict[str, VariantConfig] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRun:
    """One training of the ablation: which variant and seed, where, and what its command gets."""

    variant: str
    seed: int
    folder: Path
    base: str
    settings: tuple[str, ...]
    fold: int | None = None

    @property
    def pool(self) -> Path:
        """The folder of the table that its predictions belong to: its own, or that of all folds."""
        return self.folder if self.fold is None else self.folder.parent

    @property
    def config(self) -> RunConfig:
        """Its resolved settings."""
        return load_config(RunConfig, self.base, self.settings)


def list_runs(config: AblationConfig) -> list[PlannedRun]:
    """All runs, seed by seed, so that an early look at the table compares all variants.

    Raises:
        UserError: no variants or seeds, an unknown reference, or a setting that a recipe does not know.
    """
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


def _list_runs(config: AblationConfig) -> Iterator[PlannedRun]:
    folds = list(range(count_folds(config))) or [None]
    for seed, fold, (name, variant) in product(config.seeds, folds, config.variants.items()):
        base, settings = variant.base or config.base, (*config.set, *variant.set)
        out, own = Path(config.out) / name, f"seed{seed}"
        if fold is not None:
            rule = config.folds
            settings += tuple(f"data.folds.{key}={getattr(rule, key)}" for key in ("by", "n", "seed"))
            settings += (f"data.folds.test={fold}",)
            out, own = out / own, f"fold{fold}"
        yield PlannedRun(
            name, seed, out / own, base, (*settings, f"out={out}", f"name={own}", f"seed={seed}"), fold
        )


def count_folds(config: AblationConfig) -> int:
    """How many there are; 0 without a rule."""
    if not config.folds.by or config.folds.n:
        return config.folds.n if config.folds.by else 0
    from preprocessing.cache.packed import open_store  # here, since it brings the tables of a cache

    variant = next(iter(config.variants.values()))
    data = load_config(RunConfig, variant.base or config.base, (*config.set, *variant.set)).data
    return open_store(data.cache, data.source).index.video_id.nunique()
