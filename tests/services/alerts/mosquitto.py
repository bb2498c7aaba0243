"""A real MQTT broker for the tests, Mosquitto, and somebody who listens there.

Where it is not installed, tests skip and say why, which CI does not accept (tests/conftest.py).
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from streaming.messages import Alert
from tests.streaming.live_server import Process
from tests.streaming.servers import free_port, self_signed

PATH = os.pathsep.join((os.defpath, "/usr/sbin"))
TRIES = 5
PATIENCE_S = 30.0
USER, PASSWORD = "ann", "ge/heim@1"


class Mosquitto:
    """A broker: one port for anybody, and one with TLS for `USER`, who may write to `open/`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate, self._key = self_signed(folder)
        self.port = self.tls_port = 0
        (folder / "acl").write_text(f"user {USER}\ntopic readwrite open/#\n")
        self._passwords = folder / "passwords"
        subprocess.run(
            ["mosquitto_passwd", "-b", "-c", str(self._passwords), USER, PASSWORD],
            check=True,
            capture_output=True,
            env={"PATH": PATH},
        )
        self.process = Process(
            folder / "mosquitto.log",
            *(shutil.which("mosquitto", path=PATH) or "mosquitto", "-c", str(folder / "conf")),
        )

    def url(self, topic: str) -> str:
        return f"mqtt:mqtt://127.0.0.1:{self.port}/{topic}"

    def start(self) -> None:
        """Switch on: on free ports the first time, then on the same."""
        ports = self.port, self.tls_port
        for _ in range(TRIES):
            self.port, self.tls_port = ports if all(ports) else (free_port(), free_port())
            (self._folder / "conf").write_text(self._config())
            if self.process.start(self._listens):
                return
        pytest.fail(f"no broker: {self.process.log.read_text()[-3000:]}")

    def _config(self) -> str:
        return f"""\
per_listener_settings true
user root
listener {self.port} 127.0.0.1
allow_anonymous true
listener {self.tls_port} 127.0.0.1
certfile {self.certificate}
keyfile {self._key}
password_file {self._passwords}
acl_file {self._folder / "acl"}
"""

    def _listens(self) -> bool:
        try:
            for port in (self.port, self.tls_port):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return False
        return True


@contextmanager
def brokering(folder: Path) -> Generator[Mosquitto]:
    """A broker, until the end; skips the test where this machine has none."""
    if shutil.which("mosquitto", path=PATH) is None:
        pytest.skip("no MQTT broker to test with: apt-get install mosquitto")
    broker = Mosquitto(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.process.kill()


class Listener:
    """What came of a topic, in order."""

    def __init__(self, came: SimpleQueue[MQTTMessage]) -> None:
        self._came = came
        self.messages: list[MQTTMessage] = []

    def taken(self, count: int) -> list[str]:
        """Ids of the first so many messages, which it waits for."""
        while len(self.messages) < count:
            self.messages.append(self._came.get(timeout=PATIENCE_S))
        return [Alert.model_validate_json(one.payload).message_id for one in self.messages]


@contextmanager
def listening(broker: Mosquitto, topic: str) -> Generator[Listener]:
    """Somebody who is told all of a topic from here on."""
    came: SimpleQueue[MQTTMessage] = SimpleQueue()
    begun: SimpleQueue[object] = SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.on_message = lambda client, data, message: came.put(message)
    client.on_connect = lambda *rest: begun.put(rest)
    client.on_subscribe = lambda *rest: begun.put(rest)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        begun.get(timeout=PATIENCE_S)
        client.subscribe(topic, options=SubscribeOptions(qos=1, retainAsPublished=True))
        begun.get(timeout=PATIENCE_S)
        yield Listener(came)
    finally:
        client.disconnect()
        client.loop_stop()
