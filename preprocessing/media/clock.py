"""One clock for a clip: what its packets say of time, corrected where that cannot be.

The whole table of packets is read once, nothing is decoded. Three kinds of faults are corrected, for picture
and sound together, so that what was in step stays in step:

- time stamps that start again, as in joined recordings: what follows is put behind what came before. In MPEG
  streams, whose clock may change at any place, so is what both streams jump ahead to at once; a jump of one
  stream alone, or in another container, is a hole.
- a single stamp that is far from both of its neighbours: it counts as missing.
- pictures without stamps: they follow each other at the nominal rate, in the order of decoding.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from av.error import FFmpegError

MISSING = np.iinfo(np.int64).min  # a time stamp that is not there
BACK_S = 0.2  # by which decoding times go back where they start again; they rise otherwise
BACK_SHOWN_S = 2.0  # the same for times of showing, which go back and forth between neighbouring pictures
AHEAD_S = 1.0  # by which both streams of an MPEG file jump where another clock begins
HOLE_S = 0.2  # between packets of sound: less is rounding
RATE, MAX_RATE = 25.0, 1000.0  # pictures a second where nothing believable is said


@dataclass(frozen=True, eq=False)
class Packets:
    """One stream's packets.

    Attributes:
        index: of the stream.
        base_s: seconds per tick.
        stamps: [N] int64 ticks, time of showing or `MISSING`.
        ends: [N] int64 ticks, where they end; meaningless where the stamp is missing.
        keys: [N] bool, pictures that need no other one.
        sizes: [N] bytes.
        shift: [M] int64 ticks that were added to the stamps of all packets as the container gives them;
            `MISSING` where the stamp is to be forgotten. None where nothing was changed.
        is_delayed: some are decoded earlier than they are shown.
        is_ordered: the stamps belong to the decoded pictures in their order, not to the packets.
    """

    index: int
    base_s: float
    stamps: np.ndarray
    ends: np.ndarray
    keys: np.ndarray
    sizes: np.ndarray
    shift: np.ndarray | None = None
    is_delayed: bool = False
    is_ordered: bool = False

    @property
    def span_s(self) -> tuple[float, float] | None:
        """Where the stream starts and ends on the container's clock; None without any stamp."""
        known = self.stamps != MISSING
        if not known.any():
            return None
        return int(self.stamps[known].min()) * self.base_s, int(self.ends[known].max()) * self.base_s


@dataclass(frozen=True, eq=False)
class Clock:
    """A clip's clock.

    Attributes:
        video, audio: packets of the streams that are used, or None.
        remark: what was corrected, or nothing.
    """

    video: Packets | None
    audio: Packets | None
    remark: str = ""

    @property
    def is_corrected(self) -> bool:
        """Whether a time stamp was changed."""
        return any(one is not None and one.shift is not None for one in (self.video, self.audio))

    def list_packets(self, container, *streams) -> Iterator:
        """The packets of some streams of the clip, from a container that was just opened, on this clock."""
        shifts = {one.index: one.shift for one in (self.video, self.audio) if one is not None}
        number: Counter = Counter()
        for packet in container.demux(*streams):
            index = packet.stream.index  # not `stream_index`, which FLV counts differently
            shift, place = shifts.get(index), number[index]
            if shift is not None and place < len(shift):
                _move(packet, int(shift[place]))
                number[index] += 1
            yield packet

    @property
    def hole_s(self) -> float:
        """Seconds in the middle of the sound for which it has no packets while the picture goes on."""
        audio = self.audio
        if audio is None:
            return 0.0
        rows = np.flatnonzero(audio.stamps != MISSING)
        if len(rows) < 2:
            return 0.0
        stamps, ends = audio.stamps[rows] * audio.base_s, audio.ends[rows] * audio.base_s
        usual = float(np.median(np.diff(stamps)))  # some containers have no durations
        starts = np.maximum(ends[:-1], stamps[:-1] + usual)
        holes = [(a, b) for a, b in zip(starts, stamps[1:], strict=True) if b - a > HOLE_S]
        return sum(b - a for a, b in holes if self._shows(a, b))

    def _shows(self, start_s: float, end_s: float) -> bool:
        """Whether there are pictures between two times, or no picture at all in the clip."""
        if self.video is None:
            return True
        ticks = np.array([start_s, end_s]) / self.video.base_s
        return bool(((self.video.stamps > ticks[0]) & (self.video.stamps < ticks[1])).any())


