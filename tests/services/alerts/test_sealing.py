"""Users of brokers and keys in webhooks' paths: told to, and neither in the record nor shown."""

import os
from pathlib import Path

import pytest

from services.alerts.sealing import SealedSinks
from services.alerts.sinks import parse_sink
from services.errors import BadRule, NotDelivered
from services.secrets import Secrets
from services.settings import Settings, load_settings
from services.wiring import opened, rules_of
from tests.services.alerts.looks import in_short, rule
from tests.services.alerts.receiver import receiving
from tests.services.alerts.test_courier import SECRET
from tests.services.conftest import remember
from tests.services.test_cli import as_json, run

HOOK = "webhook:https://example.com/hooks/k3y?token=t0ken"
BROKER = "mqtt:mqtts://us3r:pa55@example.com:8883/site/alerts"
PLAIN = ("log", "kafka", "mqtt:mqtt://example.com/alerts", "webhook:https://example.com/")
SECRETS = ("k3y", "t0ken", "us3r", "pa55")


def sealed_in(data: Path) -> SealedSinks:
    return SealedSinks(Secrets(data / "credentials", key=None, key_file=data / "secret.key"))


def test_the_record_has_an_address_without_its_secrets(tmp_path: Path) -> None:
    sealed = sealed_in(tmp_path)
    kept = sealed.seal(rule(to=(HOOK, *PLAIN, BROKER)))

    assert kept.to[1:-1] == PLAIN
    assert not any(secret in kept.model_dump_json() for secret in SECRETS)
    assert [sealed.whole(sink).text for sink in kept.sinks] == [HOOK, *PLAIN, BROKER]
    assert [sink.shown for sink in kept.sinks] == [
        parse_sink(text).shown for text in (HOOK, *PLAIN, BROKER)
    ]
    files = list((tmp_path / "credentials").iterdir())
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 2
    assert not any(secret in file.read_text() for file in files for secret in SECRETS)
    assert oct((tmp_path / "credentials").stat().st_mode & 0o777) == "0o700"
    assert sealed.seal(rule(to=(HOOK, *PLAIN, BROKER))) == kept


def test_nobody_names_an_address_that_somebody_else_wrote(tmp_path: Path) -> None:
    sealed = sealed_in(tmp_path)
    kept = sealed.seal(rule(to=(HOOK,)))

    with pytest.raises(BadRule, match="after #"):
        sealed.seal(rule(name="mine", to=kept.to))


def test_an_address_that_is_gone_is_said_without_its_secrets(tmp_path: Path) -> None:
    sealed = sealed_in(tmp_path)
    kept = sealed.seal(rule(to=(BROKER,)))
    assert sealed.keep_only([kept.rule_id], since_s=2**40) == 0
    assert sealed.keep_only([], since_s=0) == 0
    (file,) = (tmp_path / "credentials").iterdir()
    os.utime(file, (1, 1))
    assert sealed.keep_only([], since_s=2) == 1

    with pytest.raises(NotDelivered, match="remove the rule and add it again") as refused:
        sealed.whole(kept.sinks[0])
    assert "example.com:8883/site/alerts" in str(refused.value)
    assert not any(secret in str(refused.value) for secret in SECRETS)


def test_a_rule_that_is_added_tells_the_whole_address(
    empty: Settings, light_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_WEBHOOK_SECRET", SECRET)
    with receiving() as receiver:
        settings = load_settings(data=empty.data, webhook_secret=SECRET, webhook_private=True)
        to = f"webhook:{receiver.url}/hooks/k3y"
        added = run(settings, "rule", "add", "a bright light shines", "--to", to, "--json")
        assert as_json(added)["to"] == [f"webhook:{receiver.url}/…"]
        remember(settings, "cam", light_film)
        with opened(settings) as stores:
            assert "k3y" not in rules_of(stores).rules()[0].model_dump_json()
            assert rules_of(stores).outbox() == {}

    assert {one.path for one in receiver.posted} == {"/hooks/k3y"}
    assert in_short([one.alert for one in receiver.posted])[0] == "new 12-15"
