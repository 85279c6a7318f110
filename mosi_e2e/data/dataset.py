"""Clips of a cache as training examples."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from torch.utils.data import Dataset

from mosi_e2e.config import ABSENCES, ALL, FAILED, SPLITS, DataConfig
from mosi_e2e.data.augment import Augmenter, Streams
from mosi_e2e.data.streams import Stream, encoded_name, find_stream
from preprocessing.cache.store import Arrays, ClipStore, StageFiles
from preprocessing.config import SAMPLE_RATE
from preprocessing.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class Pick(NamedTuple):
    """What a sampler asks the dataset for.

    Attributes:
        index: number of the clip.
        draw: number of the epoch, which the augmentation depends on; -1 for none.
        weight: of the clip in the loss; 0 marks a filler that only keeps batches in step.
    """

    index: int
    draw: int = -1
    weight: float = 1.0


class ClipDataset(Dataset):
    """One split of a cache.

    Args:
        store: the cache.
        split: train | valid | test | all.
        streams: names of registered streams, or the cache's own.
        config: causes that may be missing, longest clip.
        labelled: leave out clips without a label (training and scoring need one, predicting does not).
        augmenter: for training clips; used where a pick has a draw.
        seed: of the augmentation.

    Raises:
        UserError: no such clips, or clips are missing for a cause that is not allowed.
    """

    def __init__(
        self,
        store: ClipStore,
        split: str,
        streams: Sequence[str],
        config: DataConfig,
        labelled: bool = True,
        augmenter: Augmenter | None = None,
        seed: int = 0,
    ):
        self.store, self.streams, self.config = store, list(streams), config
        self.augmenter, self.seed = augmenter, seed
        self.encoded: dict[str, StageFiles] = {}
        self.readers: dict[str, Callable[[dict], dict]] = {}  # of words: `read_words` of the model's encoders
        if config.scramble_times and any(find_stream(name).kind == "waveform" for name in self.streams):
            raise UserError(
                "data.scramble_times moves rows, and a waveform has none; leave speech out of the streams"
            )
        self.clips = select_clips(store, split, self.streams, config, labelled)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, pick: Pick) -> dict:
        """One example: ids, label, `streams` {name: {values, time}} of the valid rows, weight, number."""
        clip = self.clips.iloc[pick.index]
        streams = self._read(clip.clip_id)
        if self.config.scramble_times:
            streams = scramble_times(streams, pick.index)
        if pick.draw >= 0:
            key = (self.seed, pick.draw, pick.index)
            streams = cut_window(streams, clip.duration_s, self.config.max_seconds, key)
            streams = self.augmenter(streams, key) if self.augmenter else streams
        streams |= {name: read(streams[name]) for name, read in self.readers.items() if name in streams}
        return {
            "index": pick.index,
            "clip_id": clip.clip_id,
            "label": float(clip.label),
            "weight": pick.weight,
            "streams": streams,
        }

    def _read(self, clip_id: str) -> Streams:
        """The clip's streams; those in `encoded` as the frozen encoder's output."""
        streams = {}
        for name in self.streams:
            if name in self.encoded:
                rows = self.encoded[name].read(clip_id)
                streams[encoded_name(name)] = rows | {"values": rows["values"].astype(np.float32)}
            else:
                streams[name] = read_stream(self.store, clip_id, find_stream(name))
        return streams


def scramble_times(streams: Streams, number: int) -> Streams:
    """Deal a clip's times anew among the rows of each stream; clip `number` always gets the same deal."""
    return {
        name: stream | {"time": np.random.default_rng([number, *name.encode()]).permutation(stream["time"])}
        for name, stream in streams.items()
    }


