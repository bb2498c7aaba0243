"""Settings come from the environment or the command line, and a bad one is named."""

from pathlib import Path

import pytest

from services.cli import main
from services.errors import SettingsError
from services.settings import Settings, load_settings
from services.wiring import load_engine


def test_everything_has_a_default() -> None:
    settings = load_settings()

    assert settings.data == Path("longwatch-data")
    assert settings.footage == "longwatch-data/footage"
    assert settings.tokens == "longwatch-data/tokens"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LONGWATCH_DATA", str(tmp_path))
    monkeypatch.setenv("LONGWATCH_FOOTAGE_URL", "memory://footage")

    settings = load_settings()

    assert settings.bus_path == tmp_path / "bus.sqlite"
    assert settings.footage == "memory://footage"


def test_the_command_line_overrules_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LONGWATCH_DATA", "elsewhere")

    assert load_settings(data=tmp_path, model=None).data == tmp_path


def test_a_value_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWATCH_MODEL_THREADS", "many")

    with pytest.raises(SettingsError, match="LONGWATCH_MODEL_THREADS cannot be used"):
        load_settings()


def test_a_command_with_a_bad_setting_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONGWATCH_DECODE_THREADS", "many")

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: LONGWATCH_DECODE_THREADS cannot be used")


def test_every_setting_says_what_it_is_for() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("servers", ["", "broker", "kafka://broker:9092", "a:1,,b:2", "u:p@a:1"])
def test_brokers_are_hosts_with_ports(monkeypatch: pytest.MonkeyPatch, servers: str) -> None:
    monkeypatch.setenv("LONGWATCH_KAFKA", servers)

    with pytest.raises(SettingsError, match=r"LONGWATCH_KAFKA cannot be used.*HOST:PORT"):
        load_settings()


def test_roots_of_files_are_whole_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWATCH_FILE_ROOTS", "/mnt/cams:/srv/films")
    settings = load_settings()

    assert settings.allowed_roots is not None
    assert [str(root) for root in settings.allowed_roots[:2]] == ["/mnt/cams", "/srv/films"]
    assert settings.uploads_path in settings.allowed_roots
    monkeypatch.setenv("LONGWATCH_FILE_ROOTS", "")
    assert load_settings().allowed_roots is None
    monkeypatch.setenv("LONGWATCH_FILE_ROOTS", "/mnt/cams:films")
    with pytest.raises(SettingsError, match="LONGWATCH_FILE_ROOTS cannot be used"):
        load_settings()


def test_a_kafka_with_passwords_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWATCH_KAFKA_USERNAME", "longwatch")
    monkeypatch.setenv("LONGWATCH_KAFKA_SECURITY", "SASL_SSL")

    with pytest.raises(SettingsError, match="SASL_SSL needs LONGWATCH_KAFKA_PASSWORD too"):
        load_settings()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://gpu:8000/v1", "must begin with"),
        ("openai+", "must begin with"),
        ("openai+gpu:8000", "URLs with commas"),
        ("openai+http://a/v1,b", "URLs with commas"),
        ("openai+http://a/v1?key=s3cret", "URLs with commas"),
        ("openai+http://me:s3cret@a/v1", "set LONGWATCH_MODEL_KEY"),
    ],
)
def test_servers_of_a_model_are_named_by_kind_and_url(
    monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    monkeypatch.setenv("LONGWATCH_MODEL_URL", url)

    with pytest.raises(SettingsError, match=rf"LONGWATCH_MODEL_URL cannot be used.*{why}") as told:
        load_settings()
    assert "s3cret" not in str(told.value)


def test_without_servers_the_model_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWATCH_MODEL_URL", "")  # as Compose passes on what nobody set
    assert load_settings().model_address is None


def test_a_model_may_run_in_several_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWATCH_MODEL_URL", "openai+http://a:8000/v1,https://b/v1/")
    monkeypatch.setenv("LONGWATCH_MODEL_KEY", "s3cret")

    settings = load_settings()

    assert settings.model_address is not None
    assert settings.model_address.urls == ("http://a:8000/v1", "https://b/v1")
    assert "s3cret" not in repr(settings)


def test_a_model_of_others_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWATCH_MODEL_URL", "openai+http://a:8000/v1")

    with pytest.raises(SettingsError, match="LONGWATCH_MODEL_NAME is missing"):
        load_engine(load_settings())
