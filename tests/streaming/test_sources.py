"""Which sources may be opened, and that no message gives a password away."""

from pathlib import Path

import pytest

from streaming.errors import (
    BadSourceUrl,
    SchemeNotAllowed,
    SourceError,
    SourceNotPermitted,
    SourceOutsideRoots,
    UnreadableMedia,
)
from streaming.sources import SourceOptions, check_source, open_source, parse_source, redact
from tests.streaming.media import film


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam.local/1", "rtsp://cam.local/1"),
        ("rtsp://admin:secret@cam.local:554/1", "rtsp://***@cam.local:554/1"),
        ("rtsp://admin:se@cret@cam.local/1", "rtsp://***@cam.local/1"),
        ("rtsp://admin:se/cret@cam.local/1", "rtsp://***@cam.local/1"),
        ("rtsp://admin:se?cret@cam.local/1", "rtsp://***@cam.local/1"),
        ("rtsp://admin:se#cret@cam.local/1", "rtsp://***@cam.local/1"),
        ("rtsp://secret@cam.local/1", "rtsp://***@cam.local/1"),
        ("rtsp://admin:secret@[fe80::1]:554/1", "rtsp://***@[fe80::1]:554/1"),
        ("rtsp://[fe80::1]:554/1", "rtsp://[fe80::1]:554/1"),
        ("http://cam.local/v?user=me&password=secret", "http://cam.local/v?user=***&password=***"),
        ("http://cam.local/v?x=1&api_key=secret#end", "http://cam.local/v?x=1&api_key=***#end"),
        ("http://cam.local/@home", "http://cam.local/@home"),
        ("film.mp4", "film.mp4"),
    ],
)
def test_credentials_are_redacted(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://admin:hunter2@127.0.0.1:9/x",
        "http://admin:hunter2@127.0.0.1:9/x.m3u8?token=hunter2",
        "rtmp://127.0.0.1:9/app?key=hunter2",
        "ftp://admin:hunter2@host/x",
        "rtsp://admin:hunter2@/x",
        "rtsp://admin:hunter2@[::1/x",
    ],
)
def test_no_error_shows_a_password(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(url)

    assert "hunter2" not in f"{caught.value} {caught.value.url} {caught.value!r}"


@pytest.mark.parametrize(
    "url",
    ["ftp://host/x", "concat:a|b", "subfile,,start,0,end,0,,:/etc/passwd", "pipe:0", "data:,x"],
)
def test_other_schemes_are_refused_by_name(url: str) -> None:
    if url.startswith("subfile,"):  # a comma ends a scheme: this is a strange file name to us
        assert parse_source(url).target.startswith("file:")
        return
    with pytest.raises(SchemeNotAllowed, match="rtsp"):
        parse_source(url)


@pytest.mark.parametrize("url", ["", "   ", "rtsp://", "http:///x", "film\n.mp4", "file://other/x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadSourceUrl):
        parse_source(url)


def test_a_strange_name_is_a_name_of_a_file() -> None:
    url = "subfile,,start,0,end,0,,:/etc/passwd"  # a protocol with options, were FFmpeg to see it

    assert parse_source(url).target.startswith("file:/")


def test_the_scheme_may_be_shouted() -> None:
    assert parse_source("RTSP://cam/1").scheme == "rtsp"


def test_a_camera_device_is_opened_as_one() -> None:
    assert parse_source("/dev/video0").scheme == "v4l2"
    assert parse_source("v4l2:///dev/video3").target == "/dev/video3"


def test_a_file_that_may_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film(tmp_path / "a.mp4", frames=5)

    def refuse(self: Path, mode: str = "r") -> None:  # root may read everything, so pretend
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceNotPermitted):
        check_source(str(tmp_path / "a.mp4"))


def test_a_playlist_cannot_reach_beyond_files(tmp_path: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")

    with pytest.raises(UnreadableMedia):
        open_source(str(playlist))


@pytest.fixture
def roots(tmp_path: Path) -> SourceOptions:
    """One directory in which files may be opened, beside others, with films and links in them."""
    for name in ("films", "films-of-others"):
        (tmp_path / name / "day").mkdir(parents=True)
        film(tmp_path / name / "day" / "film.mp4", frames=15)
    inside, outside = tmp_path / "films", tmp_path / "films-of-others"
    (inside / "link.mp4").symlink_to(outside / "day" / "film.mp4")
    (inside / "folder").symlink_to(outside / "day")
    (inside / "own.mp4").symlink_to(inside / "day" / "film.mp4")
    (outside / "way-in").symlink_to(inside)
    return SourceOptions(file_roots=(inside,))


@pytest.mark.parametrize(
    "name", ["films/day/film.mp4", "films/own.mp4", "films-of-others/way-in/day/film.mp4"]
)
def test_a_file_below_a_root_is_opened(tmp_path: Path, roots: SourceOptions, name: str) -> None:
    with open_source(str(tmp_path / name), roots) as source:
        assert source.video.width


@pytest.mark.parametrize(
    "name",
    [
        "films-of-others/day/film.mp4",
        "films/../films-of-others/day/film.mp4",
        "films/link.mp4",
        "films/folder/film.mp4",
        "films-of-others/day/none.mp4",
    ],
)
def test_a_file_elsewhere_is_refused_whether_it_is_there_or_not(
    tmp_path: Path, roots: SourceOptions, name: str
) -> None:
    for url in (str(tmp_path / name), f"file://{tmp_path / name}"):
        with pytest.raises(SourceOutsideRoots) as raised:
            open_source(url, roots)
        assert raised.value.roots == (tmp_path / "films",)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n../away.ts\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile link.ts\n"),
    ],
)
def test_a_playlist_below_a_root_cannot_name_what_lies_elsewhere(
    tmp_path: Path, roots: SourceOptions, name: str, says: str
) -> None:
    film(tmp_path / "away.ts", frames=30)
    (tmp_path / "films" / "link.ts").symlink_to(tmp_path / "away.ts")
    playlist = tmp_path / "films" / name
    playlist.write_text(says)
    with open_source(str(playlist)):
        pass

    with pytest.raises(UnreadableMedia, match="names other files"):
        open_source(str(playlist), roots)
