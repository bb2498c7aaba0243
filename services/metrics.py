"""What a process measures of itself, for Prometheus: the one place that knows the names.

Each process has one `Metrics`; whoever works is given it, and tells it what happened. A piece of
work that is timed is a span of a trace, too (`services.tracing`). Labels are few by design:
streams, stages, reasons, topics, groups and routes, never clips, questions or messages. A stream
that is forgotten takes its time series along (`keep_streams`).
"""

import platform
import time
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from importlib import metadata

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase

from models.engine import Engine
from services.tracing import NOTHING, CarryingTracer, Tracer
from streaming.decode import Decoding

PREFIX = "longwatch"
STAGE_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Stage(StrEnum):
    """What takes time between a camera and an answer."""

    DECODE = "decode"
    ENCODE = "encode"
    DESCRIBE = "describe"
    STORE = "store"
    ANSWER = "answer"


SPAN_OF = {
    Stage.DECODE: "analyse.decode",
    Stage.ENCODE: "analyse.encode",
    Stage.DESCRIBE: "analyse.describe",
    Stage.STORE: "analyse.store",
    Stage.ANSWER: "answer",
}
"""The span of each stage."""


class Drop(StrEnum):
    """What a camera sent and nobody will see. Messages that are set aside say their error."""

    LOST_PACKET = "dropped packet"
    DAMAGED_PACKET = "damaged packet"


class Budget(StrEnum):
    """What there is only so much of, with its unit."""

    CLIP_SECONDS = "clip_seconds"
    WAITING_NOTES = "waiting_notes"
    FOOTAGE_BYTES = "footage_bytes"
    REQUESTS = "requests"


