"""Runs OpenFace's FeatureExtraction, as a program or out of a docker image, on one clip at a time.

The exit status tells nothing: it is 0 for a file that cannot be opened and for half a clip. So the
result is judged: the CSV is there, whole, and of as many frames as the clip. One clip per process,
because a bad file among several silently ends the run for all that follow (loading the model costs about
0.5 s each time). The program rewrites its CSV in place when it smooths the action units, so nothing is
looked at before the process has ended.
"""

import csv
import io
import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from preprocessing.config import OpenFaceConfig
from preprocessing.errors import UserError
from preprocessing.openface.columns import list_flags
from preprocessing.openface.table import OpenFaceError, OpenFaceTable, check_frame_count, read_openface_csv

STEM = "openface"  # the program takes `.b` of `a.b` for an extension, so it never gets a clip's own name
OUT = "out"
CSV, ALIGNED = f"{OUT}/{STEM}.csv", f"{OUT}/{STEM}_aligned"
ALIGNED_NAME = re.compile(r"frame_det_00_(\d+)\.\w+")
DEFAULT_FRAMING = 0.7 / 112  # the program's default -simscale over its default -simsize: the same at any size
LOG_TAIL_BYTES = 4096
LOG_TAIL_LINES = 3
NO_BINARY = "set `binary` to the path of FeatureExtraction, or `image` to a docker image"
NO_DOCKER = "install docker, or empty `image` and set `binary`"


def check_openface(config: OpenFaceConfig) -> None:
    """Make sure, before the first clip, that there is a program to run.

    Raises:
        UserError: neither the program nor the docker image is to be had; the message says what to do.
    """
    if not config.image:
        _find_program(config.binary, NO_BINARY)
        return
    docker = _find_program("docker", NO_DOCKER)
    asked = subprocess.run([docker, "image", "inspect", config.image], capture_output=True, text=True)
    if asked.returncode != 0:
        reason = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(
            f"docker has no image {config.image} ({reason}): start it, type `docker pull {config.image}`"
        )


def extract_openface(
    clip: Path, folder: Path, config: OpenFaceConfig, n_frames: int | None = None, aligned_px: int = 0
) -> OpenFaceTable:
    """Run OpenFace on one clip: one start of the program, one reading of its CSV.

    Args:
        clip: any video; its name may hold spaces, brackets, any script, a leading `-`.
        folder: an empty one; the CSV is `CSV` in it, aligned faces lie in `ALIGNED`.
        config: program, columns, limits.
        n_frames: frames that the decoder gave. Without it a CSV of half a clip passes here, and only
            `behaviour_from_openface` refuses it.
        aligned_px: side of the square aligned faces to keep, in pixels; 0 keeps none.

    Raises:
        OpenFaceError: no usable result: it took too long, died, wrote nothing, or wrote something that
            is not whole. The message ends with the last lines that the program printed.
        UserError: there is no program to run.
    """
    clip, out, log = Path(clip).absolute(), folder / OUT, folder / "log.txt"
    if not clip.is_file():
        raise OpenFaceError(f"OpenFace needs a video file, {clip} is none: check the path")
    out.mkdir()
    try:
        status = _run_program(clip, out, log, config, aligned_px)
        return _check_result(folder / CSV, status, config, n_frames)
    except OpenFaceError as error:
        printed = _read_tail(log)
        raise OpenFaceError(f"OpenFace on {clip.name}: {error}; it printed: {printed}") from error


