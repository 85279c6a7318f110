"""The model card: what a model is, how good it is, what it is for, and what it must not be used for."""

import json
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mosi_e2e.config import RunConfig
from mosi_e2e.data.streams import find_stream
from mosi_e2e.export.licences import list_licences
from mosi_e2e.models import list_streams
from mosi_e2e.pages.fill import open_templates
from mosi_e2e.runs.checkpoint import CacheFacts
from preprocessing.stages.spoken import HEARS

# Metric → what it is called on the hub, where it has such a name.
HUB_METRICS = {
    "mae": "mae",
    "corr": "pearsonr",
    "acc2_non0": "accuracy",
    "f1_non0": "f1",
    "acc": "accuracy",
    "f1": "f1",
}
NAMES = {
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "r2": "R²",
    "corr": "Pearson correlation",
    "ccc": "concordance correlation",
    "acc7": "accuracy, 7 classes",
    "acc5": "accuracy, 5 classes",
    "acc2_has0": "accuracy, negative / non-negative (has0)",
    "f1_has0": "weighted F1, negative / non-negative (has0)",
    "acc2_non0": "accuracy, negative / positive (non0)",
    "f1_non0": "weighted F1, negative / positive (non0)",
    "acc": "accuracy",
    "f1": "weighted F1",
    "macro_f1": "macro F1",
    "auc": "area under the ROC curve",
    "nll": "log loss",
    "uar": "unweighted average recall",
}
PACKAGES = (
    "mosi-e2e",
    "torch",
    "timm",
    "transformers",
    "accelerate",
    "numpy",
    "mediapipe",
    "opensmile",
    "av",
)


def write_card(config: RunConfig, trained: RunConfig, facts: CacheFacts, records: Mapping[str, bytes]) -> str:
    """The card of a model, Markdown with the YAML front matter of the Hugging Face hub.

    Args:
        config: the model's settings.
        trained: the run's, which still name the checkpoints that it began with.
        facts: what the model knows of its cache.
        records: `metrics_<split>.json` and `environment.json`, as far as there are.
    """
    scores = {
        split: json.loads(records[f"metrics_{split}.json"])
        for split in ("test", "valid", "train")
        if f"metrics_{split}.json" in records
    }
    licences = list_licences(trained, facts)
    template = open_templates().get_template("model_card.md")
    text = template.render(
        config=config,
        trained=trained,
        facts=facts,
        streams=list_streams(config.model),
        tables={split: tabulate_scores(one) for split, one in scores.items()},
        scores=scores,
        licences=licences,
        words=describe_words(facts) if "words" in list_streams(config.model) else "",
        environment=read_environment(records),
        train_label=describe_labels(facts.train_label),
        class_counts={
            name: sum(label == number for label in facts.train_label)
            for number, name in enumerate(facts.classes)
        },
        version=version("mosi-e2e"),
    )
    return ModelCard(
        f"---\n{describe(config, trained, facts, scores, licences).to_yaml()}\n---\n\n{text}"
    ).content


def describe(
    config: RunConfig, trained: RunConfig, facts: CacheFacts, scores: Mapping[str, dict], licences: list
) -> ModelCardData:
    """The front matter."""
    restricted = any(row.commercial is False for row in licences)
    section = trained.model.crossmodal
    encoders = [getattr(section, name) for name in list_streams(config.model) if find_stream(name).pretrained]
    bases = [one.model for one in encoders if is_base(one)]
    data = "synthetic sample clips" if facts.synthetic else "the run's own cache"
    results = [
        EvalResult(
            task_type="video-classification",
            task_name="emotion of a person" if config.task == "classes" else "sentiment of a speaking person",
            dataset_type="synthetic" if facts.synthetic else "other",
            dataset_name=data,
            dataset_split="test",
            metric_type=HUB_METRICS[key],
            metric_name=f"{NAMES[key]}, test",
            metric_value=value,
        )
        for key, value in scores.get("test", {}).get("metrics", {}).items()
        if key in HUB_METRICS and value is not None
    ]
    return ModelCardData(
        language="en",
        license="other",
        license_name="research-only" if restricted else "see-licences-in-card",
        library_name="mosi_e2e",
        pipeline_tag="video-classification",
        tags=[
            "multimodal-sentiment-analysis",
            config.model.name,
            *list_streams(config.model),
            *(["synthetic"] if facts.synthetic else []),
        ],
        base_model=bases or None,
        model_name=config.name if results else None,
        eval_results=results or None,
    )


def describe_words(facts: CacheFacts) -> str:
    """Where the words came from that a model learned from."""
    options = facts.stages.get("words", {}).get("options", {})
    words = options.get("words", {})
    if words.get("source") in HEARS:
        return f"heard by `{words['model']}` (checkpoint {options['checkpoint'] or 'of the hub'})"
    context = f", each behind the {options['context']} before it" if options.get("context") else ""
    return f"known texts, not heard{context}"


def is_base(encoder: Any) -> bool:
    """Whether an encoder began with a checkpoint of the hub."""
    return encoder.pretrained and encoder.model.count("/") == 1 and not Path(encoder.model).exists()


def tabulate_scores(scores: Mapping[str, Any]) -> list[list[str]]:
    """Header and rows: metric, value, interval, one column per floor."""
    floors = scores["floors"]
    rows = [["metric", "this model", "95 % interval", *(f"floor: {name}" for name in floors)]]
    for key, value in scores["metrics"].items():
        if key == "n":
            continue
        low_high = scores["interval"].get(key)
        between = "–" if low_high is None else f"{low_high[0]:.3f} to {low_high[1]:.3f}"
        below = [_show(one.get(key)) for one in floors.values()]
        rows.append([NAMES.get(key, key.replace("_", " ")), _show(value), between, *below])
    return rows


def _show(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def read_environment(records: Mapping[str, bytes]) -> dict[str, Any] | None:
    """Command, commit, packages and cache recipes of the run; None where they were not kept."""
    if "environment.json" not in records:
        return None
    known = json.loads(records["environment.json"])
    git = known.get("git")
    return {
        "command": shlex.join(known["command"]),
        "commit": "not known" if git is None else git["commit"] + (", changed since" if git["dirty"] else ""),
        "python": known["python"],
        "packages": {name: known["packages"][name] for name in PACKAGES if name in known["packages"]},
        "recipes": known["cache"]["recipes"],
        "gpus": known["gpus"],
        "pretrained": known.get("pretrained", {}),
    }


def describe_labels(label: list[float]) -> dict[str, float | int]:
    """How many training clips there were, and how their labels lie."""
    return {
        "n": len(label),
        "mean": sum(label) / len(label) if label else float("nan"),
        "negative": sum(value < 0 for value in label),
        "zero": sum(value == 0 for value in label),
        "positive": sum(value > 0 for value in label),
    }
