"""Spans recorded with OpenTelemetry, and sent by OTLP over HTTP.

Where to, how many and under which name is told by OpenTelemetry's own variables, which its SDK
reads. Spans wait in memory, a bounded number of them, and are sent by a thread of their own: a
receiver that is slow or away delays nothing, and costs spans only.
"""

import logging
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from services.errors import SettingsError
from services.metrics import version
from services.tracing import NOTHING, Scope, TraceContext, scope, within

PREFIX = "longwatch"
UNNAMED = "unknown_service"  # what the SDK calls a service that no variable names
STOP_S = 3.0  # what is not sent by then is lost

log = logging.getLogger(__name__)


class OtelTracer:
    """Records spans."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(PREFIX, version())

    @contextmanager
    def span(
        self,
        name: str,
        about: Mapping[str, str] = NOTHING,
        *,
        links: Sequence[TraceContext] = (),
    ) -> Generator[None]:
        outer = scope()
        about = {**outer.about, **about}
        with self._tracer.start_as_current_span(
            name,
            context=_parent(outer),
            links=[Link(_span_context(one, is_remote=True)) for one in links],
            attributes={f"{PREFIX}.{key}": value for key, value in about.items()},
        ) as span:
            found = span.get_span_context()
            context = TraceContext(
                format_trace_id(found.trace_id),
                format_span_id(found.span_id),
                found.trace_flags.sampled,
            )
            with within(Scope(context, about)):
                yield


class TellingExporter(SpanExporter):
    """Sends spans; says once that it cannot, and once that it can again.

    The SDK complains at each attempt, to loggers of its own: that is heard here, and not passed on.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._complaints = Complaints()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS and self._complaints.heard:
            self._complaints.heard = False
            log.info("traces are exported again")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    @contextmanager
    def listening(self) -> Generator[None]:
        """Hear what the SDK has to say meanwhile; a thread of it that is left behind, nobody."""
        sdk = logging.getLogger("opentelemetry")
        sdk.propagate = False
        sdk.handlers = [self._complaints]
        try:
            yield
        finally:
            sdk.handlers = [logging.NullHandler()]


class Complaints(logging.Handler):
    """Logs the first complaint in our own words, and hears the others."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.heard:
            self.heard = True
            log.warning("traces are not exported for now: %s", record.getMessage())


@contextmanager
def recording(service: str) -> Generator[OtelTracer]:
    """A tracer whose spans are sent; at the end, those that are left, if that is soon done.

    Raises:
        SettingsError: OpenTelemetry cannot use one of its variables.
    """
    try:
        exporter = TellingExporter(OTLPSpanExporter())
        provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    except ValueError as error:
        raise SettingsError(f"a variable OTEL_... cannot be used: {error}") from error
    with exporter.listening():
        try:
            yield OtelTracer(provider)
        finally:
            last = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
            last.start()
            last.join(STOP_S)


def _resource(service: str) -> Resource:
    told = Resource.create()
    names = {"service.version": version()}
    if str(told.attributes.get("service.name", UNNAMED)).startswith(UNNAMED):
        names["service.name"] = f"{PREFIX}-{service}"
    return told.merge(Resource(names))


def _parent(outer: Scope) -> Context:
    if outer.context is None:
        return Context()
    parent = NonRecordingSpan(_span_context(outer.context, is_remote=outer.is_remote))
    return set_span_in_context(parent, Context())


def _span_context(context: TraceContext, *, is_remote: bool) -> SpanContext:
    flags = TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT
    return SpanContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote, TraceFlags(flags)
    )
