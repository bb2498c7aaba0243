"""A web server that takes webhooks, well or badly, on this machine."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from streaming.messages import Alert


class Posted(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def alert(self) -> Alert:
        return Alert.model_validate_json(self.body)


class Receiver:
    """What was posted, and with which status that is replied to, by path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.posted: list[Posted] = []
        self.status_of: dict[str, int] = {}

    def taken(self, path: str) -> list[str]:
        """Ids of what was posted to a path, in the order in which it came."""
        return [one.alert.message_id for one in self.posted if one.path == path]


@contextmanager
def receiving(port: int = 0) -> Generator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.posted.append(Posted(self.path, headers, body))
            status = receiver.status_of.get(self.path, 204)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
