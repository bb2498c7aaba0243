"""From onset to delivery: how soon after something began a rule tells of it.

Cameras of GStreamer's RTSP server show minutes of nano's world in circles, in real time. `longwatch
up`, a process of its own, watches them with the shipped model and holds rules against them. When
something begins, script and server say; when an alert was told, the topic `alerts` says. Of the
time between, a part goes by until the clip has ended in which it was seen, or what there is of it.

Films come round every minute, and clips begin at the same pictures each time: what is taken for
something that did not happen is so in each round. It is named, with how often it was told.

    python -m benchmarks.alert_latency --work DIR [--seconds 150] [--rules 1 5 20] [--cameras 5]

That takes some ten minutes, after a few for the films, which are rendered once.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from benchmarks.films import WORLD_RATE, WORLD_S, WORLD_SEEDS, world_films
from benchmarks.ingest import percentiles
from benchmarks.latency import stream_of
from benchmarks.running import listening, service, until
from benchmarks.watching import load_average, machine, room_there_was, write_result
from models.nano.timeline import Timeline
from models.nano.world import write_script
from services.alerts.rules import rule_of
from services.registry import NewStream
from services.settings import load_settings
from services.wiring import now_at, now_ns, opened, rules_of
from streaming.bus import Record
from streaming.messages import (
    NS_PER_S,
    TOPIC_ALERTS,
    TOPIC_CLIPS,
    TOPIC_GLIMPSES,
    Alert,
    AlertEnd,
    AlertState,
    ClipGlimpsed,
    ClipRemembered,
)
from tests.streaming.live_server import Camera, Clock, Film, switched_on

START_S = 180.0  # for the model to be loaded and a first clip to be remembered
SETTLE_S = 25.0  # for alerts of what began before the end
STRAY_S = 15.0  # an alert that begins further from any onset is of nothing that happened
NS_PER_MS = NS_PER_S // 1000
SEEN: TypeAdapter[ClipRemembered | ClipGlimpsed] = TypeAdapter(
    Annotated[ClipRemembered | ClipGlimpsed, Field(discriminator="kind")]
)


def begun_in(seed: int) -> dict[str, list[int]]:
    """In which pictures of a film each thing begins; the first has begun what goes on in it."""
    found: dict[str, list[int]] = {}
    for moment in Timeline.of_script(write_script(seed, duration_s=WORLD_S)).moments:
        if moment.end_s > 0 and moment.start_s < WORLD_S:
            found.setdefault(moment.text, []).append(round(max(0.0, moment.start_s) * WORLD_RATE))
    return found


def sentences(number: int) -> list[str]:
    """What happens in the films, the most frequent first."""
    counts: Counter[str] = Counter()
    for seed in WORLD_SEEDS:
        counts.update({text: len(numbers) for text, numbers in begun_in(seed).items()})
    return [text for text, _ in counts.most_common(number)]


def measure(films: Sequence[Film], *, rules: int, seconds: float) -> dict[str, object]:
    """Hold so many rules against cameras; what began after all had a clip remembered counts."""
    lenses = {f"/{number}": film for number, film in enumerate(films)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        camera = stack.enter_context(switched_on(Camera(Path(folder), lenses)))
        settings = load_settings(data=Path(folder) / "data")
        with opened(settings, make=True) as stores:
            for path in lenses:
                stores.registry.add(NewStream(stream_of(path), camera.url(path)))
            for number, sentence in enumerate(sentences(rules)):
                made = {"sentence": sentence, "to": ("kafka",), "cooldown_ns": 0}
                rules_of(stores).add(rule_of(name=f"rule-{number}", added_at=now_at(), **made))
        alerts = stack.enter_context(listening(settings, TOPIC_ALERTS))
        clips = stack.enter_context(listening(settings, TOPIC_CLIPS))
        glimpses = stack.enter_context(listening(settings, TOPIC_GLIMPSES))
        with service(settings, "up", "--json") as up:
            until(
                lambda: len({record.key for record in clips.listen()}) == len(films),
                *(up,),
                within_s=START_S,
            )
            begun_ns, cpu_s = now_ns(), up.cpu_s()
            time.sleep(seconds + SETTLE_S)
            cpu_s = up.cpu_s() - cpu_s
        clocks = {stream_of(path): camera.clock(path) for path in lenses}
        seen = [*clips.listen(), *glimpses.listen()]
        told = delays(alerts.listen(), seen, clocks, since_ns=begun_ns)
        percent = round(100 * cpu_s / (seconds + SETTLE_S), 1)
        return {"rules": rules, "cameras": len(films), "cpu_percent_of_a_core": percent, **told}


def delays(
    alerts: Sequence[Record], seen: Sequence[Record], clocks: dict[str, Clock], *, since_ns: int
) -> dict[str, Any]:
    """What lies between the beginning of things and their being told. `seen`: clips, or parts."""
    remembered = {
        one.clip_id: (one.span, record.timestamp_ms * NS_PER_MS)
        for record in seen
        for one in [SEEN.validate_json(record.value)]
    }
    begun = {name: begun_in(seed) for name, seed in zip(clocks, WORLD_SEEDS, strict=False)}
    whole_s: list[float] = []
    to_end_s: list[float] = []
    to_remembered_s: list[float] = []
    to_told_s: list[float] = []
    things: set[tuple[str, str, int]] = set()
    strays: dict[str, str] = {}
    early = 0
    every = [(Alert.model_validate_json(record.value), record) for record in alerts]
    taken_back = {alert.alert_id for alert, _ in every if alert.ended is AlertEnd.RETRACTED}
    for alert, record in every:
        if alert.state is not AlertState.NEW:
            continue
        start_ns = round(alert.start_at.timestamp() * 1e6) * 1000
        name = alert.span.stream_id
        filmed_ns = {
            clocks[name].filmed_ns(number, near_ns=start_ns): number
            for number in begun[name].get(alert.sentence, [])
        }
        onset_ns = min(filmed_ns, key=lambda at_ns: abs(at_ns - start_ns), default=0)
        is_stray = abs(onset_ns - start_ns) > STRAY_S * NS_PER_S
        if (start_ns if is_stray else onset_ns) < since_ns:
            continue
        if is_stray:
            strays[alert.alert_id] = f"{name}: {alert.sentence}"
            continue
        things.add((name, alert.sentence, filmed_ns[onset_ns]))
        span, remembered_ns = remembered[alert.clip_ids[-1]]
        ended_ns = start_ns + span.end_ns - alert.span.start_ns
        told_ns = record.timestamp_ms * NS_PER_MS
        early += alert.is_early
        whole_s.append((told_ns - onset_ns) / NS_PER_S)
        to_end_s.append((ended_ns - onset_ns) / NS_PER_S)
        to_remembered_s.append((remembered_ns - ended_ns) / NS_PER_S)
        to_told_s.append((told_ns - remembered_ns) / NS_PER_S)
    return {
        "alerts": len(whole_s),
        "of_so_many_things_in_the_films": len(things),
        "of_these_raised_early": early,
        "taken_back": len(taken_back),
        "alerts_of_nothing_that_happened": len(strays),
        "of_these_taken_back": len(strays.keys() & taken_back),
        "which": dict(Counter(strays.values()).most_common()),
        "onset_to_told_s": spread(whole_s),
        "of_that_until_what_showed_it_ended_s": spread(to_end_s),
        "of_that_until_it_was_seen_s": spread(to_remembered_s),
        "of_that_until_the_alert_was_told_s": spread(to_told_s),
    }


def spread(seconds: Sequence[float]) -> dict[str, float] | None:
    return percentiles(seconds) if seconds else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where the film is kept")
    parser.add_argument("--seconds", type=float, default=150, help="for which each case is counted")
    parser.add_argument("--rules", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--cameras", type=int, default=5, choices=range(1, len(WORLD_SEEDS) + 1))
    parser.add_argument("--small", action="store_true", help="try it out, and write nothing")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    load_before = load_average()
    films = world_films(args.work, args.cameras, has_clock=False)
    rows: list[dict[str, object]] = []
    for rules in args.rules:
        rows.append(measure(films, rules=rules, seconds=args.seconds))
        print(rows[-1], flush=True)
    if args.small:
        return
    result = {
        "what": f"640x360 H.264 at {WORLD_RATE} fps over RTSP/TCP, a keyframe a second, segments "
        "of two seconds, clips of ten; cameras and service are processes on one machine; told: in "
        "the topic alerts",
        "command": f"python -m benchmarks.alert_latency --work DIR --seconds {args.seconds:g} "
        f"--rules {' '.join(map(str, args.rules))} --cameras {args.cameras}",
        "machine": machine(),
        **room_there_was(load_before),
        "rows": rows,
    }
    print(write_result("alert_latency", result))


if __name__ == "__main__":
    main()
