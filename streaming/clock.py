"""From the time stamps of a source to one media time that never goes backwards.

Cameras restart their clocks, count in 33 bits, leave stamps out and damage them. `Timeline` takes
the packets of one connection and gives each a stamp on one unbroken line of ticks; `MediaClock`
turns those ticks into media time. Pure: no machine clock, no I/O; the arrival time of live packets
comes in as an argument. Knows packets only as things to hand back.

What happens to each defect:
    wrap-around (33 and 32 bits)     counted on
    no stamp                         extrapolated from the last one and the frame interval
    one stamp far from the others    its packet is taken as unstamped
    jump back, or ahead beyond belief   the line goes on from the last packet, no time passes; of a
                                     live source it is marked: only arrivals tell what time passed
    jump ahead that may be true      kept, and marked: this time was not captured

A jump is believed once a second packet confirms it, so one packet may be held back, and packets
before the first stamp wait for it.

Rounding: instants are exact rationals until the last step, then rounded up to a whole nanosecond.
The start of a segment plus a distance inside it, however that is rounded, is then never below the
true instant, so a frame at exactly 10 s is not found at 9.999999999 s.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from streaming.messages import NS_PER_S

T = TypeVar("T")

SUSPICIOUS_S = 10  # stamps that are further apart than this are not believed at once
STEADY_STEPS = 4
BELIEVABLE_S = 24 * 3600  # a recording may leave out a night; more is a damaged stamp
AHEAD_S = 60  # how far a live source may run ahead of the wall: players are sent some in advance
COUNTER_SIZES = (2**33, 2**32)
LEADING_MAX = 64  # how many packets may come before the first stamp, as over RTSP


@dataclass(frozen=True, slots=True)
class WallClock:
    """The machine's clock, as an argument."""

    now_ns: Callable[[], int]
    """Wall time, nanoseconds since 1970."""
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    """A count that never goes back; for pauses and pace."""
    sleep: Callable[[float], None] = time.sleep


