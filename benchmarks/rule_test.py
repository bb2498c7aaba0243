"""How long it takes to try a rule on a day that is remembered, by kind of rule.

Some hours of nano's world, at one picture a second, which is what the model samples, are watched by
the real service. What it remembered of them, notes, vectors and tokens, is laid one after another
until that makes a day: 8,640 clips, each with tokens of its own to be read. Then rules about what
happens most are held against it, as `longwatch rule test` does where no service runs, with the
model loaded. No two clips are judged as one: that they repeat saves nothing.

    python -m benchmarks.rule_test --work DIR [--hours 4]
"""

import argparse
import shutil
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.alerts import Asked, rules_of
from benchmarks.ingest import percentiles
from benchmarks.watching import load_average, machine, room_there_was, watch, write_result
from memory.values import StreamSpec
from models.nano.footage import VideoFormat, render
from models.nano.timeline import Timeline
from models.nano.world import write_script
from services.alerts.backtest import BackTest, back_test
from services.alerts.judging import Judge
from services.alerts.rules import Rule
from services.settings import load_settings
from services.turns import looks_at_once
from services.wiring import Stores, load_engine, now_at, opened
from streaming.messages import NS_PER_S, ClipNote, Span, clip_id_of

SEED = 93_200_001
FILMED, DAY = "yard", "day"
DAY_HOURS = 24
RULES_PER_KIND = 3


def lay_a_day(stores: Stores, *, hours: int) -> int:
    """Remember a stream of a day, which is the filmed one over and over; return its clips."""
    notes = stores.record.clips()
    vectors_of = {held.clip_id: held for held in stores.record.vectors()}
    stores.record.add_stream(
        StreamSpec(stream_id=DAY, url="day.mp4", realtime=False, added_at=now_at())
    )
    for lap in range(DAY_HOURS // hours):
        for note in notes:
            moved = moved_by(note, lap * hours * 3600 * NS_PER_S)
            tokens = stores.tokens.get(
                note.clip_id, layout_id=note.layout_id, encoder_id=note.encoder_id
            )
            stores.tokens.put(replace(tokens, clip_id=moved.clip_id))
            held = vectors_of[note.clip_id]
            stores.record.put_clip(
                moved, text_vector=held.text_vector, visual_vector=held.visual_vector
            )
    return stores.record.counts(DAY).clips


def moved_by(note: ClipNote, later_ns: int) -> ClipNote:
    """The same note in the stream of a day, so much later."""

    def moved(span: Span) -> Span:
        start_ns, end_ns = span.start_ns + later_ns, span.end_ns + later_ns
        return Span(stream_id=DAY, start_ns=start_ns, end_ns=end_ns)

    span = moved(note.span)
    events = tuple(event.model_copy(update={"span": moved(event.span)}) for event in note.events)
    clip_id = clip_id_of(span, note.layout_id)
    return note.model_copy(update={"clip_id": clip_id, "span": span, "events": events})


def tried_by_kind(
    judge: Judge, stores: Stores, asked: Sequence[Asked]
) -> dict[str, list[BackTest]]:
    day = Span(stream_id=DAY, start_ns=0, end_ns=DAY_HOURS * 3600 * NS_PER_S)
    tried: dict[str, list[BackTest]] = defaultdict(list)
    for one in asked:
        if len(tried[one.kind]) < RULES_PER_KIND:
            rule = Rule(name="rule", sentence=one.sentence, added_at=now_at())
            tried[one.kind].append(back_test(rule, stores.record, judge, [day]))
            print(one.sentence, tried[one.kind][-1].seconds)
    return tried


def shown(tried: Sequence[BackTest]) -> dict[str, object]:
    return {
        "rules": len(tried),
        "seconds_a_day": percentiles([one.seconds for one in tried]),
        "clips": tried[0].clips,
        "judgements": [one.judgements for one in tried],
        "alerts": [len(one.alerts) for one in tried],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where footage and memory go")
    parser.add_argument("--hours", type=int, default=4, help=f"filmed; a divisor of {DAY_HOURS}")
    parser.add_argument("--again", action="store_true", help="use the day that was laid before")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    script = write_script(SEED, duration_s=args.hours * 3600)
    settings = load_settings(data=args.work / f"memory-day-{args.hours}h")
    if not args.again:
        shutil.rmtree(settings.data, ignore_errors=True)
        film = args.work / f"{SEED}-{args.hours}h-1fps.mp4"
        if not film.exists():
            partial = film.with_suffix(".part.mp4")
            render(script, partial, VideoFormat(fps=1), on_progress=lambda share: None)
            partial.rename(film)
        watch(settings, {FILMED: film})
        with opened(settings) as stores:
            print(lay_a_day(stores, hours=args.hours), "clips make a day")
    load_before = load_average()
    with opened(settings) as stores:
        begun = time.perf_counter()
        engine = load_engine(settings)
        loaded_s = time.perf_counter() - begun
        at_once = looks_at_once(settings)
        judge = Judge(engine=engine, record=stores.record, tokens=stores.tokens, at_once=at_once)
        tried = tried_by_kind(judge, stores, list(rules_of(Timeline.of_script(script))))
    result = {
        "what": f"rules about what happens most, each tried on a day of memory: {args.hours} h "
        f"that were analysed, laid one after another {DAY_HOURS // args.hours} times",
        "command": f"python -m benchmarks.rule_test --work DIR --hours {args.hours}",
        "machine": machine(),
        **room_there_was(load_before),
        "model_id": engine.model_id,
        "clips_judged_at_once": at_once,
        "model_loaded_in_s": round(loaded_s, 2),
        "kinds": {kind: shown(some) for kind, some in tried.items()},
    }
    path = write_result("rule_test", result)
    print(f"{path}: {result['kinds']}")


if __name__ == "__main__":
    main()
