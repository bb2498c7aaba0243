"""A receiver of traces by OTLP over HTTP: what a collector is, as far as we need it."""

import gzip
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Span:
    """A span as it was sent, its ids as text."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    about: dict[str, str]
    is_failed: bool


@dataclass
class Receiver:
    """Keeps what it is sent; replies with `status` while that is not 200."""

    url: str = ""
    status: int = 200
    paths: list[str] = field(default_factory=list[str])
    replied: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    spans: list[Span] = field(default_factory=list[Span])

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def with_id(self, span_id: str) -> Span:
        (span,) = [span for span in self.spans if span.span_id == span_id]
        return span

    def until_replied(self) -> None:
        """Wait until one more request was replied to."""
        if not self.replied.acquire(timeout=PATIENCE_S):
            pytest.fail("nothing was sent")

    def take(self, body: bytes) -> None:
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {one.key: one.value.string_value for one in of_resource.resource.attributes}
            for scope in of_resource.scope_spans:
                self.spans += [_span(one, resource["service.name"]) for one in scope.spans]


def _span(sent: trace_pb2.Span, service: str) -> Span:
    return Span(
        name=sent.name,
        service=service,
        trace_id=sent.trace_id.hex(),
        span_id=sent.span_id.hex(),
        parent_id=sent.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in sent.links),
        about={one.key: one.value.string_value for one in sent.attributes},
        is_failed=sent.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
    )


@contextmanager
def receiving() -> Generator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.paths.append(self.path)
            if receiver.status == 200:
                receiver.take(body)
            reply = ExportTraceServiceResponse().SerializeToString()
            self.send_response(receiver.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)
            receiver.replied.release()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
