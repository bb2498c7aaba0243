"""Spans reach a real receiver by OTLP over HTTP, and a receiver that is away costs nothing else."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.errors import SettingsError
from services.metrics import Metrics
from services.otel import recording
from services.parts import Parts, resident_of
from services.requests import Answered, AskRequest
from services.settings import Settings, load_settings
from services.tracing import context_of, headers, scope
from services.weights import Held
from services.wiring import now_at, open_index, opened, opened_bus, tracing_as, wall_clock
from streaming.messages import TOPIC_SEGMENTS, Span
from tests.services.analysing import memory_of
from tests.services.conftest import remember
from tests.services.otlp_receiver import Receiver, receiving
from tests.services.otlp_receiver import Span as SentSpan
from tests.services.scripted_engine import ScriptedEngine

WITHIN = ("analyse.encode", "analyse.describe", "analyse.store", "index.add")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        yield receiver


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What was logged of traces, by us or by the SDK."""
    return [
        (one.levelname, one.getMessage())
        for one in caplog.records
        if one.name.startswith(("services.otel", "opentelemetry"))
    ]


def test_a_film_is_traced_from_its_segments_to_the_index(
    receiver: Receiver, empty: Settings, light_film: Path
) -> None:
    remember(empty, "cam", light_film)

    assert set(receiver.paths) == {"/v1/traces"}
    assert {span.service for span in receiver.spans} == {"longwatch-up"}
    assert not [span for span in receiver.spans if span.is_failed]
    with opened(empty) as stores, opened_bus(empty) as bus:
        segments = [one.span for one in stores.record.segments()]
        clips = {note.clip_id: note.span for note in stores.record.clips()}
        records = bus.consumer(TOPIC_SEGMENTS, group="test").poll(max_records=99, timeout_s=0)
    published = [context_of(record.headers) for record in records[: len(segments)]]
    begun = [receiver.with_id(context.span_id) for context in published if context is not None]
    assert [span.name for span in begun] == ["capture.segment"] * len(segments)
    assert [span.parent_id for span in begun] == [""] * len(segments)
    assert {span.parent_id for span in receiver.named("analyse.decode")} == {
        span.span_id for span in begun
    }
    for clip_id, clip in clips.items():
        check_clip(receiver, clip_id, clip, dict(zip(segments, begun, strict=True)))


def check_clip(receiver: Receiver, clip_id: str, clip: Span, begun: dict[Span, SentSpan]) -> None:
    """A clip belongs to the trace of its first segment, is linked to the others, and so is all."""
    (remembered,) = [
        span
        for span in receiver.named("analyse.remember")
        if span.about["longwatch.clip_id"] == clip_id
    ]
    shown = [
        span for segment, span in begun.items() if segment.overlaps(clip.start_ns, clip.end_ns)
    ]
    first, *others = shown
    assert (remembered.trace_id, remembered.parent_id) == (first.trace_id, first.span_id)
    assert remembered.links == tuple((other.trace_id, other.span_id) for other in others)
    for name in WITHIN:
        parts = [span for span in receiver.named(name) if span.parent_id == remembered.span_id]
        assert parts, name
        for part in parts:
            assert part.trace_id == first.trace_id
            assert part.about == {"longwatch.stream_id": "cam", "longwatch.clip_id": clip_id}


def test_a_question_is_a_trace_of_its_own(receiver: Receiver, settings: Settings) -> None:
    engine = ScriptedEngine()
    with (
        tracing_as("answer") as tracer,
        opened(settings) as stores,
        opened_bus(settings) as bus,
    ):
        index = open_index(stores, engine).index
        parts = Parts(stores, bus, wall_clock(), Metrics("answer"))
        parts.metrics.tracer = tracer
        resident = resident_of(parts, lambda: Held(engine, lambda: index))
        request = AskRequest(text="when: a bright light", asked_at=now_at())
        answer = resident._respond(request, lambda piece: None)
    assert isinstance(answer, Answered)

    (whole,) = receiver.named("answer")
    assert whole.parent_id == ""
    parts_of_it = [span for span in receiver.spans if span.parent_id == whole.span_id]
    assert [span.name for span in parts_of_it] == [
        "answer.plan",
        "answer.recall",
        "answer.look",
        "answer.write",
    ]
    assert {span.trace_id for span in receiver.spans} == {whole.trace_id}
    assert "bright" not in str(receiver.spans), "no words of a question"


def test_what_fails_is_marked(receiver: Receiver) -> None:
    with recording("test") as tracer, pytest.raises(RuntimeError), tracer.span("doomed"):
        raise RuntimeError

    assert [span.is_failed for span in receiver.named("doomed")] == [True]
    assert scope().context is None


def test_the_sampler_of_the_environment_decides(
    receiver: Receiver, empty: Settings, light_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "porch")
    remember(empty, "cam", light_film)
    with recording("test") as tracer, tracer.span("root"):
        assert headers()["traceparent"].endswith("-00")

    assert receiver.spans == []


def test_a_service_may_be_named(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "porch")
    with recording("up") as tracer, tracer.span("root"):
        pass

    assert [span.service for span in receiver.spans] == ["porch"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")],
)
def test_it_can_be_switched_off(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with tracing_as("up") as tracer, tracer.span("root"):
        assert scope().context is not None

    assert receiver.paths == []


def test_a_variable_that_cannot_be_used_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "-1")

    with pytest.raises(SettingsError, match="schedule_delay"), tracing_as("up"):
        pass


@pytest.mark.parametrize("answers", [False, True], ids=["nobody there", "silent"])
def test_a_receiver_that_is_away_costs_one_line_and_nothing_else(
    tmp_path: Path,
    light_film: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    answers: bool,
) -> None:
    caplog.set_level(logging.INFO, logger="services")
    traced = load_settings(data=tmp_path / "traced")
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, and says nothing
        port = server.getsockname()[1]
        if not answers:
            server.close()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
        remember(traced, "cam", light_film)

    assert memory_of(traced) == memory_of(settings)
    (line,) = said(caplog)
    assert line[0] == "WARNING"
    assert line[1].startswith("traces are not exported for now: ")


def test_a_receiver_that_is_back_is_told_of(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="services")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    with recording("test") as tracer:
        for status in (400, 400, 200, 200):
            receiver.status = status
            with tracer.span("root"):
                pass
            receiver.until_replied()

    assert [level for level, _ in said(caplog)] == ["WARNING", "INFO"]
    assert len(receiver.named("root")) == 2