class Metrics:
    """The measurements of one process. May be used from any thread."""

    def __init__(self, service: str = "test") -> None:
        self.tracer: Tracer = CarryingTracer()
        """Begins spans; a service that has another puts it here before it begins."""
        disable_created_metrics()  # when each counter began is of no use, and as long as the rest
        self._registry = CollectorRegistry()
        self._stages = self._histogram("stage_seconds", "Time that a piece of work took", "stage")
        self._clips = self._counter("clips_remembered", "Clips remembered", "stream")
        self._gaps = self._counter("gaps", "Gaps in what was watched", "stream", "reason")
        self._lost = self._counter(
            "lost_seconds", "Media time that was not captured", "stream", "reason"
        )
        self._drops = self._counter(
            "drops", "Packets and messages that were given up", "stream", "reason"
        )
        self._shed = self._counter(
            "shed_seconds",
            "Media time that was skipped or thinned because analysis was behind",
            *("stream", "policy"),
        )
        self._deleted = self._counter(
            "footage_deleted_bytes", "Footage deleted because the disk was full", "stream"
        )
        self._retries = self._counter("retries", "Times work waited for something", "reason")
        self._answers = self._counter("answers", "Questions, by what came of them", "outcome")
        self._lag = self._gauge(
            "lag_messages", "Messages that a group has not handled", "topic", "group"
        )
        self._partitions = self._gauge(
            "partitions", "Partitions that this process works at", "group"
        )
        self._unwritten = self._gauge(
            "unwritten_notes", "Clips that are seen, and whose notes wait for the model"
        )
        self._captured = self._gauge("captured_seconds", "Media time captured", "stream")
        self._remembered = self._gauge("remembered_seconds", "Media time remembered", "stream")
        self._behind = self._gauge(
            "behind_live_seconds", "How far what is remembered lies behind a camera", "stream"
        )
        self._states = self._gauge("streams", "Streams, by state", "state")
        self._ready = self._gauge("ready", "1 if the process is ready to work")
        self._workers = self._gauge("workers", "Workers on a cluster, by state", "state")
        self._restarts = self._counter("worker_restarts", "Times a worker had to begin again")
        self._judgements = self._counter(
            "rule_judgements", "Claims of rules about clips, by what became of them", "outcome"
        )
        self._glimpses = self._counter(
            "glimpses",
            "Looks at clips that were not complete, by what became of them",
            *("stream", "outcome"),
        )
        self._alerts = self._counter("alerts", "Messages of alerts", "rule", "state")
        self._deliveries = self._counter(
            "alert_deliveries", "Attempts to tell of alerts", "sink", "outcome"
        )
        self._delivery_lag = self._histogram(
            "alert_delivery_seconds", "Time from an alert to who was told of it", "sink"
        )
        self._summaries = self._counter("summaries", "Summaries that were written", "level")
        self._requests = self._counter(
            "http_requests", "Requests to the HTTP API", "route", "method", "status"
        )
        self._request_s = self._histogram(
            "http_request_seconds", "Time that a reply of the HTTP API took", "route", "method"
        )
        self._used = self._gauge("budget_used", "How much of a budget is used", "of")
        self._allowed = self._gauge("budget_allowed", "How much of it there is", "of")
        self._infos: dict[str, Info] = {}
        self._by_stream: tuple[MetricWrapperBase, ...] = (
            *(self._clips, self._gaps, self._lost, self._drops, self._shed),
            *(self._deleted, self._glimpses),
            *(self._captured, self._remembered, self._behind),
        )
        self._streams: set[str] = set()
        self._tell_build(service)

    @contextmanager
    def timed(self, stage: Stage, about: Mapping[str, str] = NOTHING) -> Generator[None]:
        """Time one piece of work, also when it fails; `about` says more of its span."""
        began_s = time.perf_counter()
        try:
            with self.tracer.span(SPAN_OF[stage], about):
                yield
        finally:
            self._stages.labels(stage).observe(time.perf_counter() - began_s)

    def clip_remembered(self, stream_id: str) -> None:
        self._clips.labels(self._seen(stream_id)).inc()

    def gap(self, stream_id: str, reason: str) -> None:
        self._gaps.labels(self._seen(stream_id), reason).inc()

    def lost(self, stream_id: str, reason: str, seconds: float) -> None:
        self._lost.labels(self._seen(stream_id), reason).inc(seconds)

    def dropped(self, stream_id: str, reason: str, count: int = 1) -> None:
        if count > 0:
            self._drops.labels(self._seen(stream_id), reason).inc(count)

    def shed(self, stream_id: str, policy: str, seconds: float) -> None:
        self._shed.labels(self._seen(stream_id), policy).inc(seconds)

    def footage_deleted(self, stream_id: str, size_bytes: int) -> None:
        self._deleted.labels(self._seen(stream_id)).inc(size_bytes)

    def retried(self, error: Exception) -> None:
        self._retries.labels(type(error).__name__).inc()

    def answered(self, outcome: str) -> None:
        self._answers.labels(outcome).inc()

    def judged(self, outcome: str) -> None:
        self._judgements.labels(outcome).inc()

    def glimpsed(self, stream_id: str, outcome: str) -> None:
        self._glimpses.labels(self._seen(stream_id), outcome).inc()

    def alerted(self, rule: str, state: str) -> None:
        self._alerts.labels(rule, state).inc()

    def delivered(self, sink: str, *, lag_s: float) -> None:
        self._deliveries.labels(sink, "delivered").inc()
        self._delivery_lag.labels(sink).observe(lag_s)

    def not_delivered(self, sink: str, outcome: str) -> None:
        self._deliveries.labels(sink, outcome).inc()

    def summarised(self, level: str) -> None:
        self._summaries.labels(level).inc()

    def requested(self, route: str, method: str, status: int, *, seconds: float) -> None:
        self._requests.labels(route, method, status).inc()
        self._request_s.labels(route, method).observe(seconds)

    def lag(self, topic: str, group: str, messages: int) -> None:
        self._lag.labels(topic, group).set(messages)

    def partitions(self, group: str, more: int) -> None:
        """So many more partitions than before, or fewer; a process may have several workers."""
        self._partitions.labels(group).inc(more)

    def unwritten(self, more: int, *, allowed: int) -> None:
        """So many more notes wait than before, or fewer, of as many as may for each worker."""
        self._unwritten.inc(more)
        self._used.labels(Budget.WAITING_NOTES).inc(more)
        self._allowed.labels(Budget.WAITING_NOTES).set(allowed)

    def progress(self, stream_id: str, *, captured_s: float, remembered_s: float) -> None:
        self._captured.labels(self._seen(stream_id)).set(captured_s)
        self._remembered.labels(self._seen(stream_id)).set(remembered_s)

    def behind_live(self, stream_id: str, behind_s: float) -> None:
        self._behind.labels(self._seen(stream_id)).set(behind_s)

    def states(self, count_of: Mapping[str, int]) -> None:
        self._states.clear()
        for state, count in count_of.items():
            self._states.labels(state).set(count)

    def ready(self, *, is_ready: bool) -> None:
        self._ready.set(is_ready)

    def workers(self, *, live: int, wanted: int) -> None:
        self._workers.labels("live").set(live)
        self._workers.labels("missing").set(wanted - live)

    def worker_restarted(self) -> None:
        self._restarts.inc()

    def budget(self, of: Budget, *, used: float, allowed: float) -> None:
        self._used.labels(of).set(used)
        self._allowed.labels(of).set(allowed)

    def budget_asked(self, of: Budget, used: Callable[[], float], *, allowed: float) -> None:
        """The same of one whose use changes by itself; it is asked for with the rest."""
        self._used.labels(of).set_function(used)
        self._allowed.labels(of).set(allowed)

    @contextmanager
    def spending(self, of: Budget, *, allowed_s: float) -> Generator[None]:
        """Time what there is only so much time for."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.budget(of, used=time.perf_counter() - began_s, allowed=allowed_s)

    def model(self, engine: Engine) -> None:
        """Say which model this process has loaded."""
        names = {
            "model_id": engine.model_id,
            "encoder_id": engine.encoder_id,
            "layout_id": engine.layout_id,
        }
        self._tell("model", "What is loaded", names)

    def decoder(self, decoding: Decoding) -> None:
        """Say who decodes segments."""
        nvdec = decoding.nvdec
        decoder = "cpu" if nvdec is None else f"nvdec {nvdec.device}"
        self._tell("decoder", "What decodes segments", {"decoder": decoder})

    def keep_streams(self, stream_ids: Collection[str]) -> None:
        """Drop what was measured of other streams: they were forgotten."""
        for stream_id in self._streams - set(stream_ids):
            self._streams.discard(stream_id)
            for metric in self._by_stream:
                metric.remove_by_labels({"stream": stream_id})

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def _seen(self, stream_id: str) -> str:
        self._streams.add(stream_id)
        return stream_id

    def _tell_build(self, service: str) -> None:
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        build = {
            "service": service,
            "version": version(),
            "python": platform.python_version(),
        }
        self._tell("build", "What runs", build)

    def _tell(self, name: str, text: str, facts: dict[str, str]) -> None:
        if name not in self._infos:
            self._infos[name] = Info(f"{PREFIX}_{name}", text, registry=self._registry)
        self._infos[name].info(facts)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(
            f"{PREFIX}_{name}",
            text,
            labels,
            registry=self._registry,
            buckets=STAGE_BUCKETS_S,
        )


def version() -> str:
    try:
        return metadata.version("longwatch")
    except metadata.PackageNotFoundError:  # it runs from its source
        return "unknown"