def to_ns(ticks: int, time_base: Fraction) -> int:
    """Nanoseconds of `ticks`, rounded up."""
    return -(-ticks * time_base.numerator * NS_PER_S // time_base.denominator)


def to_ticks(ns: int, time_base: Fraction) -> int:
    """The first tick at or after `ns`."""
    return -(-ns * time_base.denominator // (time_base.numerator * NS_PER_S))


@dataclass(frozen=True, slots=True)
class Stamped(Generic[T]):
    """A packet with its place on the unbroken line."""

    item: T
    pts: int
    dts: int
    after_jump: bool = False  # the source left out time just before this packet
    after_restart: bool = False  # and how much, its stamps do not tell


@dataclass(frozen=True, slots=True)
class _Arrival(Generic[T]):
    item: T
    pts: int | None
    dts: int | None
    at_ns: int | None
    longest: int
    """A step to it that is longer, in ticks, is unusual."""


class Timeline(Generic[T]):
    """The packets of one track of one connection, in decoding order, on one line of ticks."""

    def __init__(
        self,
        *,
        time_base: Fraction,
        interval_ticks: int,
        reorder: int = 0,
        hole_s: float = SUSPICIOUS_S,
    ) -> None:
        """
        Args:
            interval_ticks: how long a frame lasts until two stamps tell.
            reorder: by how many frames decoding may run ahead of showing.
            hole_s: a step longer than this, and than four usual ones, is a jump if a hole may end
                there; elsewhere it has to be longer than `SUSPICIOUS_S`.
        """
        self._interval = max(1, interval_ticks)
        self._time_base = time_base
        self._suspicious = to_ticks(SUSPICIOUS_S * NS_PER_S, time_base)
        self._hole = to_ticks(int(hole_s * NS_PER_S), time_base)
        self._believable = to_ticks(BELIEVABLE_S * NS_PER_S, time_base)
        self._shift = 0
        self._last_dts: int | None = None
        self._last_offset = reorder * self._interval
        self._leading: list[_Arrival[T]] = []
        self._held: _Arrival[T] | None = None
        self._first_arrival: tuple[int, int] | None = None  # (wall ns, ticks)
        self._placed = 0
        self.jumps = 0
        self.unstamped = 0

    @property
    def interval_ticks(self) -> int:
        """How long the latest frame lasted."""
        return self._interval

    @property
    def shift_ticks(self) -> int:
        """What the line adds to the source's stamps now."""
        return self._shift

    def place(
        self,
        item: T,
        *,
        pts: int | None,
        dts: int | None,
        at_ns: int | None = None,
        may_end_hole: bool = True,
    ) -> Sequence[Stamped[T]]:
        """Place one packet; returns what is certain now: none, this one, or the held one too.

        Args:
            at_ns: wall time of arrival of a live packet; None for a recording.
            may_end_hole: whether a source that leaves something out can go on with it.
        """
        last = self._last_dts
        if last is not None and dts is not None and pts is not None and self._held is None:
            step = dts + self._shift - last
            offset = pts - dts
            if 0 < step <= self._hole and 0 <= offset <= self._suspicious:
                self._interval, self._last_offset = step, offset
                self._last_dts = last + step
                self._placed += 1
                return (Stamped(item, pts + self._shift, last + step),)
        longest = self._hole if may_end_hole else self._suspicious
        return self._place_slowly(_Arrival(item, pts, dts, at_ns, longest))

    def flush(self) -> Sequence[Stamped[T]]:
        """Give back what was held; nothing came to tell its place better."""
        if self._last_dts is None:
            return self._begin()
        held, self._held = self._held, None
        return () if held is None else (self._extrapolate(held),)

    def _place_slowly(self, arrival: _Arrival[T]) -> Sequence[Stamped[T]]:
        if self._held is not None:
            return self._settle(arrival)
        if self._last_dts is None:
            self._leading.append(arrival)
            waits = arrival.dts is None and len(self._leading) < LEADING_MAX
            return () if waits else self._begin()
        if arrival.dts is None:
            return (self._extrapolate(arrival),)
        step = arrival.dts + self._unwrap(arrival.dts) - self._last_dts
        if self._is_usual(step, longest=arrival.longest):
            return (self._accept(arrival),)
        self._held = arrival
        return ()

    def _settle(self, arrival: _Arrival[T]) -> Sequence[Stamped[T]]:
        """A second packet has come: was the held one a jump, or only damaged?"""
        held, self._held = self._held, None
        if held is None or held.dts is None or arrival.dts is None:
            before = () if held is None else (self._extrapolate(held),)
            return (*before, *self._place_slowly(arrival))
        last = self._last_dts or 0
        onward = arrival.dts + self._unwrap(arrival.dts) - last
        if onward > 1 and self._is_usual(onward - 1, longest=held.longest):  # held was damaged
            usual, self._interval = self._interval, max(1, min(self._interval, onward // 2))
            stamped = self._extrapolate(held)
            self._interval = usual
            return (stamped, *self._place_slowly(arrival))
        if self._is_usual(arrival.dts - held.dts, longest=arrival.longest):
            return (self._jump(held), self._accept(arrival))
        return (self._extrapolate(held), *self._place_slowly(arrival))

    def _begin(self) -> Sequence[Stamped[T]]:
        """Place the packets up to the first with a decoding time, reckoning back from that one."""
        leading, self._leading = self._leading, []
        if not leading:
            return ()
        first_dts = self._reckon_first(leading)
        if leading[-1].at_ns is not None:
            self._first_arrival = (leading[-1].at_ns, first_dts)
        found: list[Stamped[T]] = []
        for index, arrival in enumerate(leading):
            dts = first_dts + index * self._interval
            self.unstamped += arrival.pts is None
            pts = self._presentation(arrival.pts, dts)
            found.append(Stamped(arrival.item, pts, dts))
            self._last_dts = dts
        self._placed += len(found)
        self._last_offset = found[-1].pts - found[-1].dts
        return found

    def _reckon_first(self, leading: Sequence[_Arrival[T]]) -> int:
        """The decoding time of the first packet."""
        *_, last = leading
        if last.dts is not None:
            return last.dts - (len(leading) - 1) * self._interval
        for index, arrival in enumerate(leading):
            if arrival.pts is not None:
                return arrival.pts - self._last_offset - index * self._interval
        return 0

    def _accept(
        self, arrival: _Arrival[T], *, after_jump: bool = False, after_restart: bool = False
    ) -> Stamped[T]:
        assert arrival.dts is not None and self._last_dts is not None
        self._shift = self._unwrap(arrival.dts)
        dts = arrival.dts + self._shift
        if not after_jump:
            self._interval = max(1, dts - self._last_dts)
        dts = max(dts, self._last_dts + 1)  # stamps given after extrapolated ones may lag a little
        self._last_dts = dts
        pts = self._presentation(arrival.pts, dts)
        self._last_offset = pts - dts
        self._placed += 1
        return Stamped(arrival.item, pts, dts, after_jump or after_restart, after_restart)

    def _presentation(self, pts: int | None, dts: int) -> int:
        """The line's pts; showing lies at or after decoding, and not far."""
        if pts is None:
            return dts + self._last_offset
        for shift in (self._shift, *(self._shift + size for size in COUNTER_SIZES)):
            if -self._suspicious <= pts + shift - dts <= self._suspicious:
                return max(pts + shift, dts)
        return dts + self._last_offset

    def _jump(self, held: _Arrival[T]) -> Stamped[T]:
        assert held.dts is not None and self._last_dts is not None
        self.jumps += 1
        shift = self._unwrap(held.dts)
        ahead = held.dts + shift - self._last_dts
        if 0 < ahead <= self._believable and self._backed_by_arrival(held, shift):
            return self._accept(held, after_jump=True)
        self._shift = self._last_dts + self._interval - held.dts
        # of the very first packet, RTSP's stamp is a guess: then that one was wrong
        return self._accept(held, after_restart=held.at_ns is not None and self._placed > 1)

    def _backed_by_arrival(self, held: _Arrival[T], shift: int) -> bool:
        """Whether a live source can have lived through the time by which it jumped."""
        if self._first_arrival is None or held.at_ns is None or held.dts is None:
            return True
        at_ns, dts = self._first_arrival
        lived_ns = to_ns(held.dts + shift - dts, self._time_base)
        return lived_ns <= held.at_ns - at_ns + AHEAD_S * NS_PER_S

    def _extrapolate(self, arrival: _Arrival[T]) -> Stamped[T]:
        assert self._last_dts is not None
        self.unstamped += 1
        self._last_dts += self._interval
        pts = arrival.pts if arrival.dts is None else None  # of a damaged pair neither is believed
        return Stamped(arrival.item, self._presentation(pts, self._last_dts), self._last_dts)

    def _unwrap(self, dts: int) -> int:
        """The shift that puts `dts` on the line, one turn of its counter later if that fits."""
        assert self._last_dts is not None
        for size in COUNTER_SIZES:
            step = dts + self._shift + size - self._last_dts
            if self._is_usual(step, longest=self._suspicious):
                return self._shift + size
        return self._shift

    def _is_usual(self, step: int, *, longest: int) -> bool:
        return 0 < step <= max(longest, STEADY_STEPS * self._interval)


@dataclass(frozen=True, slots=True)
class MediaClock:
    """Media time of the ticks of one connection: tick `pts` is at `media_ns`."""

    time_base: Fraction
    pts: int
    media_ns: int

    def media_ns_of(self, pts: int) -> int:
        return self.media_ns + to_ns(pts - self.pts, self.time_base)

    def first_pts_at(self, media_ns: int) -> int:
        """The first tick whose media time is `media_ns` or later."""
        return self.pts + to_ticks(media_ns - self.media_ns, self.time_base)
