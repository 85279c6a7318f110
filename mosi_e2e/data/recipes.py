"""Whether a cache was made as the one that a model was trained on."""

from collections.abc import Mapping, Sequence

from mosi_e2e.data.streams import find_stream
from preprocessing.cache.facts import compare_options
from preprocessing.cache.store import ClipStore


def describe_difference(stages: Mapping[str, Mapping], store: ClipStore, streams: Sequence[str]) -> str:
    """How the stages that a model reads differ from those that it was trained on; empty if they do not.

    Args:
        stages: of the training's cache (`CacheFacts.stages`); none are known of older models.
        store: the cache at hand.
        streams: which the model reads.
    """
    differ: dict[str, object] = {}
    texts = []
    for stage in sorted({find_stream(name).stage for name in streams}):
        trained, found = stages.get(stage, {}), store.meta["stages"].get(stage, {})
        options = compare_options(found.get("options", {}), trained.get("options", {}))
        differ |= {name: value for name, (_, value) in options.items()}
        texts += [f"{name} is {here}, trained with {there}" for name, (here, there) in options.items()]
        if trained and found.get("version") != trained.get("version"):
            texts.append(f"{stage} was made by version {found.get('version')}, not {trained.get('version')}")
    if not texts:
        return ""
    found = (
        f"{store.root} was made otherwise than the cache of training, which can cost accuracy "
        f"({'; '.join(texts)})"
    )
    if store.meta.get("imported"):  # no settings of preprocessing made it
        return found
    settings = " ".join(f"{name}={value}" for name, value in differ.items())
    command = f"python -m preprocessing labels=LABELS out=FOLDER {settings}"
    return f"{found}; to make the same kind: {command}".rstrip()
