"""Bad input through the front door: a clear error that names it, and no harm to anything else."""

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from services.console import Tools
from services.registry import NewStream
from services.settings import Settings
from services.wiring import load_engine, opened
from tests.services.conftest import serve
from tests.services.films import film
from tests.services.test_cli import as_json, run
from tests.streaming import media

Make = Callable[[Path, Path], Path]
"""Makes a bad file in a folder, perhaps out of a good film."""


def missing(folder: Path, good: Path) -> Path:
    return folder / "none.mp4"


def directory(folder: Path, good: Path) -> Path:
    return folder


def zero_bytes(folder: Path, good: Path) -> Path:
    (path := folder / "zero.mp4").touch()
    return path


def text(folder: Path, good: Path) -> Path:
    (path := folder / "text.mp4").write_text("Dear diary, " * 100)
    return path


def without_moov(folder: Path, good: Path) -> Path:
    data = good.read_bytes()
    (path := folder / "cut.mp4").write_bytes(data[: data.index(b"moov") - 4])
    return path


def only_sound(folder: Path, good: Path) -> Path:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 16_000), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 16_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def still_image(folder: Path, good: Path) -> Path:
    path = folder / "still.png"
    with av.open(str(path), "w", format="image2") as out:
        stream = out.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        grey = np.full((48, 64, 3), 99, dtype=np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (missing, "SourceMissing", "does not exist"),
        (directory, "SourceIsDirectory", "directory"),
        (zero_bytes, "EmptyMedia", "zero bytes"),
        (text, "UnreadableMedia", "text.mp4"),
        (without_moov, "UnreadableMedia", "moov"),
        (only_sound, "NoVideoTrack", "audio"),
        (still_image, "StillImage", "still image"),
    ],
)
def test_a_file_that_is_no_video_is_refused_when_it_is_added(
    settings: Settings, light_film: Path, tmp_path: Path, make: Make, kind: str, words: str
) -> None:
    path = make(tmp_path, light_film)
    result = run(settings, "add", "bad", str(path), "--json")

    assert result.exit_code == 1
    assert as_json(result)["error"]["kind"] == kind
    assert words in as_json(result)["error"]["message"]
    (row,) = as_json(run(settings, "streams", "--json"))
    assert row["name"] == "cam"


def truncated(folder: Path, good: Path) -> Path:
    path = folder / "truncated.ts"
    with av.open(str(good)) as source, av.open(str(path), "w", format="mpegts") as out:
        target = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = target
                out.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def flipped(folder: Path, good: Path) -> Path:
    path = folder / "flipped.mp4"
    data = bytearray(good.read_bytes())
    middle = data.index(b"mdat") + 4
    for at in range(middle + 900, middle + 2_000, 7):
        data[at] ^= 0xFF
    path.write_bytes(data)
    return path


def tiny(folder: Path, good: Path) -> Path:
    return film(folder / "tiny.mp4", "dark bright " * 6, width_px=16)


def slow(folder: Path, good: Path) -> Path:
    return film(folder / "slow.mp4", "dark " * 30, fps=1)


def fast(folder: Path, good: Path) -> Path:
    return film(folder / "fast.mp4", "dim " * 12, fps=240)


def one_pixel(folder: Path, good: Path) -> Path:
    media.film(folder / "pixel.mkv", size_px=(1, 1), codec="ffv1", pix_fmt="yuv444p")
    return folder / "pixel.mkv"


def huge(folder: Path, good: Path) -> Path:
    media.film(folder / "8k.mp4", size_px=(7680, 4320), rate=Fraction(1), frames=3, gop=1)
    return folder / "8k.mp4"


