"""`python -m preprocessing.import_words`: a table of sentences → a cache of words, without any media.

The cache has one stage, `words` (`preprocessing.cache.words`), for a model that reads words alone. Times are
spread over the clip, since a table has none.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from preprocessing.arguments import Parser
from preprocessing.cache.checksums import hash_file
from preprocessing.cache.facts import read_json
from preprocessing.cache.lock import hold_cache
from preprocessing.cache.store import StageFiles
from preprocessing.cache.words import CONTEXT_END, put_before, spread_words
from preprocessing.cache.writer import NO_ROWS, CacheWriter
from preprocessing.errors import UserError, command
from preprocessing.sets.labels import ClipEntry, join_ids, parse_rows
from preprocessing.settings import digest
from preprocessing.untrusted.problems import refuse
from preprocessing.untrusted.tables import (
    TextTable,
    find_exact_columns,
    is_number,
    normalise_name,
    read_header,
    read_table,
)

STAGE, VERSION = "words", 1
IDS = {"video": "video_id", "clip": "clip_id"}
RENAME = "rename its columns"
SPLIT_NAMES = ("split", "mode", "subset")
EDGES = ("start", "end")  # columns of seconds in the source video
EXAMPLE = """examples:
  python -m preprocessing.import_words labels.csv --text text --out cache/mosi_given
  python -m preprocessing.import_words labels.csv --text heard.csv:ibm --also text --out cache/mosi_ibm"""


@dataclass(frozen=True)
class TextColumn:
    """Where texts stand: `column` of the label table itself, or of another `file` with the same ids."""

    column: str
    file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> "TextColumn":
        """`COLUMN` or `FILE:COLUMN`."""
        file, colon, column = text.rpartition(":")
        return cls(column, Path(file)) if colon else cls(column)

    def __str__(self) -> str:
        return f"{self.file.name}:{self.column}" if self.file else self.column


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 only if every row of the table is in the cache."""
    parser = Parser(
        prog="python -m preprocessing.import_words",
        description="Turn a table of sentences with labels into a cache of words, without any media.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("labels", type=Path, help="table with video_id, clip_id, label and split (or mode)")
    parser.add_argument("--text", required=True, help="the texts: COLUMN of the table, or FILE:COLUMN")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="TEXT",
        help="further texts of the same clips, for train alone: each makes a further example",
    )
    parser.add_argument(
        "--context",
        type=int,
        default=0,
        metavar="N",
        help="put the N sentences before it, of the same video, in front of each; such results are their own",
    )
    parser.add_argument("--out", type=Path, required=True, help="cache folder")
    args = parser.parse_args(argv)
    if args.context < 0:
        raise UserError(f"--context is 0 or more sentences; found {args.context}")
    also = list(map(TextColumn.parse, args.also))
    summary = import_words(args.labels, TextColumn.parse(args.text), also, args.out, args.context)
    print(describe(summary, args.out))
    return 0


def import_words(
    labels: Path, text: TextColumn, also: Sequence[TextColumn], out: Path, context: int = 0
) -> dict:
    """Write the cache `out`.

    Args:
        labels: the table; columns `start` and `end` in seconds give the clips' lengths, where it has them.
        text: what is said in each clip.
        also: further versions for the train split; their clip ids end in `.2`, `.3` and so on.
        out: cache folder; it is new, empty, or an earlier import of words.
        context: how many sentences before it, of the same video and source, stand in front of each.

    Returns:
        The content of `summary.json`.

    Raises:
        UserError: a row that cannot be right, a clip that a file has no text of, `out` is another cache.
    """
    table = read_table(labels, "a table of sentences")
    entries, sources = read_entries(table), [text, *also]
    edges = read_edges(table, len(entries))
    earlier = list_earlier(entries, [start for start, _ in edges], context)
    texts = [add_context(read_texts(source, table, entries), earlier) for source in sources]
    versions = list_versions(entries, texts, [end - start if end else None for start, end in edges])
    paths = dict.fromkeys((labels, *(source.file for source in sources if source.file)))
    prints = [{"file": path.name, "sha256": hash_file(path)} for path in paths]
    named = [str(source) for source in sources]
    recipe = digest(STAGE, VERSION, prints, named, *([context] if context else []))
    check_place(out)
    with hold_cache(out):
        files = StageFiles(out, STAGE, recipe)
        rows = [write_clip(files, *version) for version in tqdm(versions, desc="writing", unit="clip")]
        options = {"source": "table", "text": named[0], "also": named[1:], "context": context}
        keys = {"words": {"unit": "UTF-8", "columns": []}}
        entry = {"recipe": recipe, "version": VERSION, "options": options, "tools": {}, "keys": keys}
        entry["rules"] = {}  # imported: not made of a video
        about = {"synthetic": False, "imported": {"name": out.name, "files": prints, "times": "spread"}}
        summary = summarise(rows)
        CacheWriter(out, {STAGE: files}, {}, {STAGE: entry}).finish(rows, about, {"failures": []}, summary)
    return summary


def read_entries(table: TextTable) -> list[ClipEntry]:
    """The clips of the table, checked by the rules of all label files."""
    have = {normalise_name(name) for name in read_header(table)}
    split = next((name for name in SPLIT_NAMES if name in have), SPLIT_NAMES[0])
    columns = find_exact_columns(table, IDS | {"label": "label", "split": split}, RENAME)
    entries, _, problems = parse_rows(table, "mmsa", columns, table.path.parent)
    refuse(problems)
    return entries


