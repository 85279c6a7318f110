"""`python -m preprocessing`: raw clips and labels → cache."""

import argparse
import sys
from collections.abc import Sequence

from preprocessing.config import PreprocessConfig
from preprocessing.errors import command
from preprocessing.pipeline import preprocess
from preprocessing.settings import load_config


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 only if every clip is in the cache."""
    parser = argparse.ArgumentParser(
        prog="python -m preprocessing",
        description="Decode every clip once; cache face crops, sound, behaviour tokens and openSMILE.",
        epilog="example: python -m preprocessing --config configs/preprocess.yaml "
        "labels=data/mosi out=cache/mosi",
    )
    parser.add_argument("--config", help="YAML file; without it the defaults")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the file")
    args = parser.parse_intermixed_args(argv)
    config = load_config(PreprocessConfig, args.config, args.overrides)
    summary = preprocess(config)
    print(describe(summary, config.out))
    return 1 if summary["refused"] else 0


def describe(summary: dict, out: str) -> str:
    """The run's summary for people."""
    splits = ", ".join(f"{name} {count}" for name, count in summary["splits"].items())
    face = "-" if summary["face_ratio"] is None else f"{100 * summary['face_ratio']:.1f} %"
    lines = [
        f"{summary['usable']} of {summary['clips']} clips in {out} ({splits}), {summary['minutes']} minutes; "
        f"faces in {face} of the sampled frames",
        f"without a face: {summary['without_face']}, without sound: {summary['without_sound']}, "
        f"without a label: {summary['unlabelled']}",
    ]
    refused = summary["refused"]
    if refused:
        lines.append(f"{len(refused)} refused or failed (all in {out}/failures.csv; run again to retry):")
        lines += [f"  {one['clip_id']} [{one['stage']}] {one['error']}" for one in refused[:10]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
