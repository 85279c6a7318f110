"""The state that an interrupted run continues from: safetensors and JSON, so that reading it runs no code.

    last/
    ├── weights.safetensors      of the model
    ├── optimizer.safetensors    `<parameter>/<moment>`
    ├── average.safetensors      moving average of the weights, where optim.ema is on
    └── state.json               all else, with size and checksum of the files above; written last

A state is read whole and compared with the run's model before anything is changed: it is right, or one line
says what is wrong with it.
"""

import json
import random
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from mosi_e2e.engine.loop import Trainer
from mosi_e2e.engine.optim import check_bound
from mosi_e2e.tensors import read_tensors, write_tensors
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError

FORMAT = 1
STATE, WEIGHTS, MOMENTS, AVERAGE = (
    "state.json",
    "weights.safetensors",
    "optimizer.safetensors",
    "average.safetensors",
)
LARGEST_JSON = 2**27  # bytes: a state of 10,000 epochs takes a tenth of it
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)  # of a model that is sharded over processes
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RuntimeError)
Tensors = dict[str, Tensor]


def save_resume(trainer: Trainer, folder: Path) -> None:
    """Replace the state to continue from. All processes call it; the first one writes.

    DeepSpeed can store its state only as pickles, which `load_resume` would not read: nothing is stored then.
    """
    if trainer.accelerator.distributed_type != DistributedType.DEEPSPEED:
        replace_folder(trainer.accelerator, folder, lambda beside: write_state(trainer, beside))


def replace_folder(accelerator: Accelerator, folder: Path, write: Callable[[Path], None]) -> None:
    """Replace a folder by what `write` makes; whatever moment the process dies at, one whole folder stays."""
    beside, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    if accelerator.is_main_process:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
    write(beside)
    if accelerator.is_main_process:
        if folder.exists():  # else `old` is the only whole state: a run died here before
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        beside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()


def find_resume(folder: Path) -> Path | None:
    """The newest whole state, or None."""
    candidates = (folder, folder.with_name(f"{folder.name}.old"))
    return next((path for path in candidates if path.is_dir()), None)


def write_state(trainer: Trainer, folder: Path) -> None:
    """Collect the state, for which all processes are needed, and write it in the first."""
    accelerator = trainer.accelerator
    weights = accelerator.get_state_dict(trainer.model)
    moments, groups = collect_optimizer(trainer)
    generators = gather_object([read_generators()])
    if not accelerator.is_main_process:
        return
    files = {WEIGHTS: weights, MOMENTS: moments}
    if trainer.average is not None:
        files[AVERAGE] = trainer.average.state_dict()
    for name, tensors in files.items():
        write_tensors(folder / name, tensors)
    state = {
        "format": FORMAT,
        "files": {name: describe_file(folder / name) for name in files},
        "mixed_precision": accelerator.mixed_precision,
        "groups": groups,
        "schedule": trainer.schedule.state_dict(),
        "stopping": trainer.stopping.state_dict(),
        "progress": trainer.progress.state_dict(),
        "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
        "generators": generators,
    }
    text = json.dumps(state, default=np.generic.item)
    write_atomic(folder / STATE, f'{{"crc32": {zlib.crc32(text.encode())}, "state":\n{text}\n}}\n'.encode())


def load_resume(trainer: Trainer, folder: Path) -> None:
    """Continue from a stored state.

    Raises:
        UserError: it is damaged, of another model, or of a former version.
    """
    state = read_state(folder)
    model, average = trainer.accelerator.unwrap_model(trainer.model), trainer.average
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    weights = read_tensors(folder / WEIGHTS, shapes)
    parameters = dict(model.named_parameters())
    wanted = {
        f"{name}/{moment}": tuple(parameters[name].shape) if moment != "step" else ()
        for name in list_parameters(trainer)
        for moment in ("step", "exp_avg", "exp_avg_sq")
    }
    moments = read_tensors(folder / MOMENTS, wanted, some=True)
    try:
        if average is not None:
            shapes = {name: tuple(value.shape) for name, value in average.state_dict().items()}
            average.load_state_dict(read_tensors(folder / AVERAGE, shapes))
        restore_optimizer(trainer, moments, state["groups"])
        restore_weights(trainer, weights)
        restore_rest(trainer, state)
    except MALFORMED as error:
        raise damaged(folder, f"{type(error).__name__}: {error}") from error


def restore_rest(trainer: Trainer, state: dict[str, Any]) -> None:
    """All that is no tensor."""
    accelerator = trainer.accelerator
    trainer.schedule.load_state_dict(state["schedule"])
    trainer.stopping.load_state_dict(state["stopping"])
    trainer.progress.load_state_dict(state["progress"])
    if accelerator.scaler and state["scaler"]:
        accelerator.scaler.load_state_dict(state["scaler"])
    generators = state["generators"]
    if accelerator.num_processes == len(generators):
        set_generators(generators[accelerator.process_index])
    if state["mixed_precision"] != accelerator.mixed_precision:
        accelerator.print(
            f"note: stored with mixed precision {state['mixed_precision']}, continued with "
            f"{accelerator.mixed_precision}: the result differs a little"
        )


