"""A trained model as a program that runs without this package: ONNX."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch._dynamo.config as dynamo_config
import torch.fx.experimental._config as tracer_config
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.attention import SDPBackend, sdpa_kernel

from mosi_e2e.config import RunConfig
from mosi_e2e.data.streams import find_stream
from mosi_e2e.engine.losses import Objective, build_objective
from mosi_e2e.export.examples import make_batch, make_trials
from mosi_e2e.export.traceable import TraceableModel, list_inputs, list_longest
from mosi_e2e.models import list_streams
from mosi_e2e.runs.checkpoint import CacheFacts
from preprocessing.errors import UserError

TOLERANCE = 1e-4  # largest difference of a score that an exported form may have
TRACED_S = (1.3, 0.6)  # seconds of the two clips that the model is traced with
ROWS = {
    "crops": "frames",
    "waveform": "samples",
    "tokens": "rows",
    "words": "tokens",
}  # what the rows of a kind of stream are
Run = Callable[[Mapping[str, Tensor]], Mapping[str, np.ndarray]]
Read = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Traced:
    """A traced model beside the one it was traced from.

    Attributes:
        program: what `torch.export` made of it.
        network: the trained model.
        objective: of its task.
        streams: that it reads.
        crop_size: side of its face crops, pixels.
        outputs: names of its scores, in order.
        read: makes of a score what has to be the same; None: the score itself.
    """

    program: ExportedProgram
    network: nn.Module
    objective: Objective
    streams: list[str]
    crop_size: int
    outputs: list[str]
    read: Read | None = None


def trace(
    network: nn.Module,
    config: RunConfig,
    facts: CacheFacts,
    crop_size: int | None = None,
    read: Read | None = None,
) -> Traced:
    """Trace a trained model with free batch size and lengths.

    Two settings keep the tracer from asking about values that are free: `backed_size_oblivious` lets a size
    be 1 without a trace of its own, and the plain form of attention does not look whether a size suits a
    fused kernel. The traced program still holds attention as one operation. The tracer's cache, which finds
    nothing again among sizes that are formulas, is off: that saves a quarter of the time.

    Args:
        network, config, facts: the model.
        crop_size: side of its face crops in pixels; None: as in its cache.
        read: of `Traced`.
    """
    streams = list_streams(config.model)
    if not any(find_stream(name).kind == "crops" for name in streams):
        crop_size = 1
    elif crop_size is None:
        crop_size = read_crop_size(facts)
    objective = build_objective(
        config.task, config.zero_label, config.loss, np.array(facts.train_label), facts.classes
    )
    network = network.cpu().float().eval()
    longest = list_longest(network)
    example = make_batch(network, streams, crop_size, TRACED_S, single=2)
    model = TraceableModel(network, objective, crop_size)
    with (
        torch.no_grad(),
        warnings.catch_warnings(),
        tracer_config.patch(backed_size_oblivious=True),
        dynamo_config.patch(fake_tensor_cache_enabled=False),
        sdpa_kernel(SDPBackend.MATH),
    ):
        warnings.simplefilter("ignore")  # of libraries, about their own future
        outputs = list(model(example))
        program = torch.export.export(model, (example,), dynamic_shapes=({**free_sizes(streams, longest)},))
    return Traced(program, network, objective, streams, crop_size, outputs, read)


def free_sizes(streams: list[str], longest: Mapping[str, int]) -> dict[str, dict[int, Dim]]:
    """Which sizes of the inputs are free, and which of them are one and the same.

    Args:
        streams: of the model.
        longest: most rows of the streams that have a most.
    """
    names = name_axes(streams)
    sizes = {name: Dim(name, min=1) for axes in names.values() for name in axes.values()}
    for stream, most in longest.items():
        name = names[stream][1]
        sizes[name] = Dim(name, min=1, max=most)
    return {given: {axis: sizes[name] for axis, name in axes.items()} for given, axes in names.items()}


def name_axes(streams: list[str]) -> dict[str, dict[int, str]]:
    """The names of the inputs' free axes: `clips`, and what a stream's rows are, such as `face_frames`."""
    names: dict[str, dict[int, str]] = {}
    for name in streams:
        whole = {0: "clips", 1: f"{name}_{ROWS[find_stream(name).kind]}"}
        names |= {name: whole, f"{name}_time": whole, f"{name}_is_pad": whole}
        if find_stream(name).kind == "waveform":
            names[f"{name}_time"] = {0: "clips"}  # of the first sample alone
    return names


def read_crop_size(facts: CacheFacts) -> int:
    """Side in pixels of the face crops that the model was trained on.

    Raises:
        UserError: the model was saved before that was kept.
    """
    try:
        options = facts.stages["faces"]["options"]
        return int(options["faces"]["size"])
    except KeyError as error:
        raise UserError(
            "this model does not say how large its face crops were (facts.json lacks stages); it comes from "
            "an earlier version: train it again"
        ) from error


def write_onnx(path: Path, traced: Traced) -> float:
    """Write the ONNX file, run it with onnxruntime, and hold it against the model.

    Returns:
        The largest difference of a score.

    Raises:
        UserError: the packages of the extra `export` are missing.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  what torch writes ONNX with
    except ImportError as error:
        raise UserError(
            f"ONNX needs {error.name}, which is not installed; type: pip install 'mosi-e2e[export]'"
        ) from error
    names = list_inputs(traced.streams)
    with (
        torch.no_grad(),
        warnings.catch_warnings(),
        dynamo_config.patch(fake_tensor_cache_enabled=False),
        sdpa_kernel(SDPBackend.MATH),
    ):
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            traced.program,
            dynamo=True,
            input_names=names,
            output_names=traced.outputs,
            dynamic_shapes=(name_axes(traced.streams),),  # texts: they rename the axes, which else are s0, s1
            verbose=False,
        )
    written.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {given.name for given in session.get_inputs()}

    def run(batch: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        found = session.run(traced.outputs, {name: batch[name].numpy() for name in names if name in inputs})
        return dict(zip(traced.outputs, found, strict=True))

    return check_scores(path, traced, run)


@torch.no_grad()
def check_scores(path: Path, traced: Traced, run: Run) -> float:
    """Largest difference between an exported form and the model, over batches of many shapes.

    Raises:
        UserError: it is more than `TOLERANCE`; the file is removed.
    """
    largest = 0.0
    for batch in make_trials(traced.network, traced.streams, traced.crop_size):
        prediction = traced.network(batch)
        wanted = [prediction.score, *prediction.by_stream.values()]
        found = run(batch)
        for name, raw in zip(traced.outputs, wanted, strict=True):
            pair = [found[name], traced.objective.to_score(raw).numpy()]
            ours, theirs = map(traced.read, pair) if traced.read else pair
            largest = max(largest, float(np.abs(ours - theirs).max()))
    if not largest <= TOLERANCE:
        path.unlink()
        raise UserError(
            f"an exported model must give the same scores within {TOLERANCE:g}, but {path.name} differs by "
            f"{largest:.2g}: it was removed; leave --onnx out, and report this with the run's config.yaml"
        )
    return largest