def _move(packet, ticks: int) -> None:
    known = ticks != MISSING
    packet.pts = packet.pts + ticks if known and packet.pts is not None else None
    packet.dts = packet.dts + ticks if known and packet.dts is not None else None


def read_clock(container, video, audio) -> Clock:
    """Read all packets of the streams that are used; either may be None."""
    streams = [stream for stream in (video, audio) if stream is not None]
    rows: dict[int, list] = {stream.index: [] for stream in streams}
    with suppress(FFmpegError):
        for packet in container.demux(*streams):
            rows[packet.stream.index].append(
                (
                    MISSING if packet.pts is None else packet.pts,
                    MISSING if packet.dts is None else packet.dts,
                    packet.duration or 0,
                    packet.size,
                    packet.is_keyframe,
                    packet.is_discard,
                )
            )
    tables = [np.array(rows[stream.index], dtype=np.int64).reshape(-1, 6) for stream in streams]
    bases = [float(stream.time_base) for stream in streams]
    is_mpeg = container.format.name.startswith("mpeg")
    shifts, remark = _correct(tables, bases, is_mpeg)
    found = {}
    for stream, table, base_s, shift in zip(streams, tables, bases, shifts, strict=True):
        found[stream.type] = _pack(stream.index, table, base_s, shift)
        if stream is video:
            found["video"], said = _give_times(found["video"], table, stream)
            remark = remark or said
    return Clock(found.get("video"), found.get("audio"), remark)


def _pack(index: int, table: np.ndarray, base_s: float, shift: np.ndarray | None) -> Packets:
    stamps = table[:, 0].copy()
    if shift is not None:
        stamps = np.where((stamps == MISSING) | (shift == MISSING), MISSING, stamps + shift)
    kept = table[:, 5] == 0
    stamps = stamps[kept]
    ends = stamps + table[kept, 2]
    is_delayed = bool((table[:, 0] != table[:, 1]).any())
    return Packets(index, base_s, stamps, ends, table[kept, 4] > 0, table[kept, 3], shift, is_delayed)


def _give_times(packets: Packets, table: np.ndarray, stream) -> tuple[Packets, str]:
    """Times for pictures of which more than a tenth have none: of decoding, or at the nominal rate."""
    filled = packets.sizes > 0
    if not filled.any() or (packets.stamps[filled] == MISSING).mean() <= 0.1:
        return packets, ""
    decoding = table[:, 1]
    if packets.shift is not None:
        decoding = np.where(decoding == MISSING, MISSING, decoding + packets.shift)
    return order_pictures(packets, decoding[table[:, 5] == 0], stream.average_rate or stream.guessed_rate)


def order_pictures(packets: Packets, decoding: np.ndarray, nominal) -> tuple[Packets, str]:
    """The same packets with times that rise in the order in which the decoder gives pictures.

    Args:
        packets: of a picture whose time stamps are missing, or not those of showing.
        decoding: [N] ticks, their times of decoding, or `MISSING`.
        nominal: pictures a second.

    Returns:
        The packets, and a remark where the times are guessed.
    """
    filled = packets.sizes > 0
    rate = float(nominal or 0)
    rate = rate if 0 < rate <= MAX_RATE else RATE
    step = max(round(1 / rate / packets.base_s), 1)
    stamps, remark = np.sort(decoding[filled]), ""
    if (stamps == MISSING).any():
        stamps = np.round(np.arange(filled.sum()) / rate / packets.base_s).astype(np.int64)
        remark = f"the picture has no time stamps: {rate:g} frames a second are assumed"
    ordered = replace(
        packets,
        stamps=stamps,
        ends=stamps + step,
        keys=packets.keys[filled],
        sizes=packets.sizes[filled],
        is_ordered=True,
    )
    return ordered, remark