def read_state(folder: Path) -> dict[str, Any]:
    """`state.json`, after it and the files that it names are found whole.

    Raises:
        UserError: they are not.
    """
    path = folder / STATE
    if not path.is_file():
        if (folder / "optimizer.bin").exists() or list(folder.glob("*.pkl")):
            raise UserError(
                f"{folder} was stored by a former version as pickles, which can run code and are not read: "
                f"its best epoch in {folder.parent / 'best'} can still be used; to train again type another "
                "name=NAME"
            )
        raise damaged(folder, f"{STATE} is missing")
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError("too large")
        outer = json.loads(path.read_bytes())
        state = outer["state"]
        if zlib.crc32(json.dumps(state).encode()) != outer["crc32"]:
            raise ValueError("its checksum is wrong")
        if state["format"] != FORMAT:
            raise UserError(
                f"{folder} has state format {state['format']}, this program reads {FORMAT}; "
                "continue with the version that stored it"
            )
        files = {str(name): (facts["bytes"], facts["crc32"]) for name, facts in state["files"].items()}
    except (OSError, RecursionError, *MALFORMED) as error:
        raise damaged(folder, f"{STATE}: {error}") from error
    for name, facts in files.items():
        check_file(folder, name, *facts)
    return state


def check_file(folder: Path, name: str, size: int, crc32: int) -> None:
    """Refuse a file that is not the one that was written."""
    path = folder / Path(name).name
    if not path.is_file():
        raise damaged(folder, f"{name} is missing")
    if path.stat().st_size != size:
        raise damaged(folder, f"{name} has {path.stat().st_size} bytes and had {size}")
    if describe_file(path)["crc32"] != crc32:
        raise damaged(folder, f"{name} was changed: its checksum is wrong")


def describe_file(path: Path) -> dict[str, int]:
    """Size and checksum."""
    checksum, size = 0, 0
    with path.open("rb") as file:
        while piece := file.read(2**22):
            checksum, size = zlib.crc32(piece, checksum), size + len(piece)
    return {"bytes": size, "crc32": checksum}


def damaged(folder: Path, why: str) -> UserError:
    """The one line about a state that cannot be used."""
    return UserError(
        f"{folder} is damaged ({' '.join(why.split())[:300]}) and the run cannot continue from it: restore "
        f"the folder from a copy; {folder.parent / 'best'} can still be used; to train again type another "
        "name=NAME"
    )


def collect_optimizer(trainer: Trainer) -> tuple[Tensors, list[dict]]:
    """Moments by `<parameter>/<moment>`, and the groups with names of parameters instead of numbers."""
    if trainer.accelerator.distributed_type == DistributedType.FSDP:
        whole = get_optimizer_state_dict(trainer.model, trainer.optimizer.optimizer, options=WHOLE)
        moments, groups = whole.get("state", {}), whole.get("param_groups", [])
    else:
        names, whole = list_parameters(trainer), trainer.optimizer.optimizer.state_dict()
        moments = {names[number]: values for number, values in whole["state"].items()}
        groups = [g | {"params": [names[i] for i in g["params"]]} for g in whole["param_groups"]]
    return {f"{name}/{key}": value for name, each in moments.items() for key, value in each.items()}, groups


def restore_optimizer(trainer: Trainer, moments: Tensors, groups: list[dict]) -> None:
    """Give the optimizer its moments and rates back."""
    by_name: dict[str, Tensors] = {}
    for key, value in moments.items():
        name, moment = key.rsplit("/", 1)
        if moment == "step":
            check_bound("a count of updates", value.item())
        by_name.setdefault(name, {})[moment] = value
    optimizer = trainer.optimizer.optimizer
    if trainer.accelerator.distributed_type == DistributedType.FSDP:
        whole = {"state": by_name, "param_groups": groups}
        set_optimizer_state_dict(trainer.model, optimizer, whole, options=WHOLE)
        return
    names, own = list_parameters(trainer), optimizer.state_dict()["param_groups"]
    if names != [name for group in groups for name in group["params"]]:
        raise ValueError("the optimizer's parameters are others")
    state = {names.index(name): values for name, values in by_name.items()}
    pairs = zip(own, groups, strict=True)  # all but the rates is as the settings say
    rates = [mine | {"lr": check_bound("a rate", float(stored["lr"]))} for mine, stored in pairs]
    optimizer.load_state_dict({"state": state, "param_groups": rates})


def list_parameters(trainer: Trainer) -> list[str]:
    """Names of the optimizer's parameters, in its order."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[one] for group in trainer.optimizer.optimizer.param_groups for one in group["params"]]


def restore_weights(trainer: Trainer, weights: Tensors) -> None:
    """Give the model its weights back."""
    if trainer.accelerator.distributed_type == DistributedType.FSDP:
        set_model_state_dict(trainer.model, weights, options=WHOLE)
    else:
        trainer.accelerator.unwrap_model(trainer.model).load_state_dict(weights)


def read_generators() -> dict[str, Any]:
    """This process's random generators."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global one that libraries draw from
    return {
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), *rest],
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "cuda": [state.numpy().tobytes().hex() for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
    }


def set_generators(state: dict[str, Any]) -> None:
    """Give this process its random generators back; those of GPUs where there are as many as then."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002
    torch.set_rng_state(to_bytes(state["torch"]))
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([to_bytes(one) for one in state["cuda"]])


def to_bytes(digits: str) -> Tensor:
    """Hexadecimal digits as a tensor of bytes."""
    return torch.frombuffer(bytearray.fromhex(digits), dtype=torch.uint8)
