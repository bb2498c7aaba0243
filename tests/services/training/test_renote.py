"""Notes of older clips are written anew, from what is stored, as if nobody else ever wrote them."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memory.dump import dump
from memory.feedback import Feedback
from memory.labels import LabelBook
from models.engine import ClipTokens
from models.errors import UnparsableReply
from models.schemas import Note
from services.console import Tools
from services.index import FollowedIndex
from services.locks import Service, only_one
from services.promoted import served_model
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.told_weights import WeightsBook
from services.training.renoting import Renoted, Renoting
from services.weights import Turnout, Weights
from services.wiring import Stores, now_at, open_index, opened, opened_bus
from streaming.messages import TOPIC_CLIPS, TOPIC_SEGMENTS
from tests.memory.redis_server import RedisServer
from tests.services.asking import until
from tests.services.conftest import EPOCH, serve
from tests.services.scripted_engine import ScriptedEngine
from tests.services.test_cli import as_json, run, tools_for
from tests.services.test_weights import A, B, Signing, serve_from_now_on, working
from tests.services.training.test_marks import alert, mark


class LeadIn(Signing):
    """Looks back, so that a note depends on the clip before it as well."""

    def __init__(self, model_id: str) -> None:
        super().__init__(model_id)
        self.lead_in_s = 3.0


@pytest.fixture(params=["sqlite", "redis"])
def watched(request: pytest.FixtureRequest, tmp_path: Path, light_film: Path) -> Iterator[Settings]:
    """The film, remembered by A, of which no footage is left."""
    with closing(RedisServer()) if request.param == "redis" else nullcontext() as server:
        settings = load_settings(data=tmp_path / "old", redis=server.url() if server else None)
        remembered_by(LeadIn(A), settings, light_film)
        shutil.rmtree(settings.footage)
        yield settings


def nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def remembered_by(engine: ScriptedEngine, settings: Settings, path: Path) -> None:
    with opened(settings, make=True) as stores:
        stores.registry.add(NewStream("cam", str(path), starts_at=EPOCH))
    serve(settings, engine)


def tools_with(settings: Settings, engine: ScriptedEngine) -> Tools:
    return replace(tools_for(settings), load_engine=lambda settings: engine)


def renoted(settings: Settings, engine: ScriptedEngine, *more: str) -> dict[str, Any]:
    return as_json(run(settings, "renote", "--json", *more, tools=tools_with(settings, engine)))


def memory_of(settings: Settings) -> bytes:
    with opened(settings) as stores:
        return dump(stores.record)


def test_it_comes_to_what_the_new_weights_would_have_remembered(
    watched: Settings, bare: Settings, light_film: Path
) -> None:
    remembered_by(LeadIn(B), bare, light_film)

    assert renoted(watched, LeadIn(B)) == {
        "model_id": B, "rewritten": 5, "known": 0, "left": {}, "stopped": False,
    }  # fmt: skip
    assert memory_of(watched) == memory_of(bare)
    with opened(watched) as stores:
        revision = stores.record.mark().revision
        assert renoted(watched, LeadIn(B))["known"] == 5
        assert stores.record.mark().revision == revision


def test_what_another_encoder_saw_is_looked_at_again(
    bare: Settings, tmp_path: Path, light_film: Path
) -> None:
    def another() -> LeadIn:
        engine = LeadIn(B)
        engine.encoder_id = "another"
        return engine

    remembered_by(another(), bare, light_film)
    older = load_settings(data=tmp_path / "older")
    remembered_by(LeadIn(A), older, light_film)
    with opened(older) as stores:
        stores.tokens.delete(stores.record.clips()[3].clip_id)

    assert renoted(older, another())["rewritten"] == 5
    assert memory_of(older) == memory_of(bare)
    with opened(older) as stores:
        for note in stores.record.clips():
            stored = stores.tokens.get(
                note.clip_id, layout_id=note.layout_id, encoder_id=note.encoder_id
            )
            assert stored.encoder_id == "another"


def going(
    stores: Stores, bus: Any, load: Any, book: WeightsBook | None = None
) -> tuple[Renoting, Weights[None]]:
    weights = Weights(stores.settings, load, lambda engine: None, lambda turnout: None)
    spans = [note.span for note in stores.record.clips()]
    whole = spans[0].model_copy(update={"end_ns": spans[-1].end_ns})
    book = book or WeightsBook(stores.record.documents, now_at=now_at)
    return Renoting(stores, bus, weights, [whole], book), weights


def test_what_was_stopped_goes_on(settings: Settings) -> None:
    class Stopping(Signing):
        def describe(self, clip: ClipTokens, **known: Any) -> Note:
            if len(written) == 2:
                stop.set()
            written.append(clip.clip_id)
            return super().describe(clip, **known)

    written: list[str | None] = []
    stop = threading.Event()
    with opened(settings) as stores, opened_bus(settings) as bus:
        before = dump(stores.record)
        going_on, _ = going(stores, bus, lambda settings: Stopping(B))
        assert going_on.run(stop).rewritten == 3
        writers = [note.model_id for note in stores.record.clips()]
        assert writers == [B, B, B, "scripted@1", "scripted@1"]

    assert renoted(settings, Signing(B))["rewritten"] == 2
    assert renoted(settings, ScriptedEngine())["rewritten"] == 5
    assert memory_of(settings) == before


def test_a_part_of_the_time_is_written_anew(settings: Settings) -> None:
    done = renoted(settings, Signing(B), "--stream", "cam", "--since", "0:10", "--until", "0:25")

    assert done["rewritten"] == 2
    with opened(settings) as stores:
        writers = [note.model_id == B for note in stores.record.clips()]
    assert writers == [False, True, True, False, False]


def test_what_people_said_stays_and_the_index_follows(settings: Settings) -> None:
    assert run(settings, "label", "cam", "0:12", "a light comes on", "--to", "0:15").exit_code == 0
    with opened(settings) as stores:
        clip_id = stores.record.clips()[1].clip_id
        Feedback(stores.record.documents).mark(mark(alert("a light", clip_id), is_right=False))
        old, new = (
            FollowedIndex(open_index(stores, engine), stores.record)
            for engine in (ScriptedEngine(), Signing(B))
        )
        assert (len(old.up_to_date()), len(new.up_to_date())) == (5, 0)
        said = said_by_people(stores)

        assert renoted(settings, Signing(B))["rewritten"] == 5

        assert said_by_people(stores) == said
        assert (len(old.up_to_date()), len(new.up_to_date())) == (0, 5)


def said_by_people(stores: Stores) -> Sequence[object]:
    return LabelBook(stores.record.documents).of("cam"), list(
        Feedback(stores.record.documents).marks()
    )


def test_what_cannot_be_written_anew_keeps_its_words(settings: Settings) -> None:
    class Mute(Signing):
        def describe(self, clip: ClipTokens, **known: Any) -> Note:
            raise UnparsableReply("note", "?")

    with opened(settings) as stores:
        before = dump(stores.record)
        first = stores.record.clips()[0].clip_id
        stores.tokens.delete(first)
    shutil.rmtree(settings.footage)

    result = run(settings, "renote", "--json", tools=tools_with(settings, Mute(B)))
    assert result.exit_code == 1
    gone = "its tokens cannot be read, and its footage is gone"
    assert as_json(result)["left"] == {gone: 1, "its new note cannot be read": 4}
    foreign = Signing(B)
    foreign.encoder_id = "another"
    assert renoted(settings, foreign)["left"] == {gone: 5}
    foreign.layout_id = "another"
    assert renoted(settings, foreign)["left"] == {"another layout cut it": 5}
    assert memory_of(settings) == before


def test_where_others_take_over_all_is_written_by_them(settings: Settings) -> None:
    serve_from_now_on(settings, A)

    class Passing(Signing):
        def describe(self, clip: ClipTokens, **known: Any) -> Note:
            if self.model_id == A and len(stores.record.clips()) == 5:
                serve_from_now_on(settings, B)
            return super().describe(clip, **known)

    with opened(settings) as stores, opened_bus(settings) as bus:
        going_on, _ = going(stores, bus, lambda settings: Passing(served_model(settings).name))
        done = going_on.run(threading.Event())
        assert done.model_id == B
        assert {note.model_id for note in stores.record.clips()} == {B}


@pytest.mark.parametrize("who", ["up", "a service"])
@pytest.mark.parametrize(
    ("topic", "service"), [(TOPIC_SEGMENTS, Service.ANALYSE), (TOPIC_CLIPS, Service.ALERTS)]
)
def test_live_work_goes_first(settings: Settings, topic: str, service: Service, who: str) -> None:
    done: list[Renoted] = []
    name = "up" if who == "up" else service
    with opened(settings) as stores, opened_bus(settings) as bus:
        book = WeightsBook(stores.record.documents, now_at=now_at)
        book.say(f"{name}@here:1", name, Turnout(None, Signing(A)))
        offset = bus.publish(topic, key="cam", value=b"something")
        going_on, _ = going(stores, bus, lambda settings: Signing(B), book)
        with working(lambda stop: done.append(going_on.run(stop))):
            threading.Event().wait(0.5)
            assert {note.model_id for note in stores.record.clips()} == {"scripted@1"}
            bus.consumer(topic, group=service).commit({0: offset + 1})
            until(lambda: bool(done))
    assert done[0].rewritten == 5


def test_one_at_a_time_and_nothing_of_nothing(settings: Settings) -> None:
    with only_one(settings, "renote"):
        assert run(settings, "renote", tools=tools_with(settings, Signing(B))).exit_code == 5
    assert run(settings, "add", "door", "rtsp://127.0.0.1:9/door").exit_code == 0
    nothing = run(settings, "renote", "--stream", "door", tools=tools_with(settings, Signing(B)))
    assert nothing.exit_code == 3