def _correct(
    tables: list[np.ndarray], bases: list[float], is_mpeg: bool
) -> tuple[list[np.ndarray | None], str]:
    """Per stream the ticks to add to each packet, None where no stream needs any; and the remark."""
    lost = [_find_strays(table, base_s) for table, base_s in zip(tables, bases, strict=True)]
    turns = _pair_restarts(tables, bases, lost, is_mpeg)
    if not any(map(len, turns)) and not any(one.any() for one in lost):
        return [None] * len(tables), ""
    shifts = [np.zeros(len(table), np.int64) for table in tables]
    for table, stray in zip(tables, lost, strict=True):
        table[stray, 0] = MISSING
    pieces = [np.split(np.arange(len(table)), turn) for table, turn in zip(tables, turns, strict=True)]
    together = len({len(one) for one in pieces}) == 1
    groups = [range(len(tables))] if together else [[number] for number in range(len(tables))]
    for group in groups:
        _join(*([part[number] for number in group] for part in (tables, bases, pieces, shifts)))
    for shift, stray in zip(shifts, lost, strict=True):
        shift[stray] = MISSING
    count = max(map(len, turns))
    if not count:
        return shifts, ""
    again = "once" if count == 1 else f"{count} times"
    return shifts, f"the time stamps start again {again}: what follows is put behind what came before"


def _times(table: np.ndarray, base_s: float) -> np.ndarray:
    """[N] seconds of decoding, else of showing; NaN where neither is known."""
    ticks = np.where(table[:, 1] != MISSING, table[:, 1], table[:, 0])
    return np.where(ticks == MISSING, np.nan, ticks * base_s)


def _find_strays(table: np.ndarray, base_s: float) -> np.ndarray:
    """[N] bool: packets far from both neighbours, which are near each other."""
    time = _times(table, base_s)
    stray = np.zeros(len(time), bool)
    if len(time) > 2:
        before, after = time[1:-1] - time[:-2], time[2:] - time[1:-1]
        stray[1:-1] = (np.abs(before) > AHEAD_S) & (np.abs(after) > AHEAD_S) & (before * after < 0)
        stray[1:-1] &= np.abs(before + after) < AHEAD_S
    return stray


def _pair_restarts(
    tables: list[np.ndarray], bases: list[float], lost: list[np.ndarray], is_mpeg: bool
) -> list[np.ndarray]:
    """Per stream the packets with which another clock begins."""
    back, any_way = [], []
    for table, base_s, stray in zip(tables, bases, lost, strict=True):
        time = _times(table, base_s)
        rows = np.flatnonzero(np.isfinite(time) & ~stray)
        steps = np.diff(time[rows])
        limit = np.where(table[rows[1:], 1] != MISSING, BACK_S, BACK_SHOWN_S)
        behind = steps < -limit
        ahead = steps - table[rows[:-1], 2] * base_s > AHEAD_S
        back.append(rows[1:][behind])
        any_way.append(rows[1:][behind | ahead])
    counts = {len(turn) for turn in any_way}
    return any_way if is_mpeg and len(tables) > 1 and len(counts) == 1 else back


def _find_end(table: np.ndarray) -> int:
    """Ticks at which packets end; where they say nothing, the last one is as long as most."""
    steps = np.diff(np.sort(table[:, 0]))
    usual = int(np.median(steps)) if len(steps) else 0
    return int((table[:, 0] + np.where(table[:, 2] > 0, table[:, 2], usual)).max())


def _join(
    tables: list[np.ndarray], bases: list[float], pieces: list[list[np.ndarray]], shifts: list[np.ndarray]
) -> None:
    """Fill in the shifts that put each piece behind the one before, the same for all streams."""
    shift_s = 0.0
    for number in range(1, len(pieces[0])):
        need = []
        for table, base_s, parts in zip(tables, bases, pieces, strict=True):
            before, now = table[parts[number - 1]], table[parts[number]]
            before, now = before[before[:, 0] != MISSING], now[now[:, 0] != MISSING]
            if len(before) and len(now):
                need.append((_find_end(before) - int(now[:, 0].min())) * base_s)
        shift_s += max(need, default=0.0)
        for base_s, parts, shift in zip(bases, pieces, shifts, strict=True):
            shift[parts[number]] = round(shift_s / base_s)
