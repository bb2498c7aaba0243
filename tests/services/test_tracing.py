"""Contexts are carried from a segment to the index, with nothing installed that records spans."""

import json
import logging
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from services.errors import WorkerCrashed
from services.logs import JsonFormatter
from services.settings import Settings
from services.tracing import (
    CarryingTracer,
    TraceContext,
    context_of,
    continuing,
    headers,
    parsed,
    scope,
)
from services.wiring import opened, opened_bus
from streaming.bus import Record
from streaming.messages import TOPIC_CLIPS, TOPIC_SEGMENTS, ClipRemembered
from tests.services.analysing import Fuse, analyse, changed
from tests.services.conftest import remember

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if OpenTelemetry were not installed: whoever imports it fails."""
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
            patch.delitem(sys.modules, name)
        patch.delitem(sys.modules, "services.otel", raising=False)
        patch.setitem(sys.modules, "opentelemetry", None)
        yield


def read(settings: Settings, topic: str) -> list[Record]:
    with opened_bus(settings) as bus:
        return bus.consumer(topic, group="test").poll(max_records=1000, timeout_s=0)


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f" 00-{TRACE}-{SPAN}-01\t", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_header_that_the_standard_allows_is_read(header: str, *, is_sampled: bool) -> None:
    assert parsed(header) == TraceContext(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
    ],
)
def test_a_header_that_the_standard_forbids_begins_a_trace_anew(header: str) -> None:
    assert parsed(header) is None
    assert context_of({"traceparent": header}) is None


def test_what_is_written_is_read_back() -> None:
    context = TraceContext(TRACE, SPAN, is_sampled=True)

    assert context.traceparent == f"00-{TRACE}-{SPAN}-01"
    assert parsed(context.traceparent) == context


def test_a_span_within_another_belongs_to_its_trace() -> None:
    numbers = count(1)  # a trace id and a span id for each span
    tracer = CarryingTracer(random_hex=lambda size: f"{next(numbers):0{2 * size}x}")

    assert headers() == {}
    with tracer.span("outer", {"stream_id": "cam"}):
        outer = scope()
        with tracer.span("inner", {"clip_id": "cam:1"}):
            inner, carried = scope(), headers()
        assert scope() == outer
    assert scope().context is None

    assert outer.context == TraceContext(f"{1:032x}", f"{2:016x}", is_sampled=False)
    assert inner.context == TraceContext(f"{1:032x}", f"{4:016x}", is_sampled=False)
    assert inner.about == {"stream_id": "cam", "clip_id": "cam:1"}
    assert carried == {"traceparent": f"00-{1:032x}-{4:016x}-00"}


def test_a_trace_of_another_process_is_gone_on_with() -> None:
    with continuing(TraceContext(TRACE, SPAN, is_sampled=True)), CarryingTracer().span("here"):
        context = parsed(headers()["traceparent"])

    assert context is not None
    assert (context.trace_id, context.is_sampled) == (TRACE, True)
    assert context.span_id != SPAN


@pytest.mark.usefixtures("nothing_installed")
def test_a_trace_goes_from_segments_to_clips_with_nothing_installed(
    empty: Settings, light_film: Path
) -> None:
    remember(empty, "cam", light_film)
    check_carried(empty)


@pytest.mark.usefixtures("nothing_installed")
def test_what_is_not_installed_is_said_once_and_missed_by_nobody(
    empty: Settings,
    light_film: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    remember(empty, "cam", light_film)

    check_carried(empty)
    said = [one.getMessage() for one in caplog.records if "traces" in one.getMessage()]
    assert said == ["traces are not exported: pip install -c constraints.txt '.[otel]'"]


def test_a_trace_goes_on_after_a_power_cut(captured: Settings) -> None:
    with pytest.raises(WorkerCrashed):
        analyse(captured, fuse=Fuse(12))
    analyse(captured)

    check_carried(captured)


def check_carried(settings: Settings) -> None:
    """Each segment begins a trace, and each clip belongs to that of its first segment."""
    with opened(settings) as stores:
        segments = stores.record.segments()
    sent = {record.value: context_of(record.headers) for record in read(settings, TOPIC_SEGMENTS)}
    begun = {one.span.start_ns: sent[one.model_dump_json().encode()] for one in segments}
    traces = {context.trace_id for context in begun.values() if context is not None}
    assert len(traces) == len(segments)

    clips = read(settings, TOPIC_CLIPS)
    assert len(clips) >= 5
    for record in clips:
        clip = ClipRemembered.model_validate_json(record.value)
        (first, *_) = [one for one in segments if one.span.end_ns > clip.span.start_ns]
        context, parent = context_of(record.headers), begun[first.span.start_ns]
        if context is None:
            assert record.offset > 0, "only what is announced again has none"
            continue
        assert parent is not None
        assert context.trace_id == parent.trace_id
        assert context.span_id != parent.span_id


def test_a_line_in_the_log_names_its_trace() -> None:
    line = logging.makeLogRecord({"name": "services.remember", "msg": "hello"})
    formatter = JsonFormatter("analyse")

    assert "trace_id" not in json.loads(formatter.format(line))
    with continuing(TraceContext(TRACE, SPAN, is_sampled=False)):
        assert json.loads(formatter.format(line))["trace_id"] == TRACE


def test_what_a_worker_logs_of_a_message_names_its_trace(
    captured: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with changed(captured) as (stores, _):
        damaged = stores.record.segments()[3]
        (Path(captured.footage) / damaged.uri).write_bytes(b"not a film")
    analyse(captured)

    context = context_of(read(captured, TOPIC_SEGMENTS)[3].headers)
    assert context is not None
    (line,) = [one for one in caplog.records if "set aside" in one.getMessage()]
    assert json.loads(JsonFormatter("analyse").format(line))["trace_id"] == context.trace_id
