"""Sentences of a table, spoken by a synthesiser: clips of sound with labels, for the way from sound to score.

    python benchmarks/spoken.py --labels mosi_labels.csv --out data/spoken
    python -m preprocessing labels=data/spoken/labels.csv out=cache/spoken words.source=whisper
    python -m mosi_e2e.evaluate runs/words --split test --cache cache/spoken --out spoken
    python benchmarks/words.py ... --more espeak_synthetic=cache/spoken    # a row of its own

It needs espeak-ng. What is heard of it is synthetic speech, clearer than that of people.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from preprocessing.errors import UserError, command

RATE = 160  # words a minute


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write a sound file for each clip of the split, and a label file."""
    parser = argparse.ArgumentParser(prog="python benchmarks/spoken.py", description="Sentences as sound.")
    parser.add_argument("--labels", type=Path, required=True, help="ids, label, split and the column text")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    args = parser.parse_args(argv)
    if not shutil.which("espeak-ng"):
        raise UserError("espeak-ng is not installed; type: apt-get install espeak-ng")
    table = pd.read_csv(args.labels, dtype=str).rename(columns={"mode": "split"})
    table = table[table.split == args.split]
    if table.empty:
        raise UserError(f"{args.labels} has no clip of the split {args.split}")
    args.out.mkdir(parents=True, exist_ok=True)
    table["path"] = [f"{video}_{clip}.wav" for video, clip in zip(table.video_id, table.clip_id, strict=True)]
    for path, text in zip(tqdm(table.path, desc="speaking", unit="clip"), table.text, strict=True):
        say = ["espeak-ng", "-v", "en-us", "-s", str(RATE), "-w", str(args.out / path), "--", text.lower()]
        subprocess.run(say, check=True, capture_output=True)
    columns = ["path", "video_id", "clip_id", "label", "split", "text"]
    table[columns].to_csv(args.out / "labels.csv", index=False)
    print(f"{args.out / 'labels.csv'}: {len(table)} clips")
    return 0


if __name__ == "__main__":
    sys.exit(main())
