"""Real media servers for tests: a camera of GStreamer's RTSP server, and nginx for RTMP and HLS.

Both come from Debian's packages, listen on free ports of the loopback interface and keep what they
write in the folder of the test. Every film shows a clock, its pictures' numbers, so that a captured
picture tells when it was taken: `Clock.filmed_ns`.

A server ends with the process that started it, however that ends.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from streaming.messages import NS_PER_S
from tests.streaming.media import film
from tests.streaming.servers import free_port, self_signed

SYSTEM_PYTHON = "/usr/bin/python3"
CAMERA = Path(__file__).with_name("camera.py")
CAN_FILM = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('Gst', '1.0')\n"
    "from gi.repository import Gst, GstRtspServer; Gst.init(None)\n"
    "assert Gst.ElementFactory.find('rtph264pay') and Gst.ElementFactory.find('appsrc')"
)
CAMERA_PACKAGES = (
    "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
    " glib-networking"
)
RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
RTMP_PACKAGES = "nginx-light libnginx-mod-rtmp"
START_S = 60.0
TRIES = 3

# Kills the server when this process ends, however it ends: then standard input is closed.
WATCHED = '"$@" >>"$LOG" 2>&1 & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null'

NGINX = """\
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
rtmp {{
  server {{
    listen 127.0.0.1:{rtmp_port};
    application live {{
      live on;
      idle_streams on;
      wait_key off;
      hls on;
      hls_path {folder}/hls;
      hls_fragment 1s;
      hls_playlist_length 6s;
    }}
  }}
}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{http_port};
    root {folder}/hls;
  }}
}}
"""


@dataclass(frozen=True)
class Film:
    """An H.264 film whose pictures carry their numbers."""

    path: Path
    sizes_bytes: list[int]
    rate: int = 15

    @property
    def frames(self) -> int:
        return len(self.sizes_bytes)


def clock_film(path: Path, *, rate: int = 15, frames: int = 600, **changes: Any) -> Film:
    """Film a clock; `path` ends in .h264."""
    film(path, frames=frames, rate=Fraction(rate), **changes)
    with av.open(str(path)) as made:
        sizes_bytes = [packet.size for packet in made.demux(video=0) if packet.size]
    assert len(sizes_bytes) == frames and sum(sizes_bytes) == path.stat().st_size
    return Film(path, sizes_bytes, rate)


@dataclass(frozen=True)
class Clock:
    """When the pictures of a film that goes in a circle were taken."""

    begun_s: float
    film: Film

    def filmed_ns(self, number: int, *, near_ns: int) -> int:
        """The wall time at which a picture was taken, the one of its circles nearest to a time."""
        round_ns = self.film.frames * NS_PER_S // self.film.rate
        first_ns = int(self.begun_s * NS_PER_S) + number * NS_PER_S // self.film.rate
        return first_ns + round((near_ns - first_ns) / round_ns) * round_ns


class Process:
    """A server that a test may kill, freeze and start again."""

    def __init__(self, log: Path, *command: str) -> None:
        self._command, self.log = command, log
        self._watch: subprocess.Popen[str] | None = None
        self._pid = 0

    def start(self, is_ready: Callable[[], bool]) -> bool:
        """Start, and wait until it is ready; False if it ended instead."""
        self.log.write_text("")
        self._watch = watch = subprocess.Popen(
            ["sh", "-c", WATCHED, "sh", *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.defpath, "LOG": str(self.log), "PYTHONPATH": str(Path.cwd())},
        )
        assert watch.stdout is not None
        self._pid = int(watch.stdout.readline())
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s and self._is_alive():
            if is_ready():
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def begun_s(self) -> float | None:
        """Since when it films, if it does."""
        words = self.log.read_text().split()
        return float(words[1]) if words[:1] == ["filming"] and len(words) > 1 else None

    def _is_alive(self) -> bool:
        stat = Path(f"/proc/{self._pid}/stat")
        return stat.exists() and stat.read_text().rpartition(") ")[2][0] not in "ZX"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._pid, number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, without a word, as a loss of power would."""
        if self._watch is not None:
            self._watch.communicate()  # closes its standard input, and waits
        self._watch = None