@pytest.mark.parametrize("make", [truncated, flipped, tiny, one_pixel, huge, slow, fast])
def test_odd_video_is_remembered_as_far_as_it_goes(
    settings: Settings, light_film: Path, tmp_path: Path, make: Make
) -> None:
    path = make(tmp_path, light_film)
    with opened(settings) as stores:
        before = stores.record.clips()
        stores.registry.add(NewStream("odd", str(path)))
    serve(settings)

    with opened(settings) as stores:
        odd = [note for note in stores.record.clips() if note.span.stream_id == "odd"]
        assert odd
        assert [note for note in stores.record.clips() if note not in odd] == before


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("gopher://camera.local/1", "SchemeNotAllowed"),
        ("concat:a.mp4|b.mp4", "SchemeNotAllowed"),
        ("rtsp://", "BadSourceUrl"),
        (" ", "BadSourceUrl"),
    ],
)
def test_a_url_that_cannot_be_a_source_is_refused(settings: Settings, url: str, kind: str) -> None:
    result = run(settings, "add", "door", url, "--json")

    assert (result.exit_code, as_json(result)["error"]["kind"]) == (1, kind)


def test_a_dead_camera_is_tried_again_and_harms_nothing(
    settings: Settings, light_film: Path
) -> None:
    with opened(settings) as stores:
        stores.registry.add(NewStream("dead", "rtsp://me:s3cret@127.0.0.1:9/1"))
        stores.registry.add(NewStream("alive", str(light_film)))
    serve(settings)

    with opened(settings) as stores:
        assert stores.record.counts("alive").clips == 5
        status = stores.record.status("dead")
        assert status is not None
        assert status.state in ("reconnecting", "starting")
        assert "s3cret" not in status.model_dump_json()


def test_a_damaged_index_is_rebuilt(settings: Settings) -> None:
    for path in settings.index_path.iterdir():
        path.write_bytes(b"junk")

    assert as_json(run(settings, "search", "bright light", "--json"))
    serve(settings)
    assert as_json(run(settings, "search", "bright light", "--json"))


def test_a_missing_index_is_rebuilt(settings: Settings) -> None:
    shutil.rmtree(settings.index_path)

    assert as_json(run(settings, "search", "bright light", "--json"))


@pytest.mark.parametrize(
    ("name", "kind"), [("record.sqlite", "DamagedRecord"), ("bus.sqlite", "BusDamaged")]
)
def test_a_damaged_store_is_named_and_left_alone(settings: Settings, name: str, kind: str) -> None:
    for companion in settings.data.glob(f"{name}-*"):
        companion.unlink()
    path = settings.data / name
    path.write_bytes(b"junk" * 1000)
    result = run(settings, "up", "--until-idle", "--json")

    assert result.exit_code == 1
    error = as_json(result)["error"]
    assert error["kind"] == kind
    assert name in error["message"]
    assert path.read_bytes() == b"junk" * 1000


def test_a_damaged_token_file_is_not_looked_at(settings: Settings) -> None:
    for path in Path(settings.tokens).rglob("*.tokens"):
        path.write_bytes(b"junk")

    result = run(settings, "ask", "count: bright light", "--json")
    assert as_json(result)["value"] == 2


def test_a_data_directory_that_cannot_be_made_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(settings, "--data", str(tmp_path / "file" / "data"), "up", "--json")

    assert result.exit_code == 1
    assert as_json(result)["error"]["kind"] == "DataDirectoryUnusable"


@pytest.mark.parametrize("content", [None, {}, {"config.json": "{"}])
def test_a_checkpoint_that_cannot_be_loaded_is_named(
    settings: Settings, tmp_path: Path, content: dict[str, str] | None
) -> None:
    model = tmp_path / "model"
    if content is not None:
        model.mkdir()
        for name, words in content.items():
            (model / name).write_text(words)
    real = Tools(load_engine=load_engine, settings=settings)

    for command in (("up", "--until-idle"), ("ask", "what happened?")):
        result = run(settings, "--model", str(model), *command, "--json", tools=real)
        assert result.exit_code == 1
        assert as_json(result)["error"]["kind"] == "ModelUnavailable"
        assert str(model) in as_json(result)["error"]["message"]


def test_a_directory_that_may_not_be_written_is_named(
    empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write anywhere, so it is only played
    result = run(empty, "up", "--json")

    assert result.exit_code == 1
    error = as_json(result)["error"]
    assert error["kind"] == "DataDirectoryUnusable"
    assert "permission denied" in error["message"]
