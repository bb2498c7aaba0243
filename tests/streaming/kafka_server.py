"""A real Kafka broker for tests: one process, KRaft, free ports, data that goes with the session.

Its jars come from wherever Maven is set up to fetch from, once, into the user's cache.
"""

import base64
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.streaming.servers import free_port, self_signed

POM = Path(__file__).resolve().parent.parent / "kafka" / "pom.xml"
FETCH = (
    "mvn --batch-mode --quiet --file {pom} -DincludeScope=runtime -DoutputDirectory={folder}"
    " org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
)
JAVA = (
    "java -Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:CICompilerCount=1"
    " -XX:-UsePerfData -Djava.awt.headless=true"
).split()
READY = "Kafka Server started"
LITTERED = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.usefixtures("collected_litter"),
]
"""For modules that kill brokers: kafka-python leaves what it tried in vain to the collector."""

FETCH_S, START_S = 600, 90
TRIES = 3

# Kills the broker when this process ends, however it ends: then standard input is closed.
WATCHED = '"$@" >>"$LOG" 2>&1 & echo $!; cat >/dev/null; kill -9 $!'

USER, PASSWORD = "longwatch", "s3cret-of-the-test"

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners={listeners}
advertised.listeners={listeners}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=\\
  org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
ssl.keystore.location={keystore}
ssl.keystore.type=PEM
log.dirs={data}
auto.create.topics.enable=false
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class KafkaServer:
    """One broker, which a test may kill, freeze and start again on the same port and data."""

    def __init__(self, folder: Path, jars: Path) -> None:
        self._folder = folder
        self._jars = jars
        self._log = folder / "log.txt"
        self._properties = folder / "server.properties"
        self._watch: subprocess.Popen[str] | None = None
        self._java: psutil.Process | None = None
        self.port = self.secure_port = 0

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def secure_servers(self) -> str:
        """Where it wants TLS and a password."""
        return f"127.0.0.1:{self.secure_port}"

    @property
    def certificate(self) -> Path:
        return self._folder / "certificate.pem"

    def begin(self) -> None:
        """Start for the first time, on ports that nobody uses."""
        keystore = self._folder / "keystore.pem"
        keystore.write_text("".join(file.read_text() for file in self_signed(self._folder)[::-1]))
        for _ in range(TRIES):
            self.port, self.secure_port, controller_port = (free_port() for _ in range(3))
            listeners = (
                f"PLAINTEXT://{self.servers},SASL_SSL://{self.secure_servers},"
                f"CONTROLLER://127.0.0.1:{controller_port}"
            )
            self._properties.write_text(
                PROPERTIES.format(
                    listeners=listeners,
                    controller_port=controller_port,
                    data=self._folder / str(self.port),
                    keystore=keystore,
                    user=USER,
                    password=PASSWORD,
                )
            )
            cluster = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
            named = f"--cluster-id={cluster}"  # one word: it may begin with a hyphen
            formatting = ["kafka.tools.StorageTool", "format", "--standalone", named]
            run(*self._command(*formatting, "-c", str(self._properties)))
            if self.start():
                return
        pytest.fail(f"the Kafka broker did not start:\n{self._log.read_text()[-3000:]}")

    def start(self) -> bool:
        """Start, and wait until it serves; False if it ended instead."""
        self._log.write_text("")
        watch = subprocess.Popen(
            ["sh", "-c", WATCHED, "sh", *self._command("kafka.Kafka", str(self._properties))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.defpath, "LOG": str(self._log)},
        )
        assert watch.stdout is not None
        self._watch, self._java = watch, psutil.Process(int(watch.stdout.readline()))
        deadline_s = time.monotonic() + START_S
        while READY not in self._log.read_text():
            if self._java.status() == psutil.STATUS_ZOMBIE or time.monotonic() > deadline_s:
                self.kill()
                return False
            time.sleep(0.05)
        return True

    def kill(self) -> None:
        """End it at once, without a word, as a loss of power would."""
        if self._watch is not None:
            self._watch.communicate()  # closes its standard input, and waits
        self._watch = self._java = None

    def freeze(self) -> None:
        assert self._java is not None
        self._java.suspend()

    def thaw(self) -> None:
        assert self._java is not None
        self._java.resume()

    def _command(self, *words: str) -> list[str]:
        return [*JAVA, "-cp", f"{self._jars}/*", *words]


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S)
    if done.returncode:
        pytest.fail(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )


@contextmanager
def serving(folder: Path, *, cache: Path) -> Generator[KafkaServer]:
    """A broker, until the end; skips the test where this machine cannot run one."""
    for program, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} to run a Kafka broker with: apt-get install {package}")
    server = KafkaServer(folder, fetched_jars(cache))
    try:
        server.begin()
        yield server
    finally:
        server.kill()


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")  # noqa: TID251 - of the machine, not of Longwatch
    return (Path(base) if base else Path.home() / ".cache") / "longwatch"


def fetched_jars(cache: Path) -> Path:
    """The folder of the broker's jars, fetched by the first who asks."""
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fetching = folder.with_suffix(".part")
            command = FETCH.format(pom=POM, folder=fetching).split()
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S)
            if done.returncode:
                pytest.skip(f"Maven cannot fetch the Kafka broker: {done.stdout[-2000:]}")
            fetching.rename(folder)
    return folder
