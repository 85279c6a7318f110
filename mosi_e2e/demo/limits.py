"""What one request may cost, and the sentences that say so."""

import math
from dataclasses import dataclass, fields

from preprocessing.errors import UserError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Bounds of one request, and of all that wait.

    Attributes:
        max_mb: size of an uploaded file, in megabytes.
        max_minutes: length of a video.
        timeout: seconds of computing for one video; then its process is ended.
        max_waiting: videos that may wait behind the one that is being scored.
    """

    max_mb: float = 100.0
    max_minutes: float = 5.0
    timeout: float = 600.0
    max_waiting: int = 8

    @property
    def max_bytes(self) -> int:
        """The largest upload in bytes."""
        return int(self.max_mb * MEGABYTE)

    @property
    def max_disk_bytes(self) -> int:
        """All uploads together: one for each place in the line, and some that are being chosen."""
        return self.max_bytes * (self.max_waiting + 2)

    @property
    def max_sender_bytes(self) -> int:
        """All uploads from one address: half of the room, so that it alone cannot keep others out."""
        return self.max_disk_bytes // 2

    @property
    def least_cost_bytes(self) -> int:
        """What the smallest file counts as, so that the number of files is bounded, too."""
        return self.max_bytes // 100

    def say(self) -> str:
        """For the page, below the field."""
        return (
            f"MP4, MOV, WebM and most other forms, up to {self.max_mb:g} MB and "
            f"{format_minutes(self.max_minutes)}. One person speaking, face in view."
        )


def check_limits(limits: Limits) -> None:
    """Refuse limits that no request could keep.

    Raises:
        UserError: names the option.
    """
    for one in fields(limits):
        value, option = getattr(limits, one.name), f"--{one.name.replace('_', '-')}"
        least = 0 if one.name == "max_waiting" else 1e-9
        if not (math.isfinite(value) and value >= least):
            rule = "0 or more" if least == 0 else "above 0"
            raise UserError(
                f"{option} must be {rule}, but is {value:g}; type for example {option} {one.default:g}"
            )


def format_minutes(minutes: float) -> str:
    """`5 minutes`, `90 seconds`."""
    if minutes >= 2 or minutes == 1:
        return f"{minutes:.3g} minute{'' if minutes == 1 else 's'}"
    return f"{math.ceil(60 * minutes - 1e-6)} seconds"


def say_too_large(limits: Limits) -> str:
    """To the sender of a file above the limit."""
    return (
        f"The limit is {limits.max_mb:g} MB: cut a shorter piece, or save it at a lower resolution, "
        "and upload that."
    )


def say_too_long(seconds: float, limits: Limits) -> str:
    """To the sender of a video above the limit."""
    return (
        f"The video lasts {format_minutes(seconds / 60)} and the limit is "
        f"{format_minutes(limits.max_minutes)}: "
        "cut a shorter piece and upload that."
    )


def say_unreadable(reason: str) -> str:
    """To the sender of a file that is no readable video."""
    return f"This file cannot be scored: {reason}. Save it as MP4 (H.264 and AAC) and try that."


def say_late(limits: Limits) -> str:
    """To the sender of a video whose scoring took too long."""
    return (
        f"Scoring took longer than the limit of {limits.timeout:g} seconds and was stopped: "
        "upload a shorter video, or one of lower resolution."
    )


def say_line_full(limits: Limits) -> str:
    """To a sender where too many wait already."""
    count = f"{limits.max_waiting} videos" if limits.max_waiting != 1 else "1 video"
    return f"The queue is full, with {count} waiting: upload yours again in a few minutes."


SAY_OWN_SHARE = "Too many uploads from your address lie here at the moment: try again in a few minutes."
SAY_NOT_HERE = "There is nothing here; the page is at /."
SAY_ELSEWHERE = "Only this page itself may send something here; open it and try again."
SAY_LENGTH = "What is sent must say how long it is (Content-Length)."
SAY_WORDY = "This message is too long."
SAY_ONE_FILE = "This is not a whole upload of one file: choose the file again."
SAY_SLOW = "The upload took too long: upload a smaller file."
SAY_DISK_FULL = "Too many uploads lie here at the moment: try again in a few minutes."
SAY_DIED = (
    "The process that scored this video broke down, which damaged or very large files can cause; the page is "
    "fine. Convert the video to MP4 (H.264 and AAC) and try that, or try another one."
)
SAY_GONE = (
    "The uploaded video is no longer here, since uploads are deleted after a while: choose the file again."
)
SAY_BROKEN = (
    "Scoring this video failed for a reason that nobody foresaw; it is noted where the page runs. "
    "Try another video."
)
SAY_NOTHING = (
    "Neither a face nor speech was found: film one person from the front, near "
    "enough and in good light, with the microphone on."
)
