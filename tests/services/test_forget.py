"""Forgetting reaches everything, with and without a service at work."""

import threading
from pathlib import Path

import pytest

from services.answer import Question
from services.errors import NoSuchStream
from services.forget import forget_span, forget_whole
from services.registry import NewStream
from services.requests import answerer_of
from services.settings import Settings
from services.up import Running, run_service
from services.wiring import Stores, open_index, opened
from streaming.messages import NS_PER_S, Span, Verdict
from tests.services.conftest import serve
from tests.services.scripted_engine import ScriptedEngine
from tests.services.test_capture import wait_for

SPAN = Span(stream_id="cam", start_ns=11 * NS_PER_S, end_ns=14 * NS_PER_S)


def files(settings: Settings, kind: str) -> list[Path]:
    return [path for path in (settings.data / kind).rglob("*") if path.is_file()]


def test_a_span_is_forgotten_everywhere(stores: Stores, settings: Settings) -> None:
    gone = forget_span(stores, SPAN)

    assert [clip_id.split(":")[1] for clip_id in gone.record.clip_ids] == [
        f"{10 * NS_PER_S}-{20 * NS_PER_S}"
    ]
    assert gone.footage.files == gone.record.segments >= 1
    assert not any(note.span.overlaps(SPAN.start_ns, SPAN.end_ns) for note in stores.record.clips())
    assert len(files(settings, "tokens")) == 4
    engine = ScriptedEngine()
    assert open_index(stores, engine).index.clip_ids() == stores.record.clip_ids()
    answer = answerer_of(stores, engine, open_index(stores, engine).index).ask(
        Question("exists: bright light before 0:00:16")
    )
    assert answer.verdict in (Verdict.NOT_FOUND, Verdict.NOT_WATCHED)
    assert answer.coverage.fraction < 1


def test_what_was_forgotten_does_not_come_back(stores: Stores, settings: Settings) -> None:
    forget_span(stores, SPAN)
    before = stores.record.clip_ids()
    serve(settings)

    assert stores.record.clip_ids() == before


def test_a_stream_is_forgotten_with_its_name(
    stores: Stores, settings: Settings, light_film: Path
) -> None:
    forget_whole(stores, "cam")

    assert stores.registry.names() == ()
    assert stores.record.clips() == []
    assert files(settings, "footage") == files(settings, "tokens") == []


def test_a_forgotten_name_may_be_used_again(
    stores: Stores, settings: Settings, light_film: Path
) -> None:
    before = stores.record.clip_ids()
    forget_whole(stores, "cam")
    stores.registry.add(NewStream("cam", str(light_film)))
    serve(settings)

    assert stores.record.clip_ids() == before


def test_credentials_are_forgotten_too(stores: Stores, settings: Settings) -> None:
    stores.registry.add(NewStream("door", "rtsp://watcher:s3cret@camera.local/1"))
    forget_whole(stores, "door")

    assert files(settings, "credentials") == []


def test_an_unknown_stream_is_refused(stores: Stores) -> None:
    with pytest.raises(NoSuchStream):
        forget_whole(stores, "door")


def test_a_running_service_lets_go_of_a_forgotten_stream(
    settings: Settings, light_film: Path
) -> None:
    stop, ready = threading.Event(), threading.Event()
    running = Running(settings, lambda settings: ScriptedEngine(), on_ready=ready.set)
    thread = threading.Thread(target=run_service, args=(running, stop))
    thread.start()
    try:
        assert ready.wait(30)
        with opened(settings) as stores:
            stores.registry.add(NewStream("slow", str(light_film), realtime=True))
            wait_for(lambda: stores.record.status("slow") is not None)
            forget_whole(stores, "slow")
            forget_whole(stores, "cam")

            assert stores.registry.names() == ()
            assert files(settings, "footage") == []
    finally:
        stop.set()
        thread.join()
    with opened(settings) as stores:
        assert open_index(stores, ScriptedEngine()).index.clip_ids() == set()
        assert stores.record.clips() == []
