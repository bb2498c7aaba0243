"""Keep summaries of what is over: follow the topic `clips`, and write minutes, hours and days.

A message only says that there is something new. How far a stream is summarised stands in the record
(`memory.summary_book`), and so does how far the record's changes were looked at, so messages that
come twice, late, in another order or not at all change nothing. A minute is over when a clip that
comes could no longer change what goes on across its end; a clip that comes later than that, or
anew from other weights, has its minutes, hours and days written again.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

from memory.record import Record
from memory.summaries import CONTEXT_NS, MINUTE_NS, Level, Summary, around, folded
from memory.summary_book import Place, SummaryBook
from memory.values import DAY_NS, StreamSpec
from services.coverage import Asked
from services.logs import about
from services.metrics import Metrics
from services.moments import HOUR_NS
from services.progress import remembered_until_ns
from services.summaries.reading import Notes
from services.tracing import context_of, continuing
from streaming import bus
from streaming.messages import NS_PER_S, Span

LOOK_EVERY_NS = 2 * NS_PER_S
LOOKED = "summarised"  # the cursor of changes of the record


class SummaryKeeper:
    """Handles the records of the topic `clips`. There is one at a time."""

    def __init__(
        self, record: Record, *, monotonic_ns: Callable[[], int], metrics: Metrics
    ) -> None:
        self._record = record
        self._book = SummaryBook(record.documents)
        self._monotonic_ns = monotonic_ns
        self._metrics = metrics
        self._looked_at_ns = monotonic_ns() - LOOK_EVERY_NS

    def prepare(self, record: bus.Record) -> None:
        """Nothing can be done ahead."""

    def restart_preparing(self) -> None:
        """Nothing was."""

    def handle(self, record: bus.Record, prepared: None) -> None:
        with (
            continuing(context_of(record.headers)),
            self._metrics.tracer.span("summarise", about(stream_id=record.key)),
        ):
            self._write_late()
            for spec in self._record.streams():
                if spec.stream_id == record.key:
                    self._go_on(spec)

    def idle(self) -> None:
        """Now and then, an hour of each stream; at once again where that was not all."""
        if self._monotonic_ns() - self._looked_at_ns >= LOOK_EVERY_NS:
            self._write_late()
            found = [self._go_on(spec) for spec in self._record.streams()]
            if not any(found):
                self._looked_at_ns = self._monotonic_ns()

    def set_aside(self, record: bus.Record, error: Exception) -> None:
        """The next message, or the next idle moment, makes up for it."""

    def committable(self, partition: int, next_offset: int) -> int:
        return next_offset

    def revoked(self, partitions: Collection[int]) -> None:
        """The record says what is new, whoever read the message."""

    def _go_on(self, spec: StreamSpec) -> bool:
        """Summarise what is over of a stream, an hour at most; false where nothing is."""
        over_ns = self._over_ns(spec) // MINUTE_NS * MINUTE_NS
        if not over_ns or (place := self._place(spec)) is None:
            return False
        start_ns = place.reach.until_ns
        end_ns = min(over_ns, (start_ns // HOUR_NS + 1) * HOUR_NS)
        if end_ns <= start_ns:
            return False
        return self._write(spec, place, range(start_ns, end_ns, MINUTE_NS), until_ns=end_ns)

    def _over_ns(self, spec: StreamSpec) -> int:
        """Nothing that comes will change what is before it, unless it comes late."""
        remembered_ns = remembered_until_ns(self._record, spec)
        ended_ns = self._record.ended_ns(spec.stream_id)
        if ended_ns is not None and remembered_ns >= ended_ns:
            return ended_ns
        return max(0, remembered_ns - CONTEXT_NS)

    def _write_late(self) -> None:
        """Write again what was written without clips that the record was given since."""
        revision, looked = self._record.mark().revision, self._record.cursor(LOOKED)
        if looked == revision:
            return
        if looked is None or self._written_late(looked):  # None: nothing was written at all
            self._record.set_cursor(LOOKED, revision)

    def _written_late(self, after_revision: int) -> bool:
        """False where something is left to do."""
        days = defaultdict[tuple[str, int], set[int]](set)
        for clip in self._record.vectors(after_revision=after_revision):
            wide = around(clip.span)
            for minute in range(wide.start_ns // MINUTE_NS, -(-wide.end_ns // MINUTE_NS)):
                start_ns = minute * MINUTE_NS
                days[clip.span.stream_id, start_ns // DAY_NS].add(start_ns)
        specs = {spec.stream_id: spec for spec in self._record.streams()}
        return all(
            self._written_again(specs[stream_id], sorted(starts_ns))
            for (stream_id, _), starts_ns in days.items()
            if stream_id in specs
        )

    def _written_again(self, spec: StreamSpec, starts_ns: Sequence[int]) -> bool:
        kept = self._book.place(spec.stream_id)
        if kept is None or starts_ns[0] >= kept.reach.until_ns:
            return True
        if (place := self._place(spec)) is None:
            return False
        until_ns = place.reach.until_ns
        again = [start_ns for start_ns in starts_ns if start_ns < until_ns]
        return not again or self._write(spec, place, again, until_ns=until_ns)

    def _place(self, spec: StreamSpec) -> Place | None:
        """Where the stream's summaries are; None while something of it is being forgotten.

        That is looked at last, so that whatever is forgotten from then on makes writing fail.
        """
        place = self._book.begin(spec.stream_id, spec.added_at)
        forgetting = (span.stream_id for span in self._record.unfinished_forgetting())
        return None if spec.stream_id in forgetting else place

    def _write(
        self, spec: StreamSpec, place: Place, starts_ns: Sequence[int], *, until_ns: int
    ) -> bool:
        """Write minutes, and the hours and days that they are in, as far as those are over."""
        if spec.epoch_at is None:
            return False
        asked = Asked(spec, spec.epoch_at, starts_ns[0], until_ns, now_ns=until_ns)
        notes = Notes(self._record, asked)
        made: dict[tuple[Level, int], Summary] = {}
        for level in Level:

            def stored(shorter: Level, at_ns: int, level: Level = level) -> Summary | None:
                if shorter.length_ns >= level.length_ns:
                    return None
                made_now = made.get((shorter, at_ns))
                return made_now or self._book.get(spec.stream_id, shorter, at_ns)

            length_ns = level.length_ns
            for at_ns in sorted({start_ns // length_ns * length_ns for start_ns in starts_ns}):
                if at_ns + length_ns <= until_ns:
                    span = Span(stream_id=spec.stream_id, start_ns=at_ns, end_ns=at_ns + length_ns)
                    made[level, at_ns] = folded(span, stored=stored, noted=notes.summary)
        if not self._book.put(place, made, until_ns=until_ns):
            return False
        for level, _ in made:
            self._metrics.summarised(level)
        return True