def select_clips(
    store: ClipStore, split: str, streams: Sequence[str], config: DataConfig, labelled: bool
) -> "pd.DataFrame":
    """The rows of the index that are used, after all that is missing was said or allowed."""
    unknown = [cause for cause in config.allow_missing if cause not in (*FAILED, *ABSENCES)]
    if unknown:
        known = ", ".join((*FAILED, *ABSENCES))
        raise UserError(f"data.allow_missing knows {known}, but got {', '.join(unknown)}")
    chosen = store.index.split.isin(SPLITS if split == ALL else [split])
    clips = store.index[chosen].reset_index(drop=True)
    if clips.empty:
        have = ", ".join(sorted(store.index.split.unique()))
        raise UserError(f"{store.root} has no clip in split '{split}' (it has {have}); choose one of those")
    stages = sorted({find_stream(name).stage for name in streams})
    lacking = [stage for stage in stages if stage not in clips]
    if lacking:
        raise UserError(
            f"{store.root} has no stage {', '.join(lacking)}; it has {', '.join(store.meta['stages'])}: "
            "choose model.NAME.streams that it has, or another data.cache"
        )
    states = clips[stages]
    for cause in (*FAILED, *ABSENCES):
        hit = states.eq(cause).any(axis=1)
        if hit.any() and cause not in config.allow_missing:
            raise UserError(
                f"{int(hit.sum())} {split} clips are '{cause}' in {store.root} (first: "
                f"{clips[hit].clip_id.iloc[0]}); run preprocessing again, or type "
                f"data.allow_missing=[{','.join([*config.allow_missing, cause])}]"
            )
    clips = clips[~states.isin(FAILED).any(axis=1)]
    if labelled:
        clips = clips[clips.label.notna()]
    if clips.empty:
        raise UserError(
            f"no {'labelled ' if labelled else ''}clip of split '{split}' in {store.root} can be used"
        )
    return clips.reset_index(drop=True)


def read_stream(store: ClipStore, clip_id: str, stream: Stream) -> dict[str, np.ndarray]:
    """A stream of a clip of the cache, as `take_rows` gives it."""
    return take_rows(store.read(clip_id, stream.stage), stream)


def take_rows(arrays: Arrays, stream: Stream) -> dict[str, np.ndarray]:
    """`{"values", "time"}` of the valid rows of a stream, from the arrays of its stage.

    Crops become [T, H, W, 3] uint8 RGB, a waveform [S] float32 in [-1, 1] (`time` [1]: of its first
    sample), tokens [T, D] float32.
    """
    time = arrays[f"{stream.key}_time"].astype(np.float32)
    if stream.kind == "waveform":
        return {"values": arrays[stream.key].astype(np.float32) / 32768, "time": time}
    if stream.kind == "words":
        kept = arrays.get(f"{stream.key}_valid", slice(None))  # of a video of which a part is hidden
        return {"values": arrays[stream.key][kept], "time": time[kept]}
    if stream.kind == "crops":
        valid = arrays["face_valid"]
        return {
            "values": decode_crops(arrays["face_jpeg"], arrays["face_offset"], valid),
            "time": time[valid],
        }
    valid = arrays.get(f"{stream.key}_valid", np.ones(len(time), dtype=bool))
    return {"values": arrays[stream.key][valid].astype(np.float32), "time": time[valid]}


def decode_crops(jpeg: np.ndarray, offset: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """JPEG bytes → [T, H, W, 3] uint8 RGB of the valid rows."""
    ranges = [(offset[i], offset[i + 1]) for i in np.flatnonzero(valid)]
    crops = [cv2.imdecode(jpeg[start:end], cv2.IMREAD_COLOR_RGB) for start, end in ranges]
    return np.stack(crops) if crops else np.zeros((0, 1, 1, 3), np.uint8)


def cut_window(streams: Streams, duration_s: float, limit_s: float, key: tuple[int, ...]) -> Streams:
    """A random window of `limit_s` seconds of a longer clip, one for all streams; times stay the clip's."""
    if not limit_s or duration_s <= limit_s:
        return streams
    start = np.random.default_rng([*key, 1]).uniform(0, duration_s - limit_s)
    cut = {}
    for name, stream in streams.items():
        values, time = stream["values"], stream["time"]
        if find_stream(name).kind == "waveform" and len(values):
            first, last = (max(int((edge - time[0]) * SAMPLE_RATE), 0) for edge in (start, start + limit_s))
            cut[name] = {"values": values[first:last], "time": time + first / SAMPLE_RATE}
            continue
        keep = (time >= start) & (time < start + limit_s)
        if len(time) == 1:  # functionals: one row speaks for the whole clip
            keep[:] = True
        cut[name] = {"values": values[keep], "time": time[keep]}
    return cut
