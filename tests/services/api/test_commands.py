"""The commands around the API: `key`, `up --listen` and `run api`."""

import json
import threading

import httpx2

from services.settings import Settings, load_settings
from services.up import Running, run_service
from tests.services.asking import PATIENCE_S, until
from tests.services.scripted_engine import ScriptedEngine
from tests.services.test_cli import as_json, run
from tests.streaming.servers import free_port


def test_a_key_is_made_shown_listed_and_taken_back(settings: Settings) -> None:
    made = run(settings, "key", "add", "me", "--role", "operator", "--stream", "cam")
    again = run(settings, "key", "add", "me", "--json")
    (listed,) = as_json(run(settings, "key", "list", "--json"))

    assert made.exit_code == 0
    key = made.output.strip()
    assert key.startswith("lw_")
    assert len(key) > 40
    assert json.loads(again.output)["error"]["kind"] == "KeyNameTaken"
    assert (listed["name"], listed["role"], listed["streams"]) == ("me", "operator", ["cam"])
    assert "sha256" not in listed
    assert key not in run(settings, "key", "list").output
    assert run(settings, "key", "rm", "me").exit_code == 0
    assert run(settings, "key", "rm", "me").exit_code != 0
    assert as_json(run(settings, "key", "list", "--json")) == []


def test_a_key_for_a_stream_that_is_not_there_is_not_made(settings: Settings) -> None:
    refused = run(settings, "key", "add", "me", "--stream", "kam", "--json")

    assert json.loads(refused.output)["error"]["kind"] == "NoSuchStream"
    assert not settings.keys_path.exists()


def test_a_bad_address_to_listen_on_is_named(settings: Settings) -> None:
    refused = run(settings, "run", "api", "--listen", "everywhere", "--json")
    idle = run(settings, "run", "index", "--listen", "127.0.0.1:0", "--json")
    without_key = run(settings, "run", "api", "--listen", ":0", "--json")

    assert "LONGWATCH_LISTEN" in json.loads(refused.output)["error"]["message"]
    assert json.loads(idle.output)["error"]["kind"] == "SettingsError"
    assert json.loads(without_key.output)["error"]["kind"] == "KeyNeeded"


def test_up_serves_the_api_as_well(settings: Settings) -> None:
    port, stop = free_port(), threading.Event()
    listening = load_settings(data=settings.data, listen=f"127.0.0.1:{port}")
    running = Running(settings=listening, load_engine=lambda settings: ScriptedEngine())
    thread = threading.Thread(target=run_service, args=(running, stop))
    thread.start()
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            asked = {"messages": [{"role": "user", "content": "when: a bright light"}]}

            def answered() -> bool:
                try:
                    return client.post("/v1/chat/completions", json=asked).status_code == 200
                except httpx2.ConnectError:
                    return False

            until(answered)
            assert client.get("/v1/live").json() == {"service": "up", "state": "live"}
            assert client.get("/v1/streams/cam").json()["state"] == "ended"
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
