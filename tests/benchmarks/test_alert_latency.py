"""What the benchmark of alerts' latency takes for the beginning of a thing, and for nothing."""

from datetime import UTC, datetime
from pathlib import Path

from benchmarks.alert_latency import begun_in, delays, sentences
from benchmarks.films import WORLD_RATE, WORLD_S, WORLD_SEEDS
from streaming.bus import Record
from streaming.messages import (
    NS_PER_S,
    Alert,
    AlertEnd,
    AlertState,
    ClipGlimpsed,
    ClipRemembered,
    Message,
    Span,
    wall_time,
)
from tests.streaming.live_server import Clock, Film

EPOCH_S = 1_750_000_000
EPOCH_AT = datetime.fromtimestamp(EPOCH_S, UTC)
FILM = Film(Path("film"), [1] * WORLD_S * WORLD_RATE, WORLD_RATE)


def record(message: Message, at_s: float) -> Record:
    told_ms = round((EPOCH_S + at_s) * 1000)
    value = message.model_dump_json().encode()
    return Record("t", 0, 0, key="k", value=value, headers={}, timestamp_ms=told_ms)


def alert(sentence: str, start_s: float, *, is_early: bool = False) -> Alert:
    start_ns = round(start_s * NS_PER_S)
    return Alert(
        alert_id=f"{sentence}:{start_s}",
        number=0,
        state=AlertState.NEW,
        rule="r",
        sentence=sentence,
        span=Span(stream_id="camera-0", start_ns=start_ns, end_ns=start_ns + NS_PER_S),
        start_at=wall_time(EPOCH_AT, start_ns),
        end_at=wall_time(EPOCH_AT, start_ns + NS_PER_S),
        probability=1,
        clip_ids=("part" if is_early else "clip",),
        is_early=is_early,
    )


def test_a_delay_is_counted_from_when_a_thing_was_filmed() -> None:
    (sentence, (number, *_)), *_ = begun_in(WORLD_SEEDS[0]).items()
    onset_s = 60 + number / WORLD_RATE
    span = Span(stream_id="camera-0", start_ns=60 * NS_PER_S, end_ns=70 * NS_PER_S)
    clips = [record(ClipRemembered(clip_id="clip", span=span), 72)]
    alerts = [
        record(alert(sentence, onset_s + 0.5), 73),
        record(alert(sentence, onset_s + 30), 100),
        record(alert("a whale sings", 66), 73),
    ]
    clocks = {"camera-0": Clock(EPOCH_S, FILM)}
    told = delays(alerts, clips, clocks, since_ns=0)

    assert (told["alerts"], told["alerts_of_nothing_that_happened"]) == (1, 2)
    assert told["which"] == {f"camera-0: {sentence}": 1, "camera-0: a whale sings": 1}
    assert told["onset_to_told_s"] == dict.fromkeys(("p50", "p95", "max"), round(73 - onset_s, 3))
    assert told["of_that_until_it_was_seen_s"]["p50"] == 2.0
    assert told["of_that_until_the_alert_was_told_s"]["p50"] == 1.0
    later = delays(alerts, clips, clocks, since_ns=2**62)
    assert (later["alerts"], later["alerts_of_nothing_that_happened"]) == (0, 0)


def test_what_comes_round_with_the_film_is_one_thing() -> None:
    (sentence, (number, *_)), *_ = begun_in(WORLD_SEEDS[0]).items()
    span = Span(stream_id="camera-0", start_ns=0, end_ns=10 * NS_PER_S)
    alerts = [
        record(alert(said, lap_s + number / WORLD_RATE), lap_s + 70)
        for lap_s in (60, 120)
        for said in (sentence, "a whale sings")
    ]
    clips = [record(ClipRemembered(clip_id="clip", span=span), 72)]
    told = delays(alerts, clips, {"camera-0": Clock(EPOCH_S, FILM)}, since_ns=0)

    assert (told["alerts"], told["of_so_many_things_in_the_films"]) == (2, 1)
    assert told["which"] == {"camera-0: a whale sings": 2}


def test_an_alert_by_part_of_a_clip_counts_from_that_part() -> None:
    (sentence, (number, *_)), *_ = begun_in(WORLD_SEEDS[0]).items()
    onset_s = 60 + number / WORLD_RATE
    part = Span(stream_id="camera-0", start_ns=60 * NS_PER_S, end_ns=64 * NS_PER_S)
    glimpse = ClipGlimpsed(
        clip_id="part", span=part, epoch_at=EPOCH_AT, frame_count=4, token_count=94
    )
    early, stray = (alert(text, onset_s, is_early=True) for text in (sentence, "a whale sings"))
    back = {"state": AlertState.END, "ended": AlertEnd.RETRACTED}
    told = delays(
        [record(early, 65), record(stray, 65), record(stray.model_copy(update=back), 72)],
        [record(glimpse, 64.5)],
        {"camera-0": Clock(EPOCH_S, FILM)},
        since_ns=0,
    )

    assert told["onset_to_told_s"]["max"] == round(65 - onset_s, 3)
    assert told["of_that_until_it_was_seen_s"]["p50"] == 0.5
    assert (told["alerts"], told["of_these_raised_early"]) == (1, 1)
    assert (told["taken_back"], told["of_these_taken_back"]) == (1, 1)


def test_what_goes_on_as_a_film_begins_has_begun_with_it() -> None:
    assert begun_in(WORLD_SEEDS[0])["the yellow person enters"] == [0]


def test_there_are_as_many_rules_as_are_asked_for() -> None:
    assert len(set(sentences(20))) == 20
