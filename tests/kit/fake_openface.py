"""A stand-in for OpenFace's FeatureExtraction (and for docker), with the habits of the real program.

What it shares with a real 2.2 build: a file that it cannot open is announced on stdout, leaves no
output, hides every later file of the same call, and the status is still 0; status 1 without the landmark
model; the extension of `-of` is lost; one row for whatever could be decoded, also when that is half a
clip; numbers in rows without a face; a first detection that succeeds at confidence 0.02; a CSV that is
rewritten in place after the last frame, so that its action units are final only when the process ended.

A clip is a real media file (frames are counted with PyAV) or a JSON text that says what happens:

    {"frames": 75,             frames that decode
     "fps": 25.0,
     "lost": [10, 20],         no face in the frames 11 to 20
     "weak": [21],             frames with success at confidence 0.02
     "spaces": true,           the form of 2.0: ", " in header and rows
     "cut": true,              the last row is not finished (a full disk)
     "sleep_s": 1.0,           time before the first row
     "rewrite_s": 0.3,         time between the raw and the final action units
     "hang": "FILE",           never ends after the raw rows; its own and its child's id go into FILE
     "crash": "rewrite",       dies of a segmentation fault before the final action units
     "says": "text"}           printed

`install(folder)` makes a program to be called by path, `install_docker(folder)` a `docker` for PATH.
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

AU_R = [f"{number:02d}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)]
AU_C = [*AU_R[:-1], "28", "45"]
GAZE = [f"gaze_{eye}_{a}" for eye in (0, 1) for a in "xyz"] + ["gaze_angle_x", "gaze_angle_y"]
EYE_LANDMARKS = [f"eye_lmk_{a}_{i}" for a in "xyXYZ" for i in range(56)]
COLUMNS = {
    "gaze": GAZE + EYE_LANDMARKS,
    "pose": [f"pose_{kind}{a}" for kind in "TR" for a in "xyz"],
    "2Dfp": [f"{a}_{i}" for a in "xy" for i in range(68)],
    "3Dfp": [f"{a}_{i}" for a in "XYZ" for i in range(68)],
    "pdmparams": ["p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty", *(f"p_{i}" for i in range(34))],
    "aus": [f"AU{u}_r" for u in AU_R] + [f"AU{u}_c" for u in AU_C],
}
VALUED = ("-out_dir", "-of", "-mloc", "-simsize", "-simscale", "-format_aligned")
RAW_AU = 4.99  # in every AU_r column until the rewriting
MISSING_FACE = {"pose_Tx": "-27448284.0", "pose_Ty": "-15439660.0", "pose_Tz": "37526952.0"}


def install(folder: Path, has_model: bool = True) -> Path:
    """Write an executable FeatureExtraction into `folder`, with or without its landmark model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model").mkdir(exist_ok=True)
    if has_model:
        (folder / "model" / "cen_patches_1.dat").touch()
    return _write_script(folder / "FeatureExtraction", "extract")


def install_docker(folder: Path) -> Path:
    """Write a `docker` that knows the image `algebr/openface` into `folder`; it logs its calls there."""
    install(folder / "image")
    return _write_script(folder / "docker", "docker")


def _write_script(path: Path, mode: str) -> Path:
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" {mode} "$0" "$@"\n')
    path.chmod(0o755)
    return path


def extract(program: Path, argv: list[str]) -> int:
    """The program itself."""
    clips, asked = read_arguments(argv)
    if "-mloc" not in asked and not (program.parent / "model" / "cen_patches_1.dat").exists():
        print("Could not find the landmark detection model to load")
        print("Could not load the landmark detector", flush=True)
        return 1
    for clip in clips:
        script = read_script(Path(clip))
        if script is None:
            print(
                f"Could not open the sequence\nFailed to open the video file at location {clip}",
                flush=True,
            )
            return 0
        print("Attempting to read from file: " + clip, flush=True)
        process_clip(Path(clip), script, asked)
    return 0


