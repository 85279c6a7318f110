"""Where the media files of a data set are: names under a folder, whatever the container.

A clip is looked for by the end of its path without the extension (`abc_1`, `Raw/abc/1`), because copies
of one data set differ in the folders around the clips and in the container. Names are compared in one
Unicode form (`compose_name`), because a Mac writes others than a keyboard types.
"""

import errno
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from preprocessing.errors import UserError
from preprocessing.untrusted.names import compose_name

# Of everything that is taken for a video in a folder: clips of a data set, and what `predict` scores.
MEDIA_EXTENSIONS = frozenset(
    ".3g2 .3gp .asf .avi .dv .f4v .flv .h264 .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .vob"
    " .webm .wmv".split()
)


SOUND_EXTENSIONS = frozenset(".aac .aif .aiff .flac .m4a .mp3 .oga .ogg .opus .wav .wma".split())


def find_file(path: Path) -> Path | None:
    """The file that a path names, in whatever Unicode form its folders and the file are stored.

    Raises:
        UserError: several files fit, which look the same on the screen.
    """
    try:
        return _search_file(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # no file system holds it
            return None
        raise


def _search_file(path: Path) -> Path | None:
    if path.is_file():
        return path
    fitting = [Path(path.anchor or ".")]
    for part in path.relative_to(path.anchor).parts:
        fitting = [one for folder in fitting for one in _find_entries(folder, part)]
    files = [one for one in fitting if one.is_file()]
    if len(files) > 1:
        raise UserError(
            f"{len(files)} files are named {path}, and only their accents are stored differently: keep one"
        )
    return files[0] if files else None


def _find_entries(folder: Path, name: str) -> list[Path]:
    if name.isascii() or (folder / name).exists() or not folder.is_dir():
        return [folder / name]
    return [path for path in sorted(folder.iterdir()) if compose_name(path.name) == compose_name(name)]


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
        parts = [compose_name(part) for part in path.relative_to(root).with_suffix("").parts]
        for start in range(len(parts)):
            index["/".join(parts[start:])].append(path)
    return index


def find_media(index: Mapping[str, list[Path]], name: str) -> list[Path]:
    """Give the files that a name fits; a name without extension fits any container."""
    stem, extension = split_extension(compose_name(name))
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