@dataclass
class Camera:
    """A camera with one lens a path, which a test may switch off and on."""

    folder: Path
    lenses: Mapping[str, Film]
    login: tuple[str, str] | None = None
    has_tls: bool = False
    loss: float = 0.0
    port: int = 0
    begun_s: float = 0.0
    process: Process = field(init=False)

    def __post_init__(self) -> None:
        self._config = self.folder / "camera.json"
        self.process = Process(
            self.folder / "camera.log", SYSTEM_PYTHON, str(CAMERA), str(self._config)
        )

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    def url(self, path: str = "/1", *, login: str = "") -> str:
        scheme = "rtsps" if self.has_tls else "rtsp"
        return f"{scheme}://{login}{'@' if login else ''}127.0.0.1:{self.port}{path}"

    def clock(self, path: str = "/1") -> Clock:
        return Clock(self.begun_s, self.lenses[path])

    def start(self) -> None:
        """Switch on: on a free port the first time, then on the same."""
        port = self.port
        for _ in range(TRIES):
            self.port = port or free_port()
            self._config.write_text(json.dumps(self._settings()))
            if self.process.start(lambda: self.process.begun_s() is not None):
                self.begun_s = self.process.begun_s() or 0.0
                return
        pytest.fail(f"the camera did not start:\n{self.process.log.read_text()[-3000:]}")

    def drop_all(self) -> None:
        """Break off every connection."""
        self.process.signal(signal.SIGUSR1)

    def _settings(self) -> dict[str, object]:
        pem = self.folder / "camera.pem"
        if self.has_tls and not pem.exists():
            pem.write_text("".join(file.read_text() for file in self_signed(self.folder)))
        return {
            "port": self.port,
            "lenses": {
                path: {"film": [str(lens.path), lens.sizes_bytes], "rate": lens.rate}
                for path, lens in self.lenses.items()
            },
            "login": self.login,
            "pem": str(pem) if self.has_tls else None,
            "loss": self.loss,
        }


@contextmanager
def switched_on(camera: Camera) -> Generator[Camera]:
    """The camera, until the end; skips the test where this machine cannot run one."""
    check = [SYSTEM_PYTHON, "-c", CAN_FILM]
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run(check, capture_output=True).returncode:
        pytest.skip(f"no RTSP server to test with: apt-get install {CAMERA_PACKAGES}")
    camera.start()
    try:
        yield camera
    finally:
        camera.process.kill()


class Broadcaster:
    """nginx: takes streams by RTMP, and gives them by RTMP and HLS."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._published = 0
        self.rtmp_port = self.http_port = 0
        self.process = Process(
            folder / "nginx.log",
            *(shutil.which("nginx") or "nginx", "-p", str(folder)),
            *("-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")),
        )

    @property
    def hls(self) -> Path:
        """Where the playlists lie, and their pieces."""
        return self._folder / "hls"

    @property
    def rtmp_url(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live/1"

    @property
    def hls_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/1.m3u8"

    def start(self) -> None:
        """Switch on: on free ports the first time, then on the same."""
        ports = self.rtmp_port, self.http_port
        for _ in range(TRIES):
            self.rtmp_port, self.http_port = ports if all(ports) else (free_port(), free_port())
            conf = NGINX.format(
                module=RTMP_MODULE,
                folder=self._folder,
                rtmp_port=self.rtmp_port,
                http_port=self.http_port,
            )
            (self._folder / "nginx.conf").write_text(conf)
            if self.process.start(self._listens):
                return
        pytest.fail(f"nginx did not start:\n{(self._folder / 'error.log').read_text()[-3000:]}")

    def _listens(self) -> bool:
        try:
            for port in (self.rtmp_port, self.http_port):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return False
        return True

    @contextmanager
    def publishing(self, film: Film) -> Generator[Clock]:
        """Have a camera send its film here."""
        self._published += 1
        publisher = Process(
            self._folder / f"publisher-{self._published}.log",
            *(sys.executable, "-m", "tests.streaming.publish"),
            *(str(film.path), self.rtmp_url, str(film.rate)),
        )
        films = publisher.start(lambda: publisher.begun_s() is not None)
        assert films, publisher.log.read_text()[-3000:]
        try:
            yield Clock(publisher.begun_s() or 0.0, film)
        finally:
            publisher.kill()


@contextmanager
def broadcasting(folder: Path) -> Generator[Broadcaster]:
    """A broadcaster, until the end; skips the test where this machine cannot run one."""
    if shutil.which("nginx") is None or not RTMP_MODULE.exists():
        pytest.skip(f"no RTMP server to test with: apt-get install {RTMP_PACKAGES}")
    broadcaster = Broadcaster(folder)
    broadcaster.start()
    try:
        yield broadcaster
    finally:
        broadcaster.process.kill()
