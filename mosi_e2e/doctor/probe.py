"""Runs in a child process: imports what is named, one after another, and says how it went.

    python -m mosi_e2e.doctor.probe torch torchvision ...

One line of JSON per name, at once, so that the parent knows what was being imported when this process died.
Two names are no packages: `face_model` and `gl_libraries`.
"""

import ctypes
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence


def main(names: Sequence[str]) -> None:
    """Import and report; never raises."""
    out = os.fdopen(os.dup(1), "w")
    gc.disable()  # a fifth faster: imports make many objects and hardly any garbage
    os.dup2(2, 1)  # what packages print while they are imported is no answer
    for name in names:
        try:
            answer = {"ok": True, "facts": PROBES.get(name, import_package)(name)}
        except BaseException as error:  # noqa: BLE001  a package may raise anything, SystemExit too
            text = " ".join(str(error).split())
            answer = {"ok": False, "error": f"{type(error).__name__}: {text}"[:300]}
        out.write(json.dumps({"name": name, **answer}) + "\n")
        out.flush()


def import_package(name: str) -> dict:
    """Import one package; that it can be is all there is to say."""
    importlib.import_module(name)
    return {}


def import_torch(name: str) -> dict:
    """PyTorch and the devices it can use."""
    torch = importlib.import_module(name)
    return {
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "built_for_cuda": torch.version.cuda,
        "mps": bool(torch.backends.mps.is_available()),
        "bf16": bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported()),
    }


def find_face_model(name: str) -> dict:
    """MediaPipe's landmark model, its hash checked."""
    del name
    from preprocessing.faces.landmarks import MODEL_SHA256, find_model

    return {"path": str(find_model()), "sha256": MODEL_SHA256}


def load_gl_libraries(name: str) -> dict:
    """The system libraries that MediaPipe loads even where it computes on the processor."""
    del name
    if sys.platform == "linux":
        for library in ("libEGL.so.1", "libGLESv2.so.2"):
            ctypes.CDLL(library)
    return {}


PROBES: dict[str, Callable[[str], dict]] = {
    "torch": import_torch,
    "face_model": find_face_model,
    "gl_libraries": load_gl_libraries,
}

if __name__ == "__main__":
    main(sys.argv[1:])
