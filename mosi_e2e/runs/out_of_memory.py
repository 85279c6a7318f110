"""What to type when memory ran out."""

from mosi_e2e.config import RunConfig
from mosi_e2e.data.streams import find_stream

SHORTER_S = 15.0  # to be tried where nothing is cut


def explain_memory(config: RunConfig, processes: int, folder: str) -> str:
    """The settings that still can be lowered, and what each costs; the run continues with them.

    Args:
        config: of the run.
        processes: over which an update is spread.
        folder: of the run.
    """
    data, share = config.data, -(-config.data.batch_size // processes)
    micro = min(data.micro_batch or share, share)
    advice = []
    if micro > 1:
        advice.append(f"data.micro_batch={micro // 2} (same result, slower)")
    if data.eval_batch > 1:
        advice.append(f"data.eval_batch={data.eval_batch // 2} (same result)")
    advice += [
        f"model.crossmodal.{name}.gradient_checkpointing=true (same result, slower)"
        for name in list_dear(config)
    ]
    seconds = data.max_seconds / 2 if data.max_seconds else SHORTER_S
    advice.append(f"data.max_seconds={seconds:g} (longer clips lose their ends; under another name=NAME)")
    return (
        f"out of memory: type {', '.join(advice)}; all but the last one with --resume, where {folder} "
        "holds a state"
    )


def list_dear(config: RunConfig) -> list[str]:
    """Encoders that keep activations which they could compute again."""
    if config.model.name != "crossmodal":
        return []
    cross = config.model.crossmodal
    return [
        name
        for name in sorted(cross.streams, reverse=True)
        if find_stream(name).pretrained
        and getattr(cross, name).freeze != "frozen"
        and not getattr(cross, name).gradient_checkpointing
    ]
