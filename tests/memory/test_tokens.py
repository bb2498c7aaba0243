"""Tokens come back as they were put, or not at all."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from memory.errors import (
    DamagedTokens,
    DiskFull,
    ForeignTokens,
    StoreReadOnly,
    StoreUnavailable,
    TokensMissing,
)
from memory.tokens import StoredTokens, TokenStore
from memory.values import DAY_NS, Removed
from streaming.messages import NS_PER_S, clip_id_of
from tests.memory.notes import span

LAYOUT, ENCODER = "slowfast/10s", "tower@3fa9"


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TokenStore]:
    yield TokenStore(str(tmp_path / "tokens") if request.param == "local" else "memory://tokens")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def local(tmp_path: Path) -> TokenStore:
    return TokenStore(str(tmp_path / "tokens"))


def tokens(number: int = 0, *, stream: str = "pond", layout: str = LAYOUT) -> StoredTokens:
    random = np.random.default_rng(number)
    return StoredTokens(
        clip_id=clip_id_of(span(number * 10, number * 10 + 10, stream=stream), layout),
        layout_id=layout,
        encoder_id=ENCODER,
        arrays={
            "tokens": random.standard_normal((34, 16)).astype(np.float16),
            "frame": np.arange(34, dtype=np.int16),
            "times_s": np.linspace(0, 9, 6, dtype=np.float32),
        },
    )


def get(store: TokenStore, wanted: StoredTokens) -> StoredTokens:
    return store.get(wanted.clip_id, layout_id=LAYOUT, encoder_id=ENCODER)


def test_tokens_come_back_as_they_were_put(store: TokenStore) -> None:
    size_bytes = store.put(put := tokens())
    held = get(store, put)

    assert (held.clip_id, held.layout_id, held.encoder_id) == (put.clip_id, LAYOUT, ENCODER)
    assert held.arrays.keys() == put.arrays.keys()
    for name, array in put.arrays.items():
        assert held.arrays[name].dtype == array.dtype
        assert np.array_equal(held.arrays[name], array)
    assert store.has(put.clip_id)
    assert store.usage_bytes() == size_bytes < 34 * 16 * 2 + 34 * 2 + 6 * 4 + 500


def test_the_same_clip_again_replaces(store: TokenStore) -> None:
    store.put(tokens())
    store.put(tokens())
    store.put(StoredTokens(tokens().clip_id, LAYOUT, ENCODER, {"other": np.ones(3)}))

    assert get(store, tokens()).arrays.keys() == {"other"}


def test_the_same_tokens_give_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "other"):
        TokenStore(f"file://{tmp_path / name}").put(tokens())
        (path,) = (tmp_path / name).rglob("*.tokens")
        contents.append((path.relative_to(tmp_path / name), path.read_bytes()))

    assert contents[0] == contents[1]


def test_tokens_that_were_never_put_are_missing(store: TokenStore) -> None:
    with pytest.raises(TokensMissing, match="pond:0-10"):
        get(store, tokens())
    assert not store.has(tokens().clip_id)


def test_tokens_of_another_layout_or_encoder_are_refused(store: TokenStore) -> None:
    store.put(put := tokens())

    with pytest.raises(ForeignTokens, match="have layout 'slowfast/10s', not 'other'"):
        store.get(put.clip_id, layout_id="other", encoder_id=ENCODER)
    with pytest.raises(ForeignTokens, match="have encoder 'tower@3fa9', not 'other'"):
        store.get(put.clip_id, layout_id=LAYOUT, encoder_id="other")


@pytest.mark.parametrize(
    "clip_id", ["", "pond", "pond:0:x", "pond:9-3:x", "../up:0-1:x", "a:b-c:d"]
)
def test_an_id_that_is_none_is_refused(store: TokenStore, clip_id: str) -> None:
    with pytest.raises(ValueError, match="not a clip id"):
        store.get(clip_id, layout_id=LAYOUT, encoder_id=ENCODER)


def test_a_layout_id_cannot_lead_out_of_the_store(local: TokenStore, tmp_path: Path) -> None:
    local.put(tokens(layout="../../../x"))

    (path,) = tmp_path.rglob("*.tokens")
    assert path.parent == tmp_path / "tokens" / "pond" / "000000"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def swap(path: Path) -> None:
    other = TokenStore(str(path.parent / "elsewhere"))
    other.put(tokens(7))
    (foreign,) = (path.parent / "elsewhere").rglob("*.tokens")
    path.write_bytes(foreign.read_bytes())


@pytest.mark.parametrize("damage", [flip, cut, cut_short, empty, swap])
def test_damaged_tokens_are_named(
    local: TokenStore, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    local.put(tokens())
    (path,) = tmp_path.rglob("*.tokens")
    damage(path)

    with pytest.raises(DamagedTokens, match=str(path)):
        get(local, tokens())
    local.put(tokens())
    get(local, tokens())


def test_deleting_a_span_takes_every_clip_that_overlaps(store: TokenStore) -> None:
    for number in range(5):
        store.put(tokens(number))
    one = store.put(tokens(1, stream="hill"))
    store.put(tokens(1, layout="other"))

    removed = store.delete_span(span(15, 31))

    assert removed.files == 4
    assert removed.size_bytes == pytest.approx(4 * one, abs=200)
    assert [store.has(tokens(number).clip_id) for number in range(5)] == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert store.has(tokens(1, stream="hill").clip_id)
    assert store.usage_bytes("hill") == one
    assert store.delete_span(span(15, 31)) == Removed(0, 0)
    assert store.delete_span(span(0, 9, stream="sea")) == Removed(0, 0)


def test_a_stream_whose_name_begins_like_another_is_left_alone(store: TokenStore) -> None:
    store.put(tokens(stream="pond"))
    store.put(tokens(stream="pond-2"))
    store.delete_span(span(0, 99, stream="pond"))

    assert store.has(tokens(stream="pond-2").clip_id)
    assert store.usage_bytes("pond") == 0


def test_days_have_folders_that_go_when_they_are_empty(local: TokenStore, tmp_path: Path) -> None:
    late = DAY_NS // NS_PER_S // 10
    local.put(tokens(0))
    local.put(tokens(late))
    folders = tmp_path / "tokens" / "pond"

    assert sorted(folder.name for folder in folders.iterdir()) == ["000000", "000001"]
    local.delete_span(span(0, 10))
    assert [folder.name for folder in folders.iterdir()] == ["000001"]
    local.delete(tokens(late).clip_id)
    assert not folders.exists()


def test_one_clip_can_be_deleted(store: TokenStore) -> None:
    size_bytes = store.put(tokens(0))
    store.put(tokens(1))

    assert store.delete(tokens(0).clip_id) == Removed(1, size_bytes)
    assert store.delete(tokens(0).clip_id) == Removed(0, 0)
    assert store.has(tokens(1).clip_id)


def test_what_a_crash_left_half_written_is_never_read_and_goes_too(
    local: TokenStore, tmp_path: Path
) -> None:
    local.put(tokens())
    (path,) = tmp_path.rglob("*.tokens")
    path.rename(half := path.with_name(path.name + ".unfinished"))

    with pytest.raises(TokensMissing):
        get(local, tokens())
    assert local.delete_span(span(0, 10)).files == 1
    assert not half.exists()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EROFS, StoreReadOnly),
        (errno.EACCES, StoreReadOnly),
        (errno.EIO, StoreUnavailable),
    ],
)
def test_a_disk_that_refuses_leaves_what_was_there(
    local: TokenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    expected: type[Exception],
) -> None:
    local.put(tokens())

    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(expected):
        local.put(StoredTokens(tokens().clip_id, LAYOUT, ENCODER, {}))
    monkeypatch.undo()

    assert len(get(local, tokens()).arrays) == 3
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".tokens"]


def test_a_store_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=r"exists|Not a directory"):
        TokenStore(str(tmp_path / "file" / "tokens")).put(tokens())