def read_texts(source: TextColumn, labels: TextTable, entries: Sequence[ClipEntry]) -> list[str]:
    """The text of each clip, from the label table or from a file of its own.

    Raises:
        UserError: no such column, or clips without a row.
    """
    table = read_table(source.file, "a table of texts") if source.file else labels
    columns = find_exact_columns(table, IDS | {"text": normalise_name(source.column)}, RENAME)
    rows = table.parse(columns, lambda cells: (join_ids(cells["video"], cells["clip"])[1], cells["text"]))
    texts = dict(rows)
    lacking = [entry.clip_id for entry in entries if entry.clip_id not in texts]
    if lacking:
        raise UserError(
            f"{table.path.name} has no row for {len(lacking)} of {len(entries)} clips (first: {lacking[0]}): "
            "give each clip a row, with an empty text where nothing is said"
        )
    return [texts[entry.clip_id] for entry in entries]


def read_edges(table: TextTable, count: int) -> list[tuple[float, float]]:
    """Where each clip begins and ends in its video, in seconds; 0 and 0 where the table does not say."""
    names = [normalise_name(name) for name in read_header(table)]
    if not set(EDGES) <= set(names):
        return [(0.0, 0.0)] * count
    places = [names.index(edge) for edge in EDGES]
    edges = []
    for _, cells in table.rows[1:]:
        start, end = (cells[place] for place in places)
        known = is_number(start) and is_number(end) and float(end) > float(start)
        edges.append((float(start), float(end)) if known else (0.0, 0.0))
    return edges


def list_earlier(entries: Sequence[ClipEntry], starts: Sequence[float], count: int) -> list[list[int]]:
    """For each clip the rows of the `count` clips before it in its video, in their order.

    Order is that of `starts`, and of the ids where those are equal, numbers as numbers.
    """
    videos: dict[str, list[int]] = {}
    for row in sorted(range(len(entries)), key=lambda row: (starts[row], order_id(entries[row].clip_id))):
        videos.setdefault(entries[row].video_id, []).append(row)
    earlier: list[list[int]] = [[] for _ in entries]
    for rows in videos.values():
        for place, row in enumerate(rows):
            earlier[row] = rows[max(0, place - count) : place]
    return earlier


def order_id(clip_id: str) -> tuple[int, str]:
    """Orders ids that end in a number by that number."""
    number = clip_id.rpartition("_")[2]
    return (int(number) if number.isdecimal() else 0, clip_id)


def add_context(texts: Sequence[str], earlier: Sequence[Sequence[int]]) -> list[tuple[str, str]]:
    """Each clip's text behind what was said before it."""
    return [(" ".join(texts[row] for row in rows), text) for rows, text in zip(earlier, texts, strict=True)]


def list_versions(
    entries: Sequence[ClipEntry],
    texts: Sequence[Sequence[tuple[str, str]]],
    durations: Sequence[float | None],
) -> list[tuple[ClipEntry, tuple[str, str], float | None]]:
    """Every clip with its texts, then every further text of a train clip as a clip of its own."""
    first = list(zip(entries, texts[0], durations, strict=True))
    more = [
        (replace(entry, clip_id=f"{entry.clip_id}.{number}"), text, seconds)
        for number, version in enumerate(texts[1:], start=2)
        for entry, text, seconds in zip(entries, version, durations, strict=True)
        if entry.split == "train"
    ]
    return first + more


def write_clip(files: StageFiles, entry: ClipEntry, texts: tuple[str, str], duration_s: float | None) -> dict:
    """Store one clip's words, behind those before it, and return its line of the index."""
    before, text = texts
    arrays, seconds = spread_words(text, duration_s)
    state = "ok" if len(arrays["words"]) else NO_ROWS
    if before and state == "ok":
        arrays = put_before([*before.split(), CONTEXT_END], arrays)
    seconds = round(seconds if duration_s is None else duration_s, 3)
    files.write(entry.clip_id, arrays, {"state": state, "duration_s": seconds})
    known = {"clip_id": entry.clip_id, "video_id": entry.video_id, "split": entry.split, "label": entry.label}
    return known | {"duration_s": seconds, STAGE: state}


def check_place(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier import of words."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    meta = out / "meta.json"
    stages = read_json(meta, out).get("stages", {}) if meta.is_file() else {}
    if set(stages) != {STAGE}:
        raise UserError(f"{out} holds something else; type another --out, or delete it first")


def summarise(rows: Sequence[Mapping]) -> dict:
    """The import in a few numbers."""
    return {
        "clips": len(rows),
        "usable": len(rows),
        "splits": dict(Counter(row["split"] for row in rows)),
        "silent": sum(row[STAGE] != "ok" for row in rows),
        "minutes": round(sum(row["duration_s"] for row in rows) / 60, 2),
    }


def describe(summary: Mapping, out: Path) -> str:
    """The end of the command's output."""
    splits = ", ".join(f"{split} {count}" for split, count in summary["splits"].items())
    silent = f"; {summary['silent']} without words" if summary["silent"] else ""
    return f"{out}: {summary['clips']} clips ({splits}){silent}\ntimes are spread over each clip"


if __name__ == "__main__":
    sys.exit(main())