def read_arguments(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """Clips, and the other options with their values; the word after `-f` is always a file."""
    clips, asked, words = [], {}, iter(argv)
    for word in words:
        if word == "-f":
            clips.append(next(words))
        else:
            asked[word] = next(words) if word in VALUED else ""
    return clips, asked


def read_script(clip: Path) -> dict | None:
    """What is to happen with this clip, None if it cannot be opened as a video."""
    try:
        script = json.loads(clip.read_text())
        return script if isinstance(script, dict) else None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return count_frames(clip)


def count_frames(clip: Path) -> dict | None:
    """Frames that decode before the end or the first error."""
    import av  # slow to import, and most tests have no media file

    n_frames = 0
    try:
        with av.open(str(clip)) as container:
            if not container.streams.video:
                return None
            fps = float(container.streams.video[0].average_rate or 25)
            for _ in container.decode(video=0):
                n_frames += 1
    except (av.FFmpegError, OSError):
        pass
    return {"frames": n_frames, "fps": fps} if n_frames else None


def process_clip(clip: Path, script: dict, asked: dict) -> None:
    """Write the CSV twice, raw and final, and between the two do what the script says."""
    out = Path(asked.get("-out_dir", "processed"))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError:
        print("Failed to create the output directory")
        os.abort()
    path = out / Path(asked.get("-of", clip.name)).with_suffix(".csv").name
    if "says" in script:
        print(script["says"], flush=True)
    time.sleep(script.get("sleep_s", 0))
    write_csv(path, script, asked, final=False)
    if "hang" in script:
        child = subprocess.Popen(["sleep", "600"])
        Path(script["hang"]).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    if script.get("crash") == "rewrite":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(script.get("rewrite_s", 0))
    write_csv(path, script, asked, final=True)
    if "-simalign" in asked:
        side = int(asked.get("-simsize", "112"))
        write_aligned(path.with_name(path.stem + "_aligned"), script, side, "-nobadaligned" in asked)


def has_face(script: dict, frame: int) -> bool:
    first, last = script.get("lost", [0, 0])
    return not first < frame <= last


def write_csv(path: Path, script: dict, asked: dict, final: bool) -> None:
    chosen = [name for name in COLUMNS if f"-{name}" in asked]
    if not chosen and "-simalign" not in asked:
        chosen = list(COLUMNS)
    columns = [column for name in chosen for column in COLUMNS[name]]
    rows = [["frame", "face_id", "timestamp", "confidence", "success", *columns]]
    for frame in range(1, script["frames"] + 1):
        seen = has_face(script, frame)
        confidence = ("0.02" if frame in script.get("weak", []) else "0.98") if seen else "0.00"
        index = [
            str(frame),
            "0",
            f"{(frame - 1) / script.get('fps', 25.0):.3f}",
            confidence,
            str(int(seen)),
        ]
        rows.append(index + [format_value(column, frame, seen, final) for column in columns])
    separator = ", " if script.get("spaces") else ","
    text = "".join(separator.join(row) + "\n" for row in rows)
    path.write_text(text[:-3] if script.get("cut") else text)


def format_value(column: str, frame: int, seen: bool, final: bool) -> str:
    """A plausible number: gaze and pose move slowly, action units lie in 0..5 and 0/1."""
    if not seen and column in MISSING_FACE:
        return MISSING_FACE[column]
    if column.endswith("_r"):
        return f"{expected_intensity(column, frame) if final else RAW_AU:.2f}"
    if column.endswith("_c"):
        return f"{frame // 8 % 2:.2f}"
    size = {"gaz": 0.1, "pos": 300.0 if "_T" in column else 0.1}.get(column[:3], 100.0)
    return f"{size * (1 + 0.01 * (frame % 10)):.3f}"


def expected_intensity(column: str, frame: int) -> float:
    """The final value of an AU_r column."""
    return round((int(column[2:4]) + frame) % 20 / 10, 2)


def write_aligned(folder: Path, script: dict, side: int, only_good: bool) -> None:
    """One image per frame; `only_good` leaves out frames without success, as `-nobadaligned` does."""
    from PIL import Image  # slow to import, and few tests ask for images

    folder.mkdir(exist_ok=True)
    for frame in range(1, script["frames"] + 1):
        if has_face(script, frame) or not only_good:
            Image.new("RGB", (side, side), (frame % 256, 90, 90)).save(
                folder / f"frame_det_00_{frame:06d}.jpg"
            )


def docker(program: Path, argv: list[str]) -> int:
    """`docker image inspect`, `run` and `kill`: a container outlives its client, as real ones do."""
    folder = program.parent
    with (folder / "docker.jsonl").open("a") as log:
        log.write(json.dumps(argv) + "\n")
    if argv[0] == "image":
        known = argv[-1] == "algebr/openface"
        print(
            "[]" if known else f"Error: No such image: {argv[-1]}",
            file=sys.stdout if known else sys.stderr,
        )
        return 0 if known else 1
    if argv[0] == "kill":
        os.killpg(int((folder / argv[1]).read_text()), signal.SIGKILL)
        return 0
    return run_container(folder, argv[1:])


def run_container(folder: Path, argv: list[str]) -> int:
    """Run the image's program on the mounted paths; status as docker gives it, 128 + signal."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--rm", action="store_true")
    parser.add_argument("--mount", action="append")
    for option in ("name", "network", "pull", "user", "entrypoint"):
        parser.add_argument(f"--{option}")
    split = argv.index("algebr/openface")
    options, words = parser.parse_args(argv[:split]), argv[split + 1 :]
    mounts = [dict(f.partition("=")[::2] for f in next(csv.reader([mount]))) for mount in options.mount]
    if not all(Path(mount["source"]).is_absolute() for mount in mounts):
        print("docker: invalid mount config: mount path must be absolute")
        return 125
    for mount in mounts:  # inside path -> outside path
        words = [mount["source"] if word == mount["target"] else word for word in words]
    inside = subprocess.Popen(
        [folder / "image" / Path(options.entrypoint).name, *words], start_new_session=True
    )
    (folder / options.name).write_text(str(inside.pid))
    status = inside.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    mode = {"extract": extract, "docker": docker}[sys.argv[1]]
    sys.exit(mode(Path(sys.argv[2]).absolute(), sys.argv[3:]))
