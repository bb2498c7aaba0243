"""A server that plays faults, and no model: it says what it is told to, or goes away."""

import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SILENT = "silent"
"""In place of a status: nothing is said, until the server stops."""


@dataclass(slots=True)
class Faulty:
    """`says` are statuses and bodies, one for each request in turn, the last one for ever."""

    url: str
    says: Sequence[tuple[int | str, bytes]] = ((200, b"{}"),)
    content_type: str = "application/json"
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list[Any])
    is_over: threading.Event = field(default_factory=threading.Event)

    def next_says(self) -> tuple[int | str, bytes]:
        return self.says[min(len(self.asked), len(self.says)) - 1]


class Listening(ThreadingHTTPServer):
    request_queue_size = 128  # else a connection of many at once is turned away


@contextmanager
def faulty(*says: tuple[int | str, bytes], port: int = 0) -> Generator[Faulty]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.asked.append((self.path, dict(self.headers.items()), body))
            status, reply = server.next_says()
            if isinstance(status, str):
                server.is_over.wait()
                return
            self.send_response(status)
            self.send_header("Content-Type", server.content_type)
            if server.content_type == "application/json":
                self.send_header("Content-Length", str(len(reply)))
            else:
                self.close_connection = True
            self.end_headers()
            self.wfile.write(reply)

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = Listening(("127.0.0.1", port), Handler)
    server = Faulty(f"http://127.0.0.1:{listening.server_address[1]}")
    if says:
        server.says = says
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.is_over.set()
        listening.shutdown()
        listening.server_close()
        thread.join()


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
