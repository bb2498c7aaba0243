"""Who may reach a record in Redis, how, and that no password is ever told."""

import logging
import shutil
import socket
import subprocess
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memory.errors import BadStoreAddress, ServerAway, StoreDenied, StoreError
from memory.redis_client import address_of, probe
from memory.redis_record import RedisRecord
from services.doctor import Health, examine
from services.errors import SettingsError
from services.settings import Settings, load_settings
from services.wiring import opened
from tests.memory.notes import note, put, span, spec
from tests.memory.redis_server import RedisServer

PASSWORD = "Zanzibar-17"
RIGHTS = "~test:* +@read +@write +@scripting +@connection +info +config|get +bgrewriteaof"


@pytest.fixture
def guarded(own_redis: RedisServer) -> RedisServer:
    """A server that lets a user with a password do what a record needs, and nobody else."""
    rights = RIGHTS.split()
    own_redis.command("ACL", "SETUSER", "longwatch", "on", f">{PASSWORD}", *rights)
    own_redis.command("ACL", "SETUSER", "watcher", "on", f">{PASSWORD}", "~test:*", "+@read")
    own_redis.command("ACL", "SETUSER", "stranger", "on", f">{PASSWORD}", "~other:*", "+@all")
    own_redis.command("CONFIG", "SET", "requirepass", "somebody else's")
    return own_redis


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def test_a_user_with_the_documented_rights_may_do_everything(guarded: RedisServer) -> None:
    url = guarded.url(user=f"longwatch:{PASSWORD}@")
    with closing(RedisRecord(url)) as record:
        record.add_stream(spec())
        put(record, note(0, "a heron lands", ((1, 2, "it calls"),)))
        assert record.search_words("heron", limit=1)
        record.begin_forgetting(span(0, 10))
        record.delete_span(span(0, 10))
        record.remove_stream("pond")
        record.check()


def test_after_a_restart_a_user_without_one_right_is_served_and_told(
    guarded: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = guarded.url(user=f"longwatch:{PASSWORD}@")
    admin = ("--no-auth-warning", "--pass", "somebody else's")
    for rights, warning in (("+bgrewriteaof", ""), ("-bgrewriteaof", "BGREWRITEAOF")):
        with closing(RedisRecord(url)):
            guarded.command(*admin, "ACL", "SETUSER", "longwatch", rights)
            guarded.command(*admin, "HSET", "test:meta", "run_id", "of the last run")
        with closing(RedisRecord(url)) as record:
            record.check()
        assert warning in caplog.text
        assert bool(warning) == bool(caplog.text)


@pytest.mark.parametrize(
    "user",
    [
        "",
        f"longwatch:not-{PASSWORD}@",
        f"nobody:{PASSWORD}@",
        f"watcher:{PASSWORD}@",
        f"stranger:{PASSWORD}@",
    ],
)
def test_who_may_not_is_told_so_at_once_and_no_password(
    guarded: RedisServer, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StoreDenied, match=r"refuses us.*may do this") as caught:
        RedisRecord(guarded.url(user=user))

    assert PASSWORD not in told(caught.value) + caplog.text


def test_no_error_tells_a_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url in (
        f"redis://longwatch:{PASSWORD}@127.0.0.1:{port}/0",
        f"redis://:{PASSWORD}@127.0.0.1:{port}?prefix=x:",
        f"rediss://:{PASSWORD}@127.0.0.1:{port}?ssl_ca_certs=missing.pem",
        f"redis://longwatch:{PASSWORD}@127.0.0.1:{PASSWORD}/0",
        f"redis://longwatch:/{PASSWORD}@127.0.0.1:{port}/0",
        f"redis://127.0.0.1:{port}/0?socket_timeout={PASSWORD}",
        f"http://longwatch:{PASSWORD}@127.0.0.1:{port}/0",
        f"unix://longwatch:{PASSWORD}@missing?prefix=x:",
        f"redis://127.0.0.1:{port}/0?password={PASSWORD}&nonsense=1",
    ):
        for act in (lambda u: RedisRecord(u, patience_s=0), probe):
            with pytest.raises(StoreError) as caught:
                act(url)
            assert PASSWORD not in told(caught.value), url
    assert PASSWORD not in caplog.text


def test_an_address_is_shown_without_secrets() -> None:
    shown = [
        address_of(url).shown
        for url in (
            f"redis://longwatch:{PASSWORD}@host.example:7000/3?prefix=a:",
            f"rediss://:{PASSWORD}@host.example?ssl_ca_certs=ca.pem",
            "unix:///run/redis/socket?db=2",
            "redis://[::1]/0",
        )
    ]

    assert shown == [
        "redis://host.example:7000/3",
        "rediss://host.example:6379",
        "unix:///run/redis/socket",
        "redis://[::1]:6379/0",
    ]
    assert address_of("redis://h/0?prefix=a:&db=1")[:2] == ("redis://h/0?db=1", "a:")


@pytest.mark.parametrize("url", ["", "host:6379", "unix://", "redis://h:many", "kafka://h"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadStoreAddress, match="write redis://"):
        address_of(url)


def test_settings_and_doctor_show_no_password(
    guarded: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_REDIS", guarded.url(user=f"longwatch:{PASSWORD}@"))
    settings = load_settings(data=tmp_path)

    assert PASSWORD not in f"{settings!r} {settings} {settings.model_dump()}"
    assert PASSWORD not in settings.model_dump_json()
    (check,) = (check for check in examine(settings) if check.name == "record")
    assert check.health is Health.OK
    assert check.found.startswith("Redis ")
    assert "appendonly yes, appendfsync always" in check.found
    assert PASSWORD not in repr(examine(settings))
    guarded.kill()
    (check,) = (check for check in examine(settings) if check.name == "record")
    assert check.health is Health.MISSING
    assert "apt-get install redis-server" in check.remedy
    assert PASSWORD not in repr(check)


def test_a_setting_that_names_no_redis_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LONGWATCH_REDIS", f"http://longwatch:{PASSWORD}@host")

    with pytest.raises(SettingsError, match=r"LONGWATCH_REDIS cannot be used.*redis://") as caught:
        load_settings()
    assert PASSWORD not in told(caught.value)


def test_services_open_the_record_that_the_settings_name(redis_url: str, tmp_path: Path) -> None:
    settings: Settings = load_settings(data=tmp_path / "data", redis=redis_url)
    with opened(settings) as stores:
        stores.record.add_stream(spec())
        assert stores.registry.names() == ("pond",)
    with closing(RedisRecord(redis_url)) as record:
        assert record.streams() == [spec()]
    assert not settings.record_path.exists()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for this machine, which is its own authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the path (Debian: apt-get install openssl)")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return tmp_path / "ca.pem"


@pytest.fixture
def tls_url(authority: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    key = authority.with_name("key.pem")
    options = [
        *("--tls-port", str(port), "--tls-cert-file", str(authority)),
        *("--tls-key-file", str(key), "--tls-auth-clients", "no"),
    ]
    with closing(RedisServer(*options)):
        yield f"rediss://localhost:{port}/0"


def test_tls_is_spoken_to_a_server_whose_authority_is_named(tls_url: str, authority: Path) -> None:
    with closing(RedisRecord(f"{tls_url}?ssl_ca_certs={authority}")) as record:
        record.add_stream(spec())
        put(record, note(0))
        assert record.counts().clips == 1


def test_a_server_with_an_unknown_certificate_is_not_trusted(tls_url: str) -> None:
    with pytest.raises(ServerAway, match="CERTIFICATE_VERIFY_FAILED"):
        RedisRecord(tls_url, patience_s=0)
