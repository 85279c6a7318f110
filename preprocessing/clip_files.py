"""Where the media files of a data set are: names under a folder, whatever the container.

A clip is looked for by the end of its path without the extension (`abc_1`, `Raw/abc/1`), because copies
of one data set differ in the folders around the clips and in the container.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

MEDIA_EXTENSIONS = frozenset(
    (".mp4", ".avi", ".mkv", ".flv", ".mpg", ".mov", ".webm", ".wmv", ".mpeg", ".m4v")
)


def walk_files(root: Path) -> Iterator[Path]:
    """List files below `root`, sorted, through links but never twice; hidden ones are left out.

    Archives made on a Mac hold a hidden twin of each file (`__MACOSX/._clip.mp4`) that is no video.
    """
    seen = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def split_extension(name: str) -> tuple[str, str]:
    """Split a known media extension off; any other dot belongs to the name."""
    suffix = PurePosixPath(name).suffix.lower()
    return (name[: -len(suffix)], suffix) if suffix in MEDIA_EXTENSIONS else (name, "")


def index_media(root: Path, clip_folder: str) -> dict[str, list[Path]]:
    """Map every trailing part of a media file's path, without extension, to the files that end so."""
    files = [path for path in walk_files(root) if path.suffix.lower() in MEDIA_EXTENSIONS]
    inside = [path for path in files if clip_folder in path.relative_to(root).parts[:-1]]
    index = defaultdict(list)
    for path in inside or files:
        parts = path.relative_to(root).with_suffix("").parts
        for start in range(len(parts)):
            index["/".join(parts[start:])].append(path)
    return index


def find_media(index: Mapping[str, list[Path]], name: str) -> list[Path]:
    """Give the files that a name fits; a name without extension fits any container."""
    stem, extension = split_extension(name)
    return [path for path in index.get(stem, ()) if extension in ("", path.suffix.lower())]


def name_media(layout: str, clip: str, has_video: bool, video_id: str, clip_id: str) -> list[str]:
    """List the names under which a clip's media file may stand, the expected one first."""
    stem, extension = split_extension(clip)
    nested = f"{video_id}/{clip_id[len(video_id) + 1 :]}{extension}"
    flat = f"{clip_id}{extension}"
    if layout != "course":
        return [flat] if layout == "cmu" else [nested, flat]
    if "/" in clip:
        return [clip.removeprefix("./")]
    # A bare number beside a video id is no file name: every video has a clip 1.
    return [nested, flat] if has_video and stem.isdecimal() else [clip, nested, flat]
