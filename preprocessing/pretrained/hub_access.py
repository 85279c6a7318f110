"""Whether the model hub can be reached: asked before a library tries for over a minute."""

import os
import threading
import urllib.error
import urllib.request

from preprocessing.errors import UserError

HUB = "https://huggingface.co"
TIMEOUT_S = 6.0  # for the hub's first answer; the libraries themselves try for over a minute
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def check_reachable(instead: str, name: str, files: tuple[str, ...]) -> None:
    """Refuse a checkpoint that would have to be downloaded while the hub does not answer.

    Args:
        instead: what to type for a copy of it, such as `model.crossmodal.speech.model=FOLDER`.
        name: on the hub, `user/model`.
        files: the checkpoint is here already where one of them is in the hub's cache.

    Raises:
        UserError: names the checkpoint and the ways to do without the hub.
    """
    if is_offline() or is_cached(name, files):
        return  # the libraries then open what is cached, or say at once that nothing is
    address = os.environ.get("HF_ENDPOINT", HUB)
    error = try_address(address)
    if error:
        raise UserError(
            f"{name} is not on this machine, and {address} does not answer ({error}); connect once, or "
            f"download it elsewhere and type {instead}; HF_HUB_OFFLINE=1 looks only for what is cached"
        )


def is_offline() -> bool:
    """Whether the environment says not to ask the hub."""
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in OFFLINE)


def is_cached(name: str, files: tuple[str, ...]) -> bool:
    """Whether one of a checkpoint's files was downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    if name.count("/") > 1:  # a path
        return False
    return any(isinstance(try_to_load_from_cache(name, file), str) for file in files)


def try_address(address: str, timeout_s: float = TIMEOUT_S) -> str:
    """Empty if somebody answers, whatever; else why not. Looking up the name counts as well."""
    found = [f"no answer within {timeout_s:g} s"]

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            with urllib.request.urlopen(request, timeout=timeout_s):
                found.append("")
        except urllib.error.HTTPError:
            found.append("")
        except (OSError, ValueError) as error:
            found.append(str(getattr(error, "reason", error))[:80] or type(error).__name__)

    asking = threading.Thread(target=ask, daemon=True)  # a daemon: looking up a name cannot be stopped
    asking.start()
    asking.join(timeout_s)
    return found[-1]
