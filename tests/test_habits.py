"""The rules that conftest.py lays on every test hold themselves."""

import socket

import pytest

from tests.conftest import EXCUSES, needless
from tests.memory import redis_server


@pytest.mark.parametrize("host", ["192.0.2.1", "example.com"])
def test_a_test_cannot_reach_the_network(host: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=host):
        socket.create_connection((host, 80), timeout=1)


def test_a_test_can_reach_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()


def test_a_skip_is_excused_by_a_true_reason_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXCUSES, "real footage", lambda: True)
    monkeypatch.setitem(EXCUSES, "GPU", lambda: False)
    skips = [
        ("a", "Skipped: the real footage is not here"),
        ("b", "Skipped: no GPU"),
        ("c", "Skipped: not in the mood"),
        ("d", f"Skipped: {redis_server.MISSING}"),
    ]

    assert [test for test, _ in needless(skips)] == ["b", "c", "d"]
