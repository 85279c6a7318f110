"""Small sets in each layout as zips, and the command that fetches them."""

import io
import random
import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preprocessing.fetch import __main__ as fetch

NOISE = random.Random(0).randbytes(150_000)
SETS = {
    "course": {
        "MOSI/labels.csv": "clip,label,subset\na_1,1.0,train\na_2,-1.0,train\nb_1,0.2,valid\nc_1,-3,test\n",
        **{f"MOSI/{clip}.mp4": NOISE for clip in ("a_1", "a_2", "b_1", "c_1")},
    },
    "mmsa": {
        "label.csv": "video_id,clip_id,text,label,mode\na,1,x,1.0,train\na,2,x,-1,train\nb,1,x,0,valid\n"
        "c,1,x,1,test\n",
        **{f"Raw/{clip}.mp4": NOISE for clip in ("a/1", "a/2", "b/1", "c/1")},
    },
    "cmu": {
        "OpinionLevelSentiment.csv": "0,1,a,1,1.0\n1,2,a,2,-1.0\n0,1,b,1,0.2\n0,1,c,1,-3\n",
        "folds.csv": "video_id,split\na,train\nb,valid\nc,test\n",
        **{f"Segmented/{clip}.mp4": NOISE for clip in ("a_1", "a_2", "b_1", "c_1")},
    },
    "csv": {
        "labels.csv": "path,video_id,clip_id,label,split\nx/1.mp4,a,1,1,train\nx/2.mp4,a,2,,train\n"
        "x/3.mp4,b,1,0,valid\nx/4.mp4,c,1,1,test\n",
        **{f"x/{number}.mp4": NOISE for number in (1, 2, 3, 4)},
    },
}


def zip_set(layout: str = "course", **changes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, data in (SETS[layout] | changes).items():
            opened.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def run(*arguments) -> int:
    return fetch.main([str(argument) for argument in arguments])


def error(capsys, *arguments) -> str:
    assert run(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@contextmanager
def limited_disk(size: int) -> Iterator[None]:
    """No file may grow beyond `size`, as if the disk were full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
