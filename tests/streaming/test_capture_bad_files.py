"""What capture makes of what is no video, or only half of one: its own error, or what there is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from streaming.errors import (
    EmptyMedia,
    NoVideoTrack,
    SchemeNotAllowed,
    SourceIsDirectory,
    SourceMissing,
    StillImage,
    StreamingError,
    UnreadableMedia,
    UnsupportedCodec,
)
from streaming.messages import GapReason
from streaming.progress import StreamState
from tests.streaming.capturing import capture
from tests.streaming.media import cut_short, damaged, film, sound_only


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def short(path: Path) -> Path:
    film(path.with_name("whole.mp4"), frames=30)
    cut_short(path.with_name("whole.mp4"), path, at=0.5)
    return path


def sound(path: Path) -> Path:
    sound_only(path)
    return path


def still(path: Path) -> Path:
    film(path, codec="png", pix_fmt="rgb24", frames=1, container="image2")
    return path


def of_unknown_codec(path: Path) -> Path:
    film(path, frames=15)
    return written(path, path.read_bytes().replace(b"avc1", b"zzzz"))


DIARY = b"Dear diary, nothing moved today.\n" * 99
UNUSABLE: dict[str, tuple[Callable[[Path], Path | str], type[StreamingError]]] = {
    "missing": (lambda folder: folder / "nothing.mp4", SourceMissing),
    "directory": (lambda folder: folder, SourceIsDirectory),
    "zero bytes": (lambda folder: written(folder / "empty.mp4", b""), EmptyMedia),
    "renamed text": (lambda folder: written(folder / "text.mp4", DIARY), UnreadableMedia),
    "text": (lambda folder: written(folder / "notes.txt", DIARY), UnreadableMedia),
    "no index": (lambda folder: short(folder / "short.mp4"), UnreadableMedia),
    "sound only": (lambda folder: sound(folder / "sound.m4a"), NoVideoTrack),
    "still image": (lambda folder: still(folder / "still.png"), StillImage),
    "unknown codec": (lambda folder: of_unknown_codec(folder / "odd.mp4"), UnsupportedCodec),
    "no regular file": (lambda folder: "/dev/null", UnreadableMedia),
    "scheme": (lambda folder: f"concat:{folder}/a.ts|{folder}/b.ts", SchemeNotAllowed),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_not_video_fails_with_its_own_error(tmp_path: Path, name: str) -> None:
    make, error = UNUSABLE[name]

    found = capture(make(tmp_path), tmp_path / "store")

    assert found.status.state is StreamState.FAILED
    assert type(found.status.error) is error
    assert found.status.detail == str(found.status.error)
    assert found.messages == []


def test_a_recording_cut_short_gives_what_there_is(tmp_path: Path) -> None:
    recipe = film(tmp_path / "whole.mp4", options={"movflags": "faststart"}, frames=150)
    cut_short(tmp_path / "whole.mp4", tmp_path / "short.mp4", at=0.6)

    found = capture(tmp_path / "short.mp4", tmp_path / "store")

    assert found.status.state is StreamState.ENDED
    assert found.status.warnings == ("the recording is cut short or damaged at its end",)
    (gap,) = found.gaps
    assert gap.reason is GapReason.CORRUPT
    assert gap.span.end_ns == 10_000_000_000
    numbers = [number for number, _ in found.frames()]
    assert 60 < len(numbers) < 120
    assert numbers[:60] == list(range(60))
    for number, media_ns in found.frames():
        assert 0 <= media_ns - recipe.times_ns[number] <= 1


@pytest.mark.parametrize("name", ["flipped.mp4", "flipped.ts", "flipped.mkv"])
def test_flipped_bytes_cost_no_more_than_their_surroundings(tmp_path: Path, name: str) -> None:
    whole = tmp_path / f"whole{Path(name).suffix}"
    film(whole, frames=150, options={"movflags": "faststart"} if name.endswith("mp4") else {})
    damaged(whole, tmp_path / name, at=0.5, length=400)

    found = capture(tmp_path / name, tmp_path / "store")

    assert found.status.state is StreamState.ENDED
    numbers = [number for number, _ in found.frames()]
    assert len(set(range(150)) - set(numbers)) <= 30
    assert found.status.last_media_ns == pytest.approx(10_000_000_000, abs=200_000_000)
