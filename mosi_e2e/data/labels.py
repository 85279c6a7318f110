"""Labels that are names: the numbers of their classes, or the sentiment that a map gives each name."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mosi_e2e.config import RunConfig
from preprocessing.cache.facts import CLASS_NAME
from preprocessing.cache.store import ClipStore
from preprocessing.errors import UserError

SHOWN = 8  # names in a message


def label_clips(store: ClipStore, config: RunConfig, classes: Sequence[str] = ()) -> list[str]:
    """Give the clips of a cache the labels that the task needs, in the column `label` of its index.

    Args:
        store: its index is changed.
        config: task and map of names to sentiment.
        classes: names that a trained model knows; empty: those of the train split, in alphabetical order.

    Returns:
        The classes in the order of their numbers; none for the other tasks.

    Raises:
        UserError: the task does not go with these labels, a name that the map or the model lacks.
    """
    names = store.index.get(CLASS_NAME)
    valence = config.data.labels_valence
    if config.task == "classes":
        if valence:
            raise UserError("data.labels_valence belongs to task=regression and task=binary; leave it out")
        if names is None:
            raise UserError(
                f"task=classes needs labels that are names, but those of {store.root} are numbers; type "
                "task=regression"
            )
        return _number_classes(store, names, classes)
    if names is not None:
        _map_names(store, names, config)
    elif valence:
        raise UserError(
            f"data.labels_valence maps names, but the labels of {store.root} are numbers; leave it out"
        )
    return []


def _number_classes(store: ClipStore, names: pd.Series, known: Sequence[str]) -> list[str]:
    train = names[store.index.split == "train"]
    classes = list(known) or sorted(set(train) - {""})
    foreign = sorted(set(names) - {"", *classes})
    if foreign:
        where = "the model was trained without" if known else "the train split has no clip of"
        raise UserError(
            f"{store.root}: {where} {_list(foreign)} (it has {_list(classes)}); leave these clips out of the "
            "labels, or blank their label"
        )
    number = {name: float(place) for place, name in enumerate(classes)}
    store.index = store.index.assign(label=[number.get(name, np.nan) for name in names])
    return classes


def _map_names(store: ClipStore, names: pd.Series, config: RunConfig) -> None:
    valence = config.data.labels_valence
    found = sorted(set(names) - {""})
    if not valence:
        raise UserError(
            f"the labels of {store.root} are names ({_list(found)}): type task=classes, or for "
            f"task={config.task} say the sentiment of each: 'data.labels_valence={{{found[0]}: 2}}'"
        )
    lacking = [name for name in found if name not in valence]
    if lacking:
        raise UserError(
            f"data.labels_valence lacks {', '.join(lacking)}: give each a number in [-3, 3], or null to "
            "leave its clips out"
        )
    values = [valence.get(name) for name in names]
    store.index = store.index.assign(label=[np.nan if one is None else float(one) for one in values])


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
