"""A dataset that tells which loading process read an example; alone here, since those processes import it."""

import torch.utils.data

from mosi_e2e.data.dataset import ClipDataset, Pick


class MarkedDataset(ClipDataset):
    """Appends `@<number of the loading process>` to the clip id."""

    def __getitem__(self, pick: Pick) -> dict:
        worker = torch.utils.data.get_worker_info()
        example = super().__getitem__(pick)
        return example | {"clip_id": f"{example['clip_id']}@{worker.id}"}
