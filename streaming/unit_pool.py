"""Decode the units of one file, several at a time, and give their frames in the order of time.

Planning runs ahead of decoding, on the promise that every wanted frame comes out. Where a unit
breaks the promise, the units after it are planned again, so that the next good frame, in
whichever unit it lies, stands for the instants that the lost ones were to serve.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from av.video.codeccontext import VideoCodecContext

from streaming.clock import MediaClock
from streaming.sampling import Sampler, SamplingPolicy
from streaming.unit_decoder import DecodeCounts, Frame, UnitDecoder
from streaming.units import Codec, Plan, Unit, plan

MOST_PASSED_OVER = 64  # units kept in case they must be planned again, where samples are rare


class DecoderPool:
    """Lends decoders of one file, one to each thread that asks, and adds up their counts."""

    def __init__(
        self,
        context: VideoCodecContext,
        further_context: Callable[[], VideoCodecContext],
        *,
        codec: Codec,
        time: MediaClock,
        policy: SamplingPolicy,
    ) -> None:
        self.codec = codec
        self.time = time
        self.policy = policy
        self._further_context = further_context
        self._all: list[UnitDecoder] = []
        self._idle: SimpleQueue[UnitDecoder] = SimpleQueue()
        self._idle.put(self._added(context))

    @property
    def counts(self) -> DecodeCounts:
        return sum((decoder.counts for decoder in self._all), DecodeCounts())

    @contextmanager
    def lent(self) -> Generator[UnitDecoder]:
        try:
            decoder = self._idle.get_nowait()
        except Empty:
            decoder = self._added(self._further_context())
        try:
            yield decoder
        finally:
            self._idle.put(decoder)

    def planned(self, todo: Plan, unit: Unit, after_ns: int | None) -> list[Frame]:
        with self.lent() as decoder:
            return decoder.planned(todo, list(unit.packets), after_ns=after_ns)

    def _added(self, context: VideoCodecContext) -> UnitDecoder:
        context.thread_type = "NONE"  # units are decoded side by side, which costs no extra work
        context.thread_count = 1
        decoder = UnitDecoder(context, time=self.time, policy=self.policy)
        self._all.append(decoder)
        return decoder


@dataclass(frozen=True, slots=True, eq=False)
class _Started:
    """A unit whose frames are being made, and the units after it of which nothing is wanted."""

    unit: Unit
    after_ns: int | None
    wanted: int
    frames: Future[list[Frame]]
    passed_over: list[Unit] = field(default_factory=list[Unit])


class UnitPool:
    """The units of a file on their way to frames.

    threads   how many units are decoded at a time; with 1, in the caller's thread
    """

    def __init__(
        self,
        units: Iterator[Unit],
        decoders: DecoderPool,
        *,
        after_ns: int | None,
        executor: Executor,
        threads: int,
    ) -> None:
        self._units = units
        self._decoders = decoders
        self._sampler = Sampler(decoders.policy, after_ns=after_ns)
        self._executor = executor
        self._threads = threads
        self._again: deque[Unit] = deque()
        self._started: deque[_Started] = deque()

    def frames(self) -> Iterator[Frame]:
        while True:
            unit = self._again.popleft() if self._again else next(self._units, None)
            if unit is not None:
                yield from self._begin(unit)
            elif self._started:
                yield from self._finish_oldest()
            else:
                return

    def _begin(self, unit: Unit) -> Iterator[Frame]:
        after_ns = self._sampler.after_ns
        todo = plan(unit, self._decoders.codec, self._decoders.time, self._sampler)
        if todo is None and self._started:  # its sampler must first stand where theirs end
            self._again.appendleft(unit)
            yield from self._finish_oldest()
        elif todo is None:
            with self._decoders.lent() as decoder:
                yield from decoder.chosen(unit.packets, self._sampler)
        elif todo.wanted_pts:
            frames = self._decoding(todo, unit, after_ns)
            self._started.append(_Started(unit, after_ns, len(todo.wanted_pts), frames))
            if self._threads == 1 or len(self._started) > self._threads:
                yield from self._finish_oldest()
        elif self._started:
            self._started[-1].passed_over.append(unit)
            if len(self._started[-1].passed_over) >= MOST_PASSED_OVER:
                yield from self._finish_oldest()

    def _decoding(self, todo: Plan, unit: Unit, after_ns: int | None) -> Future[list[Frame]]:
        if self._threads > 1:
            return self._executor.submit(self._decoders.planned, todo, unit, after_ns)
        done: Future[list[Frame]] = Future()
        done.set_result(self._decoders.planned(todo, unit, after_ns))
        return done

    def _finish_oldest(self) -> Iterator[Frame]:
        oldest = self._started.popleft()
        frames = oldest.frames.result()
        if len(frames) < oldest.wanted:
            after_ns = frames[-1].media_ns if frames else oldest.after_ns
            self._sampler = Sampler(self._decoders.policy, after_ns=after_ns)
            wait([started.frames for started in self._started])
            later = [
                unit for started in self._started for unit in (started.unit, *started.passed_over)
            ]
            self._again.extendleft(reversed([*oldest.passed_over, *later]))
            self._started.clear()
        yield from frames
