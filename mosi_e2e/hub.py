"""The Python interface: a trained model from a folder or from the Hugging Face hub, and back.

```python
from mosi_e2e import load
result = load("model/").predict("clip.mp4")
print(result.score)
```
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import ModelHubMixin, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from torch import nn

from mosi_e2e.config import RunConfig
from mosi_e2e.export.folder import FILES, TrainedModel, read_folder, write_folder
from mosi_e2e.models import list_streams
from mosi_e2e.ready.folder import is_ready
from mosi_e2e.runs.checkpoint import CacheFacts
from preprocessing.errors import UserError
from preprocessing.pretrained.hub_access import check_reachable

if TYPE_CHECKING:
    from mosi_e2e.predict.classes import ClassResult
    from mosi_e2e.predict.predictor import OnProgress, PredictOptions, Predictor
    from mosi_e2e.predict.result import VideoResult
    from mosi_e2e.ready.predictor import ReadyPredictor

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


class MosiModel(ModelHubMixin, library_name="mosi_e2e", tags=["video", "sentiment"]):
    """A trained model and all that is known of it.

    It is read from a run folder, a model folder (`python -m mosi_e2e.export`) or the hub, and
    `save_pretrained` and `push_to_hub` write it as a model folder. The model card and the scores are copied
    as they are: who trains on should write them anew.

    Args:
        trained: the network, its settings and its records.

    Attributes:
        network: `network(batch) -> Prediction`, in eval mode on the processor (`mosi_e2e.data.batch`).
        config: of its run.
        facts: what it knows of the cache that it was trained on.

    Example:
        >>> model = MosiModel.from_pretrained("runs/sample_late_fusion")    # doctest: +SKIP
        >>> model.predict("clip.mp4").score                                 # doctest: +SKIP
        0.42
    """

    def __init__(self, trained: TrainedModel):
        self._trained = trained
        self._predictor: Predictor | None = None

    @property
    def network(self) -> nn.Module:
        """The network itself."""
        return self._trained.network

    @property
    def config(self) -> RunConfig:
        """The settings of its run."""
        return self._trained.config

    @property
    def facts(self) -> CacheFacts:
        """What it knows of the cache that it was trained on."""
        return self._trained.facts

    @property
    def card(self) -> str:
        """The model card, Markdown with YAML front matter."""
        return self._trained.records["README.md"].decode()

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> "MosiModel":
        """Read a model.

        Args:
            pretrained_model_name_or_path: run folder, model folder, or a name on the hub (`user/model`).
            force_download: load again what was downloaded before.
            token: for private models; True takes that of `hf auth login`.
            cache_dir: where downloads are kept.
            local_files_only: download nothing.
            revision: branch, tag or commit on the hub.

        Raises:
            UserError: there is no such folder and no such name on the hub, or no model in it.
        """
        name = str(pretrained_model_name_or_path)
        if Path(name).exists():
            return cls(read_folder(Path(name)))
        if not HUB_NAME.fullmatch(name):
            raise UserError(
                f"there is no folder {name}; name a run (runs/NAME), a model folder, or user/model"
            )
        if not local_files_only:
            check_reachable("its folder instead", name, ("config.json",))
        try:
            return super().from_pretrained(
                name,
                force_download=force_download,
                token=token,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                revision=revision,
            )
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(
                f"there is neither a folder {name} nor, within reach, a model of that name on the hub "
                f"({first}); name a run (runs/NAME), a model folder, or user/model"
            ) from error

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
    ) -> "MosiModel":
        """From the hub: the folder's own files and no others, no ONNX either."""
        folder = snapshot_download(
            model_id,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            allow_patterns=list(FILES),
        )
        return cls(read_folder(Path(folder)))

    def _save_pretrained(self, save_directory: Path) -> None:
        """All files of a model folder, the card among them."""
        write_folder(save_directory, self._trained)

    def predict(
        self,
        video: str | Path,
        on_progress: "OnProgress | None" = None,
        options: "PredictOptions | None" = None,
    ) -> "VideoResult | ClassResult":
        """The sentiment, or the classes, of the people in a video of any length.

        Args:
            video: a file that FFmpeg reads.
            on_progress: told the share that is done, 0 to 1, and what is being done.
            options: of the windows and the interval, `mosi_e2e.predict.predictor.PredictOptions`; None takes
                their defaults.

        Raises:
            UserError: no such file, or nothing of what the model reads in it.
        """
        from mosi_e2e.predict.predictor import PredictOptions  # here, since it brings a video decoder

        if self._predictor is None:
            self._predictor = self._make_predictor()
        return self._predictor.predict(video, on_progress, options or PredictOptions())

    def _make_predictor(self) -> "Predictor":
        from mosi_e2e.predict.evidence import read_evidence
        from mosi_e2e.predict.predictor import Member, Predictor
        from mosi_e2e.predict.scoring import Scorer

        scorer = Scorer(self.network, self.config.task, list_streams(self.config.model))
        evidence = read_evidence(self._trained.records, self.config.task)
        return Predictor([Member(scorer, self.config, self.facts, self.config.name, evidence)])


def load(source: str | Path | None = None, fast: bool = False) -> "MosiModel | ReadyPredictor":
    """Read a trained model, ready to predict.

    Args:
        source: run folder, model folder, a ready model's folder, or a name on the Hugging Face hub
            (`user/model`); None: the ready model that comes with the program.
        fast: without a source: the smaller ready model.

    Raises:
        UserError: there is no model under that name, or a checkpoint that the ready model needs is not here.
    """
    if source is not None and fast:
        raise UserError(f"fast is a smaller ready model, used without a source: leave out fast, or {source}")
    if source is not None and not is_ready(Path(source)):
        return MosiModel.from_pretrained(source)
    from mosi_e2e.ready.predictor import ReadyPredictor  # here, since it brings a video decoder

    return ReadyPredictor.open_ready(source and Path(source), fast)
