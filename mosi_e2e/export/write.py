"""A run's model written into a folder, and a model as an ONNX program."""

from pathlib import Path

from torch import nn

from mosi_e2e.config import RunConfig
from mosi_e2e.export.folder import read_folder, write_folder
from mosi_e2e.export.programs import Read, trace, write_onnx
from mosi_e2e.runs.checkpoint import CacheFacts
from preprocessing.cache.store import write_atomic

PROGRAM, TOKENIZER = "model.onnx", "tokenizer.json"


def write_model(run: Path, folder: Path, onnx: bool, small: bool = False, half: bool = False) -> bool:
    """Write a run's model into a folder, with the ONNX file if it is wanted.

    Args:
        run: run folder.
        folder: where to.
        onnx: write `model.onnx`, too.
        small: leave out what encoders have from checkpoints of `mosi_e2e.weights`.
        half: keep what is left in 16 bits.

    Returns:
        Whether the run was scored on test.

    Raises:
        UserError: there is no such run, or the ONNX file cannot be written or gives other scores.
    """
    trained = read_folder(run)
    write_folder(folder, trained)
    if small:
        from mosi_e2e.weights.small import shrink_folder

        for name in shrink_folder(folder, run, half):
            print(f"without the weights of {name}: they are fetched when the model is used first")
    if onnx:
        print("tracing the model: a minute or two", flush=True)
        largest = write_program(folder, trained.network, trained.config, trained.facts)
        print(f"{PROGRAM}: scores differ from the model's by {largest:.1g} at most", flush=True)
    return "metrics_test.json" in trained.records


def write_program(
    folder: Path,
    network: nn.Module,
    config: RunConfig,
    facts: CacheFacts,
    crop_size: int | None = None,
    read: Read | None = None,
) -> float:
    """Write a model as ONNX, and beside it the tokenizer of one that reads words.

    Args:
        folder: where to.
        network, config, facts: the model.
        crop_size, read: of `trace`, if they are others than the run's.

    Returns:
        The largest difference of a score.

    Raises:
        UserError: the file cannot be written or gives other scores.
    """
    largest = write_onnx(folder / PROGRAM, trace(network, config, facts, crop_size, read))
    if "words" in network.encoders:
        words = network.encoders["words"].read_words()  # which neither pads nor cuts
        write_atomic(folder / TOKENIZER, words.tokenizer.to_str().encode())
    return largest
