"""`python -m preprocessing.list_voices`: a set of emotional voices → a labels file for preprocessing."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preprocessing.arguments import Parser
from preprocessing.cache.store import write_table
from preprocessing.errors import UserError, command
from preprocessing.sets.labels import parse_split
from preprocessing.sets.layouts import CSV_NAMES
from preprocessing.sets.media_files import MEDIA_EXTENSIONS, SOUND_EXTENSIONS, find_file, walk_files
from preprocessing.sets.voices import CORPORA, Voice, deal_speakers, parse_voice
from preprocessing.untrusted.problems import RowProblem
from preprocessing.untrusted.tables import find_exact_columns, normalise_name, read_header, read_table

FEWEST_SPEAKERS = 3  # train, valid and test
SPEAKER_NAMES = ("speaker", "video_id", "subject", "actor")
LABEL_NAMES = ("emotion", "label")
SHOWN = 3
EXAMPLE = """examples:
  python -m preprocessing.list_voices data/RAVDESS --out data/ravdess.csv
  python -m preprocessing.list_voices data/voices/manifest.csv --corpus emodb --out data/emodb.csv
  python -m preprocessing labels=data/ravdess.csv out=cache/ravdess"""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 only if a labels file was written."""
    parser = Parser(
        prog="python -m preprocessing.list_voices",
        description="Write the labels file of a set of emotional voices: from the file names of RAVDESS, "
        "EmoDB and CREMA-D, or from a table with path, speaker and emotion.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="folder of recordings, or a table with a row for each")
    parser.add_argument("--corpus", default="", help=f"one set of several: {', '.join(CORPORA)}")
    parser.add_argument("--out", type=Path, required=True, help="labels file, .csv")
    args = parser.parse_args(argv)
    voices, foreign = (read_manifest if args.source.is_file() else read_folder)(args.source)
    chosen = choose_corpus(voices, args.corpus)
    rows = lay_out(chosen)
    write_table(args.out, rows, tuple(CSV_NAMES.values()))
    print(describe(chosen, rows, foreign))
    print(f"written: {args.out}; next: python -m preprocessing labels={args.out} out=cache/{args.out.stem}")
    return 0


def read_folder(folder: Path) -> tuple[list[Voice], list[str]]:
    """The recordings of a folder by their names, and the files whose names say nothing.

    Raises:
        UserError: there is no such folder, or no file in it whose name is known.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder or table {folder}; name the folder of the recordings")
    known = MEDIA_EXTENSIONS | SOUND_EXTENSIONS
    files = [path for path in walk_files(folder) if path.suffix.lower() in known]
    parsed = {path: parse_voice(str(path.resolve()), path.stem) for path in files}
    voices = [voice for voice in parsed.values() if voice]
    foreign = [path.name for path, voice in parsed.items() if not voice]
    if not voices:
        example = f", such as {foreign[0]}," if foreign else ""
        raise UserError(
            f"{folder}: none of its {len(files)} recordings{example} is named as those of "
            f"{', '.join(CORPORA)}; write a table with path, speaker and emotion, and give that"
        )
    return voices, foreign


def read_manifest(path: Path) -> tuple[list[Voice], list[str]]:
    """The recordings of a table: path (relative to it), speaker, emotion, and perhaps corpus and split.

    Raises:
        UserError: it lacks columns, or rows cannot be right: one example of each kind.
    """
    table = read_table(path, "a table of recordings")
    names = {normalise_name(name) for name in read_header(table)}
    wanted = {"path": "path"}
    for field, choices in (("speaker", SPEAKER_NAMES), ("emotion", LABEL_NAMES)):
        wanted[field] = next((name for name in choices if name in names), choices[0])
    wanted |= {name: name for name in ("corpus", "split") if name in names}
    columns = find_exact_columns(table, wanted, "rename its columns")
    return table.parse(columns, lambda cells: parse_row(cells, path.parent)), []


def parse_row(cells: dict[str, str], root: Path) -> Voice:
    """One recording of a table; a `RowProblem` says what is wrong with its row."""
    for name in ("path", "speaker", "emotion"):
        if not cells[name]:
            raise RowProblem(f"{name} is blank")
    file = find_file(root.resolve() / cells["path"])
    if file is None:
        raise RowProblem(f"there is no file {cells['path']}", "no file")
    split = parse_split(cells["split"]) if cells.get("split") else ""
    return Voice(str(file), cells.get("corpus", ""), cells["speaker"], cells["emotion"], file.stem, split)


def choose_corpus(voices: Sequence[Voice], corpus: str) -> list[Voice]:
    """The recordings of one set, or all.

    Raises:
        UserError: no such set among them.
    """
    found = Counter(voice.corpus for voice in voices)
    if corpus and corpus not in found:
        have = ", ".join(filter(None, found)) or "no column corpus"
        raise UserError(f"--corpus {corpus}: no recording of that set; found {have}")
    return [voice for voice in voices if not corpus or voice.corpus == corpus]


def lay_out(voices: Sequence[Voice]) -> list[dict[str, str]]:
    """Lines of the labels file, with a split by speaker where the source has none.

    Raises:
        UserError: two recordings of one name, or too few speakers for three splits.
    """
    voices = sorted(voices, key=lambda voice: (voice.speaker, voice.stem))
    twice = [clip for clip, count in Counter((v.speaker, v.stem) for v in voices).items() if count > 1]
    if twice:
        raise UserError(
            f"{len(twice)} recordings are there twice, such as {twice[0][1]} of {twice[0][0]}: remove the "
            "copies, or name the folder of one version"
        )
    if not all(voice.split for voice in voices):
        speakers = {voice.speaker for voice in voices}
        if len(speakers) < FEWEST_SPEAKERS:
            raise UserError(
                f"a split by speaker needs {FEWEST_SPEAKERS} speakers or more; found {len(speakers)}: give a "
                "table with a column split"
            )
        split = deal_speakers(speakers)
        voices = [replace(voice, split=split[voice.speaker]) for voice in voices]
    return [
        {
            "path": voice.path,
            "video_id": voice.speaker,
            "clip_id": f"{voice.speaker}_{voice.stem}",
            "label": voice.emotion,
            "split": voice.split,
        }
        for voice in voices
    ]


def describe(voices: Sequence[Voice], rows: Sequence[dict[str, str]], foreign: Sequence[str]) -> str:
    """What was found, in a few lines."""
    emotions = Counter(voice.emotion for voice in voices)
    splits = Counter(row["split"] for row in rows)
    lines = [
        f"{len(voices)} recordings of {len({voice.speaker for voice in voices})} speakers "
        f"({', '.join(f'{name} {splits[name]}' for name in ('train', 'valid', 'test') if splits[name])})",
        f"classes: {', '.join(f'{name} {count}' for name, count in sorted(emotions.items()))}",
    ]
    if foreign:
        shown = ", ".join(foreign[:SHOWN]) + (" …" if len(foreign) > SHOWN else "")
        lines.append(f"note: {len(foreign)} files are left out, whose names say no emotion: {shown}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
