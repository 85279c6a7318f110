"""What each word of a window adds to its score, exactly."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from mosi_e2e.data.batch import collate

if TYPE_CHECKING:
    from mosi_e2e.predict.scoring import Scorer

AT_ONCE = 16  # variants of a window in one batch


@torch.inference_mode()
def leave_out_words(scorer: "Scorer", example: dict, encoded: dict) -> np.ndarray:
    """[T] the score with each of a window's own T words, less the score without it.

    The rest of the text is read anew, as if the word had never been said; the other streams stay, and so do
    words of earlier windows.

    Args:
        scorer: with a model that reads `words`.
        example: a window as it was cut.
        encoded: what `Scorer.encode` made of it.
    """
    rows = example["streams"]["words"]
    count, first_own = len(rows["values"]), example.get("n_before", 0)
    if not count:
        return np.zeros(0)
    others = {name: one for name, one in encoded["streams"].items() if name != scorer.key("words")}
    kept = [np.arange(count), *(np.delete(np.arange(count), place) for place in range(first_own, count))]
    scores = []
    for first in range(0, len(kept), AT_ONCE):
        texts = [
            {name: values[rest] for name, values in rows.items()} for rest in kept[first : first + AT_ONCE]
        ]
        read = [scorer.readers["words"](text) for text in texts]
        batch = collate([example | {"streams": others | {"words": one}} for one in read])
        scores.append(scorer.to_score(scorer.model(batch).score))
    whole, *without = np.concatenate(scores)
    return whole - np.array(without)
