"""Passwords of cameras and brokers lie on no disk in clear; a lost key harms no other stream."""

import base64
import os
import stat
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from memory.spans import whole_stream
from services.doctor import Check, Health, examine
from services.errors import SecretUnreadable, SettingsError, StreamNameTaken
from services.registry import NewStream
from services.secrets import Secrets
from services.settings import Settings, load_settings
from services.wiring import opened, secrets_of
from tests.conftest import ROOT
from tests.memory.redis_server import RedisServer
from tests.services.alerts.test_courier import SECRET
from tests.services.conftest import EPOCH
from tests.services.processes import Services, measured, until
from tests.streaming.live_server import Camera, clock_film, switched_on

ADDRESS = "rtsp://watcher:s3cret@camera.local/1"
HOOK = "webhook:https://127.0.0.1:1/hooks/k3y-of-hook?token=t0ken-of-hook"
BROKER = "mqtt:mqtts://us3r-of-broker:pa55-of-broker@127.0.0.1:1/site/alerts"
# Long enough that no random bytes of a token or a picture read so by chance.
PASSWORDS = (b"s3cret", b"k3y-of-hook", b"t0ken-of-hook", b"us3r-of-broker", b"pa55-of-broker")
SEALS_ONE = """
import sys, time
from pathlib import Path
from services.secrets import Secrets
data, name = Path(sys.argv[1]), sys.argv[2]
secrets = Secrets(data / "credentials", key=None, key_file=data / "secret.key")
print("ready", flush=True)
while not (data / "go").exists():
    time.sleep(0.0005)
secrets.put(name, f"rtsp://{name}")
"""


def secrets_in(data: Path, *keys: str) -> Secrets:
    return Secrets(data / "credentials", key=",".join(keys), key_file=data / "secret.key")


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_sealed_is_read_with_its_key_and_not_without(tmp_path: Path) -> None:
    secrets_in(tmp_path).put("door", ADDRESS)
    file, key_file = tmp_path / "credentials" / "door", tmp_path / "secret.key"

    assert secrets_in(tmp_path).get("door") == ADDRESS
    assert secrets_in(tmp_path).get("gate") is None
    assert b"s3cret" not in file.read_bytes() and b"camera" not in file.read_bytes()
    assert [mode_of(one) for one in (file, key_file, file.parent)] == [0o600, 0o600, 0o700]
    assert list(file.parent.iterdir()) == [file]
    with pytest.raises(SecretUnreadable, match=r"credentials of door.*did not seal them.*add it"):
        secrets_in(tmp_path, new_key()).get("door")
    key_file.unlink()
    with pytest.raises(SecretUnreadable, match=r"secret\.key is missing") as refused:
        secrets_in(tmp_path).get("door")
    assert refused.value.name == "door"
    assert not key_file.exists(), "reading makes no key"


@pytest.mark.parametrize("held", [b"", b"gAAAAA", b"\xff:\xfe", b"rtsp"])
def test_what_is_damaged_is_said_to_be(tmp_path: Path, held: bytes) -> None:
    secrets_in(tmp_path).put("door", ADDRESS)
    (tmp_path / "credentials" / "door").write_bytes(held)

    with pytest.raises(SecretUnreadable, match="damaged"):
        secrets_in(tmp_path).get("door")


def test_what_an_earlier_version_left_in_clear_is_sealed(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    for name, text in (("door", ADDRESS), ("to.r.1", BROKER)):
        (tmp_path / "credentials" / name).write_text(text)
    secrets = secrets_in(tmp_path)

    assert secrets.get("door") == ADDRESS
    assert b"s3cret" not in (tmp_path / "credentials" / "door").read_bytes()
    secrets.seal_all()
    assert b"pa55-of-broker" not in (tmp_path / "credentials" / "to.r.1").read_bytes()
    assert [secrets.get(name) for name in secrets.names()] == [ADDRESS, BROKER]


def test_the_first_key_seals_and_all_open(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    secrets_in(tmp_path, old).put("door", ADDRESS)
    secrets_in(tmp_path, old).put("gate", ADDRESS)

    assert secrets_in(tmp_path, new, old).get("door") == ADDRESS
    assert secrets_in(tmp_path, new).get("door") == ADDRESS
    with pytest.raises(SecretUnreadable):
        secrets_in(tmp_path, new).get("gate")
    secrets_in(tmp_path, new, old).seal_all()
    assert secrets_in(tmp_path, new).get("gate") == ADDRESS
    assert not (tmp_path / "secret.key").exists()


def test_of_several_that_start_at_once_one_makes_the_key(tmp_path: Path) -> None:
    names = [f"cam-{number}" for number in range(6)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SEALS_ONE, str(tmp_path), name], cwd=ROOT, stdout=subprocess.PIPE
        )
        for name in names
    ]
    for process in started:
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == b"ready\n"
    (tmp_path / "go").touch()

    assert [process.wait(60) for process in started] == [0] * len(started)
    secrets = secrets_in(tmp_path)
    assert [secrets.get(name) for name in names] == [f"rtsp://{name}" for name in names]


