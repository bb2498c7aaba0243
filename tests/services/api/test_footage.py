"""What is played is what was filmed: pictures, clips, ranges of them, and HLS."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx2
import numpy as np
import pytest

from services.api.playlist import LEAD_S
from streaming.moov import media_offset_bytes
from tests.services.films import FPS
from tests.services.scripted_engine import level_of

CLIP_S = 10


@pytest.fixture(scope="module")
def clips(client: httpx2.Client) -> list[dict[str, Any]]:
    found = client.get("/v1/search", params={"q": "light"}).json()["clips"]
    return sorted(found, key=lambda clip: clip["span"]["start_ns"])


def levels_of(data: bytes) -> list[str]:
    """The light of each second of a video."""
    with av.open(io.BytesIO(data), "r") as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return [level_of(float(frame.mean())) for frame in frames[::FPS]]


def test_a_clip_tells_its_note_its_tokens_and_where_it_can_be_seen(
    client: httpx2.Client, clips: list[dict[str, Any]]
) -> None:
    clip = client.get(f"/v1/clips/{clips[1]['clip_id']}").json()

    assert clip["span"] == {"stream_id": "cam", "start_ns": 10 * 10**9, "end_ns": 20 * 10**9}
    assert clip["events"][0]["text"] == "a bright light shines"
    assert clip["tokens"]["tokens_KD"] == {"shape": [10, 1], "dtype": "float16"}
    assert clip["token_count"] == 10
    assert clip.items() >= clips[1].items()


def test_a_clip_that_is_not_remembered_is_not_there(client: httpx2.Client) -> None:
    for clip_id in ("cam:0-1:none", "nothing", "%00", "cam:5-1:x", "..%2f..%2frecord.sqlite"):
        for what in ("", "/video", "/thumbnail"):
            reply = client.get(f"/v1/clips/{clip_id}{what}")
            assert reply.status_code == 404, clip_id


def test_a_thumbnail_shows_the_middle_of_its_clip(
    client: httpx2.Client, clips: list[dict[str, Any]]
) -> None:
    shown = [client.get(clip["thumbnail"]) for clip in clips]

    assert {picture.headers["content-type"] for picture in shown} == {"image/jpeg"}
    # At 5, 15, 25, 35 seconds, and 42.5: the last clip is cut short by the end of the film.
    assert [levels_of(picture.content) for picture in shown] == [
        ["dark"], ["dark"], ["dark"], ["bright"], ["dark"],
    ]  # fmt: skip


def test_the_video_of_a_clip_plays(client: httpx2.Client, clips: list[dict[str, Any]]) -> None:
    reply = client.get(clips[1]["video"])

    assert reply.headers["content-type"] == "video/mp4"
    assert levels_of(reply.content) == ["dark"] * 2 + ["bright"] * 3 + ["dark"] * 4 + ["dim"]


def test_a_video_can_be_had_in_ranges(client: httpx2.Client, clips: list[dict[str, Any]]) -> None:
    place = clips[1]["video"]
    whole = client.get(place)
    size = len(whole.content)
    tag = {"If-Range": whole.headers["etag"]}
    parts = [
        client.get(place, headers={"Range": f"bytes={start}-{start + 999}", **tag})
        for start in range(0, size, 1000)
    ]

    assert whole.headers["accept-ranges"] == "bytes"
    assert {part.status_code for part in parts} == {206}
    assert parts[0].headers["content-range"] == f"bytes 0-999/{size}"
    assert b"".join(part.content for part in parts) == whole.content


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=5-2", "lines=1-2"])
def test_a_range_that_is_none_is_a_problem(
    client: httpx2.Client, clips: list[dict[str, Any]], asked: str
) -> None:
    reply = client.get(clips[0]["video"], headers={"Range": asked})

    assert reply.status_code in (400, 416)
    assert reply.json()["status"] == reply.status_code


def test_any_span_of_a_stream_plays(client: httpx2.Client) -> None:
    reply = client.get("/v1/streams/cam/video", params={"from": "0:11", "to": "0:13"})

    assert levels_of(reply.content)[-2:] == ["dark", "bright"]


def test_a_playlist_plays_every_picture_once_at_its_time(client: httpx2.Client) -> None:
    with av.open(f"{str(client.base_url).rstrip('/')}/v1/streams/cam/playlist.m3u8") as hls:
        frames = list(hls.decode(video=0))
    times_s = [(frame.pts or 0) * (frame.time_base or 0) - LEAD_S for frame in frames]
    lights = [level_of(float(frame.to_ndarray(format="gray").mean())) for frame in frames]

    assert times_s == [Fraction(number, FPS) for number in range(45 * FPS)]
    assert lights[12 * FPS - 1 : 15 * FPS + 1] == ["dark", *["bright"] * 3 * FPS, "dark"]


def test_a_playlist_says_when_each_of_its_files_was_filmed_and_what_to_read_of_it(
    client: httpx2.Client,
) -> None:
    asked = {"from": "0:12", "to": "0:20"}
    reply = client.get("/v1/streams/cam/playlist.m3u8", params=asked)
    lines = reply.text.splitlines()
    files = [line for line in lines if line and not line.startswith("#")]
    lengths_s = [float(line[8:-1]) for line in lines if line.startswith("#EXTINF:")]

    assert reply.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert 8 <= sum(lengths_s) <= 20
    assert "#EXT-X-DISCONTINUITY" not in lines
    for file, said in zip(files, (one for one in lines if "MAP" in one), strict=True):
        got = client.get(f"/v1/streams/cam/{file}")
        assert f'BYTERANGE="{media_offset_bytes(got.content)}@0"' in said
    assert Fraction(files[0].split("/")[1].split("-")[0]) <= 12 * 10**9


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/v1/streams/nowhere/playlist.m3u8", "NoSuchStream"),
        ("/v1/streams/cam/playlist.m3u8?from=0:30&to=0:20", "ReversedRange"),
        ("/v1/streams/cam/playlist.m3u8?from=never", "BadTime"),
        ("/v1/streams/cam/segments/0-1.mp4", "NothingStored"),
        ("/v1/streams/cam/segments/..%2Frecord.sqlite", None),
        ("/v1/streams/cam/segments/9999999999999999999999-1.mp4", "NothingStored"),
    ],
)
def test_what_is_not_there_or_no_span_is_a_problem(
    client: httpx2.Client, place: str, kind: str | None
) -> None:
    reply = client.get(place)

    assert reply.status_code in (404, 422)
    assert reply.json().get("kind") == kind
    assert "/" not in reply.json()["detail"] or kind == "NoSuchStream"


def test_media_begins_where_the_first_fragment_does(tmp_path: Path) -> None:
    assert media_offset_bytes(b"") is None
    assert media_offset_bytes(np.zeros(100, dtype=np.uint8).tobytes()) is None
    assert media_offset_bytes(b"\0\0\0\x08ftyp\0\0\0\x08moof") == 8
