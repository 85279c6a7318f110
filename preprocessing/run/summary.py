"""A finished run in a few numbers, for programs and for people."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preprocessing.cache.facts import CLASS_NAME
from preprocessing.run.estimate import format_time
from preprocessing.run.executor import Failure

SHOWN_REASONS = 10
SHOWN_CLIPS = 3  # named per reason


@dataclass(frozen=True)
class Remark:
    """What is odd about a clip that is used all the same; `stage` may be several, joined by `+`."""

    clip_id: str
    stage: str
    remark: str


def summarise(
    rows: Sequence[dict], usable: Sequence[dict], refused: Sequence[Failure], remarks: Sequence[Remark] = ()
) -> dict:
    """`summary.json`: of the cache, not of the run, so that it is the same however often a run was cut off.

    Args:
        rows: the index.
        usable: those of its rows that training may use.
        refused: why the others may not be used.
        remarks: on clips that are used.
    """
    ratios = [row["face_ratio"] for row in usable if row["face_ratio"] != ""]
    return {
        "clips": len(rows),
        "usable": len(usable),
        "splits": dict(Counter(row["split"] for row in usable)),
        "unlabelled": sum(not row.get(CLASS_NAME) and row["label"] == "" for row in usable),
        "minutes": round(sum(row["duration_s"] or 0 for row in usable) / 60, 2),
        "face_ratio": round(sum(ratios) / len(ratios), 4) if ratios else None,
        "without_face": sum(row["faces"] != "ok" for row in usable),
        "without_sound": sum(row["waveform"] != "ok" for row in usable),
        "reasons": {reason: len(clips) for reason, clips in group_reasons(refused).items()},
        "refused": [vars(failure) for failure in refused],
        "remarks": [vars(remark) for remark in remarks],
    }


def group_reasons(refused: Sequence[Failure]) -> dict[str, list[str]]:
    """Clips by reason, the most frequent first: the sentence without what is the single clip's.

    >>> group_reasons([Failure("x_1", "faces", "truncated or damaged: 0.40 s of 2.00 s can be decoded")])
    {'truncated or damaged': ['x_1']}
    """
    groups: dict[str, list[str]] = {}
    for failure in refused:
        parts = re.split(r"[:;] ", failure.error)
        # "OpenFace on x_1.mp4: no CSV was written": the second part is the reason.
        about_clip = parts[0].startswith("OpenFace on ") and len(parts) > 1
        reason = f"OpenFace: {parts[1]}" if about_clip else parts[0]
        reason = re.sub(r"\S*[/\\]\S+", "…", reason).replace(failure.clip_id, "…")
        clips = groups.setdefault(reason, [])
        if failure.clip_id not in clips[-1:]:  # picture and sound may fail for one reason
            clips.append(failure.clip_id)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def group_remarks(remarks: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Clips by what is odd about them, the most frequent first; numbers are each clip's own.

    >>> group_remarks([{"clip_id": "x_1", "stage": "waveform", "remark": "1.50 s of sound are missing"}])
    {'… s of sound are missing': ['x_1']}
    """
    groups: dict[str, list[str]] = {}
    for remark in remarks:
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "…", remark["remark"]), []).append(remark["clip_id"])
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def _name_some(clips: Sequence[str]) -> str:
    return ", ".join(clips[:SHOWN_CLIPS]) + (", …" if len(clips) > SHOWN_CLIPS else "")


def describe_words(words: Mapping[str, object]) -> str:
    """How many words there are, and how many of those that were said are wrong or missing.

    >>> describe_words({"source": "ctc", "clips": 2, "words": 9, "word_error_rate": 0.25, "words_said": 8})
    '9 in 2 clips (ctc), word-error rate 25.0 % of 8 words (lower case, without punctuation)'
    """
    text = f"{words['words']} in {words['clips']} clips ({words['source']})"
    rate = words.get("word_error_rate")
    if rate is None:
        return text
    said = words["words_said"]
    return f"{text}, word-error rate {100 * rate:.1f} % of {said} words (lower case, without punctuation)"


def describe_summary(summary: dict, run: dict | None, out: str) -> str:
    """The table at the end of a run.

    Args:
        summary: `summary.json`.
        run: `last_run.json` of the run that has just ended; None where there was nothing to do.
        out: the cache.
    """
    splits = ", ".join(f"{name} {count}" for name, count in summary["splits"].items())
    ratio = summary["face_ratio"]
    face = "-" if ratio is None else f"in {100 * ratio:.1f} % of the sampled frames"
    refused = [Failure(**one) for one in summary["refused"]]
    lines = [
        ("cache", out),
        ("clips", f"{summary['usable']} of {summary['clips']} usable ({splits or 'none'})"),
        ("minutes", f"{summary['minutes']}"),
        ("faces found", face),
        ("without a face", f"{summary['without_face']}"),
        ("without sound", f"{summary['without_sound']}"),
        ("without a label", f"{summary['unlabelled']}"),
        ("refused or failed", f"{summary['clips'] - summary['usable']}"),
    ]
    if words := summary.get("words"):
        lines.append(("words", describe_words(words)))
    groups = group_reasons(refused)
    for reason, clips in list(groups.items())[:SHOWN_REASONS]:
        lines.append(("", f"{len(clips)} × {reason} ({_name_some(clips)})"))
    if len(groups) > SHOWN_REASONS:
        lines.append(("", f"and {len(groups) - SHOWN_REASONS} further reasons"))
    for text, clips in list(group_remarks(summary.get("remarks", ())).items())[:SHOWN_REASONS]:
        lines.append(("remark", f"{len(clips)} × {text} ({_name_some(clips)})"))
    if run:
        speed = f", {run['times_real_time']:g} times real time" if run["clip_s"] else ""
        lines.append(("worked on", f"{run['clips']} in {format_time(run['wall_s'])}{speed}"))
    table = [f"{name:<18}{text}" for name, text in lines]
    if summary.get("remarks"):
        table.append(f"each remark with its clip in {out}/remarks.csv")
    if refused:
        table.append(
            f"each with its reason in {out}/failures.csv; the same command takes up clips whose file was "
            "replaced, with --retry-failed all that failed"
        )
    return "\n".join(table)
