"""Streams are added under one name once, and their credentials are shown nowhere."""

import stat
from pathlib import Path

import pytest

from services.capture import CaptureParts, StreamCapture
from services.errors import BadStreamName, NoSuchStream, StreamNameTaken
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import Stores, opened, opened_bus, wall_clock
from streaming.errors import SchemeNotAllowed, SourceMissing, SourceOutsideRoots

CAMERA = "rtsp://watcher:s3cret@camera.local/1"


@pytest.fixture
def stores(empty: Settings):
    with opened(empty, make=True) as stores:
        yield stores


def test_credentials_lie_in_a_file_of_their_own(stores: Stores) -> None:
    spec = stores.registry.add(NewStream("door", CAMERA))

    assert "s3cret" not in spec.model_dump_json()
    assert b"s3cret" not in stores.settings.record_path.read_bytes()
    assert stores.registry.url_of(spec) == CAMERA
    sealed = stores.settings.credentials_path / "door"
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    assert stat.S_IMODE(sealed.parent.stat().st_mode) == 0o700


def test_a_url_without_credentials_needs_no_file(stores: Stores) -> None:
    spec = stores.registry.add(NewStream("door", "rtsp://camera.local/1"))

    assert stores.registry.url_of(spec) == "rtsp://camera.local/1"
    assert not stores.settings.credentials_path.exists()


def test_a_camera_has_its_own_pace_and_a_file_is_read_at_once(
    stores: Stores, light_film: Path
) -> None:
    assert stores.registry.add(NewStream("door", CAMERA)).realtime
    assert not stores.registry.add(NewStream("film", str(light_film))).realtime
    assert stores.registry.add(NewStream("slow", str(light_film), realtime=True)).realtime


def test_a_path_is_kept_whole(
    stores: Stores, light_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(light_film.parent)

    assert stores.registry.add(NewStream("film", light_film.name)).url == str(light_film)


def test_a_file_lies_below_a_root_when_it_is_added_and_whenever_it_is_opened(
    empty: Settings, light_film: Path, tmp_path: Path
) -> None:
    (root := tmp_path / "films").mkdir()
    settings = load_settings(data=empty.data, file_roots=str(root))
    (own := root / "film.mp4").write_bytes(light_film.read_bytes())

    with opened(settings, make=True) as stores, opened_bus(settings) as bus:
        with pytest.raises(SourceOutsideRoots, match=str(root)):
            stores.registry.add(NewStream("other", str(light_film)))
        spec = stores.registry.add(NewStream("film", str(own)))
        own.unlink()
        own.symlink_to(light_film)
        parts = CaptureParts(stores.record, stores.registry, bus, stores.footage, wall_clock())
        capture = StreamCapture(spec, parts)
        capture.join(30)

        assert isinstance(capture.status.error, SourceOutsideRoots)
        assert stores.registry.names() == ("film",)
        assert stores.record.segments() == []


@pytest.mark.parametrize("name", ["", "Door", "a b", "-door", "../door", "d" * 65, "türe"])
def test_a_name_that_cannot_be_one_is_refused(stores: Stores, name: str) -> None:
    with pytest.raises(BadStreamName, match="a-z, 0-9"):
        stores.registry.add(NewStream(name, CAMERA))


def test_a_name_used_twice_is_refused(stores: Stores) -> None:
    stores.registry.add(NewStream("door", CAMERA))

    with pytest.raises(StreamNameTaken, match="forget door"):
        stores.registry.add(NewStream("door", "rtsp://other.local/1"))
    assert stores.registry.url_of(stores.registry.stream("door")) == CAMERA


def test_an_unknown_name_is_refused_with_those_there_are(stores: Stores) -> None:
    stores.registry.add(NewStream("door", CAMERA))

    with pytest.raises(NoSuchStream, match="known are: door"):
        stores.registry.stream("gone")


def test_a_file_that_is_not_there_is_refused_at_once(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        stores.registry.add(NewStream("film", str(tmp_path / "none.mp4")))
    assert stores.registry.names() == ()


def test_no_message_shows_credentials(stores: Stores) -> None:
    with pytest.raises(SchemeNotAllowed) as caught:
        stores.registry.add(NewStream("door", "gopher://watcher:s3cret@camera.local/1"))

    assert "s3cret" not in str(caught.value)