def list_aligned_faces(folder: Path) -> dict[int, Path]:
    """Aligned face images by 1-based decoded frame, in order.

    An image is written wherever the tracker succeeded, at any confidence: use those of valid rows only.
    """
    found = ((ALIGNED_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def _find_program(name: str, advice: str) -> Path:
    found = shutil.which(str(Path(name).expanduser()) if name.startswith("~") else name)
    if found is None:
        raise UserError(f"OpenFace needs the program `{name}`, which is not found: {advice}")
    return Path(found).absolute()


def _run_program(clip: Path, out: Path, log: Path, config: OpenFaceConfig, aligned_px: int) -> int:
    """Run the program or the container to its end, at most `timeout_s`, and return the exit status."""
    container = f"openface-{uuid.uuid4().hex}" if config.image else ""
    if config.image:
        command = _build_docker_command(clip, out, config, container)
    else:
        # It looks for its models beside the path that it was called by, so a link on PATH is followed.
        program = _find_program(config.binary, NO_BINARY).resolve()
        command = [str(program), "-f", str(clip), "-out_dir", str(out)]
    command += _list_options(config, aligned_px)
    with log.open("wb") as output, _start(command, output, container) as process:
        try:
            return process.wait(config.timeout_s)
        except subprocess.TimeoutExpired as error:
            limit = f"{config.timeout_s:g} s"
            raise OpenFaceError(
                f"not done after {limit} and stopped, raise `timeout_s` for long clips"
            ) from error


def _list_options(config: OpenFaceConfig, aligned_px: int) -> list[str]:
    options = ["-of", f"{STEM}.csv", *list_flags(config.groups)]
    if config.mloc:
        options += ["-mloc", config.mloc]
    if aligned_px:
        scale = f"{aligned_px * DEFAULT_FRAMING:.4f}"
        options += ["-simalign", "-nobadaligned", "-nomask", "-format_aligned", "jpg"]
        options += ["-simsize", str(aligned_px), "-simscale", scale]
    return options


def _build_docker_command(clip: Path, out: Path, config: OpenFaceConfig, container: str) -> list[str]:
    inside = f"/clip{clip.suffix}"
    command = [str(_find_program("docker", NO_DOCKER)), "run", "--rm", "--name", container]
    command += ["--network", "none", "--pull", "never"]
    command += ["--user", f"{os.getuid()}:{os.getgid()}"]  # else the files come out owned by root
    command += [
        "--mount",
        _format_mount(clip, inside, "readonly"),
        "--mount",
        _format_mount(out, "/out"),
    ]
    # The image's own entrypoint is a shell.
    command += ["--entrypoint", config.image_binary, config.image]
    return [*command, "-f", inside, "-out_dir", "/out"]


def _format_mount(source: Path, target: str, *more: str) -> str:
    """A `--mount` value; docker reads it as a CSV record, so a comma in a path needs quoting."""
    record = io.StringIO()
    fields = ["type=bind", f"source={source}", f"target={target}", *more]
    csv.writer(record, lineterminator="").writerow(fields)
    return record.getvalue()


@contextmanager
def _start(command: list[str], output: io.BufferedWriter, container: str) -> Iterator[subprocess.Popen]:
    """Start a process in a session of its own; whatever ends the block ends it all, the container too.

    Output goes to a file: a pipe that nobody reads would block the program, and one that a child of it
    keeps open would block us.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"OpenFace cannot be started ({error}): {NO_BINARY}") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            _stop_container(command[0], container)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _stop_container(docker: str, name: str) -> None:
    """Stop the container by its name: it would outlive the client that started it."""
    if name:
        with suppress(subprocess.TimeoutExpired):
            subprocess.run([docker, "kill", name], capture_output=True, timeout=30)


def _check_result(produced: Path, status: int, config: OpenFaceConfig, n_frames: int | None) -> OpenFaceTable:
    """Judge what the program left behind, and read it."""
    if status < 0:
        # All rows may be there, yet from before the rewriting that makes the action units final.
        raise OpenFaceError(f"it was killed by signal {-status}, its result is not final: run it again")
    if status > 0:
        no_model = "if it found no landmark model, set `mloc` to model/main_clnf_general.txt"
        advice = no_model if status == 1 else "fix what it printed"
        raise OpenFaceError(f"it ended with exit status {status}, its result is not final: {advice}")
    if not produced.is_file():
        raise OpenFaceError("it wrote no CSV, though with exit status 0: the clip has no video it can open")
    table = read_openface_csv(produced, config)
    if n_frames is not None:
        check_frame_count(table, n_frames, config.max_missing)
    return table


def _read_tail(log: Path) -> str:
    """The last lines that the program printed, as one line."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return " | ".join([line.strip() for line in lines if line.strip()][-LOG_TAIL_LINES:]) or "nothing"
