"""Cameras and servers that misbehave on demand, on the loopback interface."""

import itertools
import os
import random
import socket
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LISTED = 3
OPENSSL_S = 60.0
UNASSIGNED = (20_000, 32_000)
CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
)
ToCome = Path | Sequence[Path] | None


class Answer:
    """What a served path gives: a status, a body, and how the body is sent."""

    def __init__(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        told_length: int | None = None,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            told_length: the Content-Length, if one is told.
            then: called with the body sent and the connection still open.
        """
        self.body, self.status, self.told_length, self.then = body, status, told_length, then


@contextmanager
def http_server(answer: Callable[[str], Answer]) -> Generator[str]:
    """Serve `answer(path)` for every GET; gives the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = answer(self.path)
            self.send_response(given.status)
            if given.told_length is not None:
                self.send_header("Content-Length", str(given.told_length))
            self.end_headers()
            try:
                self.wfile.write(given.body)
                self.wfile.flush()
                given.then()
            except (BrokenPipeError, ConnectionResetError):
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class LivePlaylist:
    """An HLS camera: films in pieces, of which the latest few are listed.

    Time goes by when somebody reads the playlist: then the next of the pieces to come is filmed,
    or several of them, before it is read again; and where None comes, the camera goes off.

    `head` is what all pieces begin with, where they are fragments of MP4 and not transport streams.
    """

    def __init__(
        self, *filmed: Path, to_come: Sequence[ToCome] = (), head: Path | None = None
    ) -> None:
        self._head = head
        self._pieces: list[tuple[str, bytes]] = []
        self._to_come: list[ToCome] = []
        self.is_over = False
        self.switch_on(*filmed, to_come=to_come)

    def switch_on(self, *filmed: Path, to_come: Sequence[ToCome] = ()) -> None:
        """Come back with some pieces more than were filmed before."""
        self.is_up = True
        self._to_come = list(to_come)
        for piece in filmed:
            self._film(piece)

    def restart(self, *filmed: Path, to_come: Sequence[ToCome] = ()) -> None:
        """Come back with nothing but these."""
        self._pieces.clear()
        self.switch_on(*filmed, to_come=to_come)

    def _film(self, piece: Path) -> None:
        self._pieces.append((f"/{len(self._pieces)}{piece.suffix}", piece.read_bytes()))

    def _time_goes_by(self) -> None:
        if self._to_come:
            next_ones = self._to_come.pop(0)
            self.is_up = next_ones is not None
            for piece in [next_ones] if isinstance(next_ones, Path) else next_ones or ():
                self._film(piece)

    def answer(self, path: str) -> Answer:
        if path == "/live.m3u8":
            if not self.is_up:
                return Answer(status=503)
            playlist = self._playlist()
            self._time_goes_by()
            return Answer(playlist)
        if self._head is not None and path == f"/{self._head.name}":
            body = self._head.read_bytes()
        else:
            body = dict(self._pieces).get(path)
        return Answer(status=404) if body is None else Answer(body, told_length=len(body))

    def _playlist(self) -> bytes:
        first = max(0, len(self._pieces) - LISTED)
        lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:1"]
        if self._head is not None:
            lines.append(f'#EXT-X-MAP:URI="{self._head.name}"')
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
        for name, _ in self._pieces[first:]:
            lines += ["#EXTINF:0.1,", name.lstrip("/")]  # a client asks again as soon as that
        if self.is_over:
            lines.append("#EXT-X-ENDLIST")
        return ("\n".join(lines) + "\n").encode()


@contextmanager
def rtsp_refusing(status: str) -> Generator[str]:
    """An RTSP camera that answers every request with `status`; gives its host and port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            with connection:
                while request := connection.recv(4096):
                    sequence = next(
                        line for line in request.decode().splitlines() if line.startswith("CSeq")
                    )
                    challenge = 'WWW-Authenticate: Basic realm="camera"'
                    answer = f"RTSP/1.0 {status}\r\n{sequence}\r\n{challenge}\r\n\r\n"
                    connection.sendall(answer.encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def dealt_ports(worker: int, workers: int) -> Iterator[int]:
    """Ports in an order of chance, for one of some processes of tests that run side by side.

    None is given to two of them, nor twice to one before all others were given: who is told of a
    port listens there only later, and until then it looks as if nobody used it.
    """
    ports = list(range(*UNASSIGNED)[worker::workers])
    random.SystemRandom().shuffle(ports)
    return itertools.cycle(ports)


def _worker() -> tuple[int, int]:
    """The number of this process of tests, and how many there are, as pytest-xdist tells."""
    told = os.environ  # noqa: TID251 - of pytest, not of Longwatch
    number = told.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return int(number), int(told.get("PYTEST_XDIST_WORKER_COUNT", "1"))


PORTS = dealt_ports(*_worker())


def free_port() -> int:
    """A port of this machine that nobody uses just now, and no other test was told of.

    It lies below those that the system gives to outgoing connections, one of which could take it
    before whoever asked for it listens.
    """
    while True:
        port = next(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = CERTIFICATE.format(key=key, certificate=certificate)
    subprocess.run(command.split(), check=True, capture_output=True, timeout=OPENSSL_S)
    return certificate, key
