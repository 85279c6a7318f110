"""What the machine offers: Python, cores, memory, disk, programs, the model hub."""

import os
import platform
import shutil
import sys
from pathlib import Path

from mosi_e2e.doctor.checks import Check
from preprocessing.pretrained.hub_access import HUB, is_offline, try_address

OLDEST_PYTHON = (3, 11)
LITTLE_DISK_GB, LITTLE_MEMORY_GB = 1.0, 4.0
HUB_TIMEOUT_S = 4.0
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_python() -> Check:
    """The version of Python and where it is."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info >= OLDEST_PYTHON:
        return Check("Python", "ok", found)
    return Check("Python", "missing", found, "python3.11 -m venv .venv, then make install", needed=True)


def check_cores() -> Check:
    """How many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("cores", "ok", f"{cores} for this process, {platform.machine()} {platform.system()}")


def check_memory() -> Check:
    """Memory of the machine, or of the container if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    limits = [Path(name).read_text().strip() for name in CGROUP_LIMITS if Path(name).is_file()]
    total = min([total, *(int(limit) / 1e9 for limit in limits if limit.isdigit())])
    if total >= LITTLE_MEMORY_GB:
        return Check("memory", "ok", f"{total:.1f} GB")
    todo = "type workers=1 for preprocessing and data.workers=0 for training"
    return Check("memory", "warning", f"{total:.1f} GB is little", todo)


def check_disk() -> Check:
    """Free space here."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free >= LITTLE_DISK_GB:
        return Check("disk", "ok", f"{free:.1f} GB free in {Path.cwd()}")
    return Check(
        "disk", "warning", f"{free:.2f} GB free in {Path.cwd()}", "make room, or work on another disk"
    )


def check_program(name: str, use: str, todo: str) -> Check:
    """A program that is good to have."""
    found = shutil.which(name)
    return Check(name, "ok", found) if found else Check(name, "optional", f"not found: {use}", todo)


def check_programs() -> list[Check]:
    """Programs of others that some settings need."""
    openface = "only for behaviour.backend=openface without docker"
    return [
        check_program("ffmpeg", "nothing here needs it; good for a look at odd files", "install ffmpeg"),
        check_program(
            "FeatureExtraction", openface, "build OpenFace 2.2.0, type behaviour.openface.binary=PATH"
        ),
        check_program(
            "docker",
            "only for OpenFace as a docker image",
            "install docker, type behaviour.openface.image=IMAGE",
        ),
    ]


def check_accelerate() -> Check:
    """Which settings `accelerate launch` would take."""
    own = Path("accelerate_config.yaml")
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    default = home / "accelerate" / "default_config.yaml"
    if own.is_file():
        other = f"; without the option it reads {default}" if default.is_file() else ""
        return Check(
            "accelerate config", "ok", f"{own} here, for: accelerate launch --config_file {own}{other}"
        )
    if default.is_file():
        return Check("accelerate config", "ok", str(default))
    return Check("accelerate config", "ok", "none: accelerate launch decides automatically")


def check_hub() -> Check:
    """Whether pretrained encoders can be fetched, or lie here already."""
    cached = list_cached_models()
    here = f"{len(cached)} models cached ({', '.join(cached[:4])}{', ...' if len(cached) > 4 else ''})"
    here = here if cached else "no model cached"
    todo = (
        "only for pretrained encoders: fetch them elsewhere and type the folder, for example "
        "model.crossmodal.speech.model=FOLDER; the sample recipes need none"
    )
    if is_offline():
        return Check(
            "model hub", "ok" if cached else "optional", f"switched off (offline mode); {here}", todo
        )
    address = os.environ.get("HF_ENDPOINT", HUB)
    error = try_address(address, HUB_TIMEOUT_S)
    if not error:
        return Check("model hub", "ok", f"{address} answers; {here}")
    state = "ok" if cached else "optional"
    return Check("model hub", state, f"{address} does not answer ({error}); {here}", todo)


def check_weights() -> list[Check]:
    """The checkpoints of `mosi weights` that lie here, each with its origin and hash."""
    from mosi_e2e.weights.origin import list_kept  # here, since a broken installation may lack what it needs

    todo = "only where the hub is out of reach: python -m mosi_e2e.weights get NAME"
    found = [
        Check(f"weights {one['name']}", "ok", f"from {one['source']}, sha256 {one['sha256'][:12]}...")
        for one in list_kept()
    ]
    return found or [Check("weights", "optional", "no checkpoint of mosi weights is here", todo)]


def list_cached_models() -> list[str]:
    """Names of the models in the hub's cache."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    folder = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    found = sorted(folder.glob("models--*")) if folder.is_dir() else []
    return [path.name.removeprefix("models--").replace("--", "/") for path in found]
