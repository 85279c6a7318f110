"""An ablation's table for people, as CSV, Markdown, HTML and LaTeX."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from mosi_e2e.experiments.table import FEW_VIDEOS, MAIN, explain_p
from mosi_e2e.pages.fill import render
from mosi_e2e.pages.page import Table
from mosi_e2e.pages.tables import SYNTHETIC_NOTE
from preprocessing.cache.store import write_atomic

SHOWN = {
    "regression": ("mae", "corr", "ccc", "acc2_non0", "f1_non0", "acc7"),
    "binary": ("acc", "f1", "auc", "nll"),
    "classes": ("uar", "acc", "macro_f1", "nll"),
}
NOTES = (
    "Mean ± deviation over seeds; behind it the 95 % interval of this mean, by bootstrap over videos.",
    "Difference: the variant's mean over seeds minus the reference's, on the same clips and videos.",
    "p: permutation test by video of this difference, Holm-corrected over the variants.",
)


def lay_out(summary: dict) -> pd.DataFrame:
    """The table for people: one text per cell."""
    task, lines = summary["task"], []
    metric = MAIN[task]
    for row in summary["rows"]:
        line = {"variant": row["variant"], "seeds": str(max(one["n"] for one in row["seeds"].values()))}
        for key in SHOWN[task]:
            line[key] = f"{show_seeds(row['seeds'][key])} {show_range(row['interval'][key])}".strip()
        difference = row["against"].get(metric)
        line[f"{metric} - {summary['reference']}"] = (
            f"{difference['difference']:+.3f} {show_range(difference['interval'], '+.3f')}"
            if difference
            else "reference"
        )
        line["p"] = "-" if row["p_holm"] is None else f"{row['p_holm']:.4f}"
        lines.append(line)
    for name, values in summary["floors"].items():
        shown = {key: "-" if values.get(key) is None else f"{values[key]:.3f}" for key in SHOWN[task]}
        lines.append({"variant": f"floor: {name}", "seeds": "-", **shown})
    return pd.DataFrame(lines).fillna("-")


def show_seeds(seed: Mapping) -> str:
    """Mean and spread over seeds."""
    if seed["mean"] is None:
        return "-"
    spread = "" if seed["deviation"] is None else f" ± {seed['deviation']:.3f}"
    return f"{seed['mean']:.3f}{spread}"


def show_range(pair: Sequence[float] | None, form: str = ".3f") -> str:
    """An interval in brackets; empty where there is none."""
    return "" if pair is None else f"[{pair[0]:{form}}, {pair[1]:{form}}]"


def write_tables(summary: dict, folder: Path) -> list[Path]:
    """`table.csv`, `.md`, `.html`, `.tex` for people and `table.json` with every number."""
    laid = lay_out(summary)
    remarks = list_remarks(summary)
    content = {
        "csv": laid.to_csv(index=False),
        "md": to_markdown(laid) + "\n" + "\n".join(f"- {text}" for text in remarks) + "\n",
        "html": to_page(laid, remarks, summary),
        "tex": to_latex(laid, remarks),
        "json": json.dumps(summary, indent=1) + "\n",
    }
    for kind, text in content.items():
        write_atomic(folder / f"table.{kind}", text.encode())
    return [folder / f"table.{kind}" for kind in content]


def list_remarks(summary: dict) -> list[str]:
    """What stands below the table: clips, seeds, intervals, conventions."""
    first = f"{summary['split']} split: {summary['clips']} clips of {summary['videos']} videos."
    if summary.get("folds"):
        first += f" Pooled from {summary['folds']} folds: each clip was scored by a model without its video."
    missing = [f"Not finished: {', '.join(summary['missing'])}."] if summary["missing"] else []
    warnings = [SYNTHETIC_NOTE] if summary["synthetic"] else []
    if summary["videos"] < FEW_VIDEOS:
        warnings.append(f"Only {summary['videos']} videos: the intervals are rough.")
    warnings += [why] if (why := explain_p(summary["rows"], summary["videos"])) else []
    return [first, *warnings, *NOTES, *missing]


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"
    )


def to_page(table: pd.DataFrame, remarks: Sequence[str], summary: dict) -> str:
    """A page of its own."""
    title = f"Ablation, {summary['split']} split"
    shown = Table(title, list(table.columns), table.to_numpy().tolist())
    return render(
        "ablation.html", {"title": title, "lead": remarks[0], "table": shown, "remarks": remarks[1:]}
    )


def to_latex(table: pd.DataFrame, remarks: Sequence[str]) -> str:
    """A tabular for booktabs."""
    escape = str.maketrans(
        {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "±": r"$\pm$", "~": r"\textasciitilde{}"}
    )
    rows = [
        [str(cell).translate(escape) for cell in row]
        for row in [list(table.columns), *table.to_numpy().tolist()]
    ]
    lines = [" & ".join(row) + r" \\" for row in rows]
    notes = [f"% {text}" for text in remarks]
    head = [r"\begin{tabular}{" + "l" * len(table.columns) + "}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*notes, *head, *lines[1:], r"\bottomrule", r"\end{tabular}"]) + "\n"
