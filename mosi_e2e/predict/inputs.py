"""Which files the command line means."""

from collections.abc import Sequence
from pathlib import Path

from preprocessing.errors import UserError
from preprocessing.sets.media_files import MEDIA_EXTENSIONS
from preprocessing.untrusted.names import bound_name

OVERLAY_ENDING = "_overlay.mp4"


def is_run(path: Path) -> bool:
    """Whether a folder is a run, a run's `best/`, a model folder, or a ready model."""
    parts = ("model.safetensors", "best/model.safetensors", "combine.json")
    return any((path / part).is_file() for part in parts)


def check_is_run(path: Path) -> None:
    """Refuse what is no run, and say what to type instead.

    Raises:
        UserError: there is no trained model.
    """
    if not is_run(path):
        # Here, since torch comes with it, which takes seconds.
        from mosi_e2e.runs.checkpoint import check_run

        check_run(path)


def holds_videos(path: Path) -> bool:
    """Whether a path is a file, sound alone included, or is named as a video, or is a folder of videos."""
    if path.is_dir():
        return any(map(is_video, path.iterdir()))
    return path.is_file() or path.suffix.lower() in MEDIA_EXTENSIONS


def list_videos(paths: Sequence[Path]) -> list[Path]:
    """Files as they are named, of folders the video files in them, without what lies deeper.

    Raises:
        UserError: no such file or folder, a folder without a video, or one file named twice.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if is_video(one))
            if not inside:
                known = ", ".join(sorted(MEDIA_EXTENSIONS))
                raise UserError(f"{path} holds no video file ({known}); name the files themselves")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"there is no file or folder {path}; give a video, or a folder of videos")
    return list(dict.fromkeys(found))


def is_video(path: Path) -> bool:
    """Whether a folder's entry is meant: no hidden file, and no overlay of an earlier prediction."""
    return (
        path.suffix.lower() in MEDIA_EXTENSIONS
        and path.is_file()
        and not path.name.startswith(".")
        and not path.name.endswith(OVERLAY_ENDING)
    )


def name_outputs(videos: Sequence[Path]) -> dict[Path, str]:
    """A stem for the files of each video: its own, with its ending where two share it, then a number.

    A name too long for what is written under it is cut and ends in a hash.

    >>> list(name_outputs([Path("a/x.mp4"), Path("a/x.mov"), Path("b/x.mp4"), Path("y.mp4")]).values())
    ['x', 'x_mov', 'x_mp4', 'y']
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for video in videos:
        tries = [video.stem, f"{video.stem}_{video.suffix[1:].lower()}"]
        tries += [f"{tries[-1]}_{number}" for number in range(2, len(videos) + 2)]
        names[video] = next(name for name in map(bound_name, tries) if name not in taken)
        taken.add(names[video])
    return names