def test_a_key_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.key").write_text("no key")
    with pytest.raises(SettingsError, match=r"secret.key cannot be used: .*base64 of 32 bytes"):
        secrets_in(tmp_path).put("door", ADDRESS)
    assert secrets_in(tmp_path).names() == []

    monkeypatch.setenv("LONGWATCH_SECRET_KEY", "no key")
    with pytest.raises(SettingsError, match="LONGWATCH_SECRET_KEY cannot be used") as refused:
        load_settings()
    assert "no key" not in str(refused.value)
    monkeypatch.setenv("LONGWATCH_SECRET_KEY", "")
    assert load_settings().secret_key is None


def test_the_key_lies_where_the_settings_say(tmp_path: Path) -> None:
    elsewhere = load_settings(data=tmp_path / "data", secret_key_file=tmp_path / "safe" / "key")
    secrets_of(elsewhere).put("door", ADDRESS)
    told = load_settings(data=tmp_path / "data", secret_key=(tmp_path / "safe" / "key").read_text())

    assert secrets_of(told).get("door") == ADDRESS
    assert not elsewhere.data.joinpath("secret.key").exists()
    assert checked(elsewhere).found == f"{tmp_path}/safe/key; credentials: 1"
    assert checked(told).found == "LONGWATCH_SECRET_KEY; credentials: 1"
    lost = checked(load_settings(data=tmp_path / "data"))
    assert lost.health is Health.WARNING
    assert "secret.key; cannot open door" in lost.found


def checked(settings: Settings) -> Check:
    return next(check for check in examine(settings) if check.name == "secret key")


def test_a_stream_whose_key_is_lost_is_added_again_and_stays_what_it_was(empty: Settings) -> None:
    with opened(empty, make=True) as stores:
        added = stores.registry.add(NewStream("door", ADDRESS, starts_at=EPOCH))
        empty.secret_key_path.unlink()
        for other in ("rtsp://watcher:s3cret@camera.local/2", "rtsp://camera.local/1"):
            with pytest.raises(StreamNameTaken):
                stores.registry.add(NewStream("door", other))

        assert stores.registry.add(NewStream("door", ADDRESS)) == added
        assert stores.registry.url_of(added) == ADDRESS
        with pytest.raises(StreamNameTaken):
            stores.registry.add(NewStream("door", ADDRESS))
        (empty.credentials_path / "door").unlink()
        with pytest.raises(SecretUnreadable, match="they are gone"):
            stores.registry.url_of(added)


@pytest.fixture
def camera(tmp_path: Path):
    film = clock_film(tmp_path / "clock.h264", rate=10, frames=300, gop=10)
    camera = Camera(tmp_path, {"/1": film}, login=("watcher", "s3cret"))
    with switched_on(camera):
        yield camera


def test_one_stream_waits_for_its_lost_key_and_others_go_on(
    empty: Settings, tmp_path: Path, light_film: Path, camera: Camera
) -> None:
    services = Services(
        {"capture": ("run", "capture")},
        environment={"LONGWATCH_DATA": str(empty.data)},
        logs=tmp_path / "logs",
    )
    key, kept = empty.secret_key_path, tmp_path / "kept"
    with opened(empty, make=True) as stores:
        record = stores.record
        stores.registry.add(NewStream("door", camera.url(login="watcher:s3cret")))
        stores.registry.add(NewStream("film", str(light_film)))
        key.rename(kept)
        services.start()
        capture = services["capture"]
        try:
            until(lambda: record.ended_ns("film") is not None, capture)
            until(lambda: record.status("door") is not None, capture)
            status = record.status("door")
            assert status is not None and status.state == "failed"
            assert "credentials of door cannot be opened" in status.detail
            assert record.segments([whole_stream("door")]) == []
            kept.rename(key)
            until(lambda: bool(record.segments([whole_stream("door")])), capture)
            assert services.stop() == {"capture": 0}
        finally:
            services.clean_up()
    told = [line for line in services.log_of("capture") if "cannot be opened" in line["message"]]
    assert [line["stream_id"] for line in told] == ["door"]


@pytest.mark.parametrize("record", ["SQLite", "Redis"])
def test_no_file_has_a_password_in_clear(
    empty: Settings, tmp_path: Path, camera: Camera, record: str
) -> None:
    environment = {"LONGWATCH_DATA": str(empty.data), "LONGWATCH_WEBHOOK_SECRET": SECRET}
    folders = [empty.data, tmp_path / "logs"]
    with ExitStack() as stack:
        if record == "Redis":
            redis = stack.enter_context(closing(RedisServer("--appendfsync", "always")))
            environment["LONGWATCH_REDIS"] = redis.url()
            folders.append(redis.directory)
        services = Services({"up": ("up",)}, environment=environment, logs=tmp_path / "logs")
        stack.callback(services.clean_up)
        for command in (
            ("add", "door", camera.url(login="watcher:s3cret")),
            ("rule", "add", "a fox digs", "--to", HOOK, "--to", BROKER),
        ):
            assert services.command(*command).returncode == 0
        services.start()
        remembered = "longwatch_clips_remembered_total"
        until(
            lambda: bool(measured(services["up"].get("/metrics").text, remembered, stream="door")),
            services["up"],
            within_s=180,
        )
        files = [path for one in folders for path in one.rglob("*") if path.is_file()]
        held = {path: path.read_bytes() for path in files}

        assert {path.name for path in files} >= {"door", "secret.key", "up.log"}
        assert any(b"***@127.0.0.1" in data for data in held.values())
        found = [(path, word) for path in files for word in PASSWORDS if word in held[path]]
        assert found == []
        assert services.stop() == {"up": 0}
