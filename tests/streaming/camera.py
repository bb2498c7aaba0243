"""A camera: an RTSP server that films all the time, whether anybody watches or not.

    /usr/bin/python3 tests/streaming/camera.py CONFIG

Runs with the system's Python, whose packages hold GStreamer and its RTSP server, and therefore
imports nothing of ours. CONFIG is JSON:

    port        to listen on, on the loopback interface
    lenses      what it films: path -> {film, rate}. `film` is a list [file, sizes of its pictures];
                it is shown in a circle, in H.264 as it is
    login       [user, password], or null
    pem         certificate and key in one file, to be reached by TLS only; or null
    loss        share of RTP packets that get lost

Prints `filming SECONDS` once it can be reached: picture n of a lens is taken at SECONDS of the wall
clock + n / rate. SIGUSR1 has it drop everyone who watches.
"""

import json
import random
import signal
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import gi  # pyright: ignore[reportMissingImports]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")

from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402  # pyright: ignore[reportMissingImports]

LAUNCH = (
    "( appsrc name=lens is-live=true format=time "
    'caps="video/x-h264,stream-format=byte-stream,alignment=au" '
    "! rtph264pay config-interval=-1 name=pay0 pt=96 )"
)
WATCHER = "watcher"


class Lens:
    """Pictures that go by; whoever watches sees them from now on."""

    def __init__(
        self, film: tuple[str, list[int]], rate: float, begun_s: float, loss: float
    ) -> None:
        data, at = Path(film[0]).read_bytes(), 0
        self._pictures: list[bytes] = []
        for size in film[1]:
            self._pictures.append(data[at : at + size])
            at += size
        self._rate, self._begun_s, self._loss = rate, begun_s, loss
        self._rng = random.Random(1)

    def factory(self) -> Any:
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(LAUNCH)
        factory.set_shared(True)  # all who watch see the same pictures
        factory.set_latency(0)
        factory.connect("media-configure", self._configure)
        role = Gst.Structure.new_from_string(
            f"{WATCHER},media.factory.access=true,media.factory.construct=true"
        )
        factory.add_role_from_structure(role[0] if isinstance(role, tuple) else role)
        return factory

    def _configure(self, _factory: Any, media: Any) -> None:
        bin_ = media.get_element()
        gone = threading.Event()
        media.connect("unprepared", lambda _media: gone.set())
        if self._loss:
            pad = bin_.get_by_name("pay0").get_static_pad("src")
            kinds = Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST
            pad.add_probe(kinds, self._lose)
        lens = bin_.get_by_name("lens")
        threading.Thread(target=self._film, args=(lens, gone), daemon=True).start()

    def _film(self, lens: Any, gone: threading.Event) -> None:
        first = int((time.time() - self._begun_s) * self._rate) + 1  # noqa: TID251
        for number in count(first):
            due_s = self._begun_s + number / self._rate
            if gone.wait(max(0.0, due_s - time.time())):  # noqa: TID251
                return
            picture = Gst.Buffer.new_wrapped(self._pictures[number % len(self._pictures)])
            picture.pts = round((number - first) / self._rate * Gst.SECOND)
            picture.dts = picture.pts
            if lens.emit("push-buffer", picture) != Gst.FlowReturn.OK:
                return

    def _lose(self, _pad: Any, info: Any) -> Any:
        is_list = info.type & Gst.PadProbeType.BUFFER_LIST
        packets = info.get_buffer_list().length() if is_list else 1
        lost = any(self._rng.random() < self._loss for _ in range(packets))
        return Gst.PadProbeReturn.DROP if lost else Gst.PadProbeReturn.OK


def guarded(login: tuple[str, str] | None, pem: str | None) -> Any:
    """Who may watch, and how the connection is encrypted."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", WATCHER)
    if login is None:
        auth.set_default_token(token)
    else:
        auth.set_supported_methods(2)  # digest, as cameras have it
        auth.add_digest(*login, token)
    if pem is not None:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(pem))
    return auth


def main(config_path: str) -> None:
    config = json.loads(Path(config_path).read_text())
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(config["port"]))
    if config["login"] or config["pem"]:
        server.set_auth(guarded(config["login"], config["pem"]))
    begun_s = time.time()  # noqa: TID251 - what the film's clock shows
    for path, lens in config["lenses"].items():
        factory = Lens(lens["film"], lens["rate"], begun_s, config["loss"]).factory()
        server.get_mount_points().add_factory(path, factory)
    if not server.attach(None):
        sys.exit("cannot listen")

    def drop_all() -> bool:
        server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE)
        return True

    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, drop_all)
    GLib.timeout_add_seconds(1, lambda: bool(server.get_session_pool().cleanup()) or True)
    sys.stdout.write(f"filming {begun_s!r}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
