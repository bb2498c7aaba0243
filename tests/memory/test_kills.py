"""A process killed while it writes leaves files that read back: the old ones or the new ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from memory.errors import TokensMissing
from memory.faiss_index import FaissIndex
from memory.tokens import TokenStore
from tests.memory.notes import LAYOUT, MODEL, WIDTH, note

TOKENS = """
import sys
import numpy as np
from memory.tokens import StoredTokens, TokenStore
from tests.memory.notes import LAYOUT, note

store = TokenStore(sys.argv[1])
while True:
    for number in range(5):
        arrays = {"tokens": np.full((200, 64), number, dtype=np.float16)}
        store.put(StoredTokens(note(number).clip_id, LAYOUT, "encoder-1", arrays))
    print("round", flush=True)
"""

INDEX = """
import sys
from pathlib import Path
from memory.faiss_index import FaissIndex
from memory.values import Mark
from tests.memory.notes import MODEL, WIDTH, note, unit_vectors

index = FaissIndex(width=WIDTH, embedder_id=MODEL)
vectors = unit_vectors(50, seed=0)
for revision in range(10**9):
    clip = note(revision % 50 * 1000)
    index.put(clip.clip_id, clip.span, vectors[revision % 50], vectors[revision % 50])
    index.mark = Mark("record", revision, 0)
    index.save(Path(sys.argv[1]))
    print(revision, flush=True)
"""


def kill_after(lines: int, script: str, directory: Path) -> str:
    """Run a script that never ends, kill it after so many lines, and return the last one."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(directory)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = [process.stdout.readline() for _ in range(lines)][-1]
    process.kill()
    process.communicate()
    return line


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_tokens_are_whole_after_a_kill(tmp_path: Path, lines: int) -> None:
    kill_after(lines, TOKENS, tmp_path / "tokens")
    store = TokenStore(str(tmp_path / "tokens"))

    for number in range(5):
        clip_id = note(number).clip_id
        held = store.get(clip_id, layout_id=LAYOUT, encoder_id="encoder-1")
        assert (held.arrays["tokens"] == number).all()
    with pytest.raises(TokensMissing):
        store.get(note(9).clip_id, layout_id=LAYOUT, encoder_id="encoder-1")


@pytest.mark.parametrize("lines", [1, 4, 20])
def test_a_saved_index_is_whole_after_a_kill(tmp_path: Path, lines: int) -> None:
    saved = int(kill_after(lines, INDEX, tmp_path / "index"))
    index = FaissIndex.load(tmp_path / "index", width=WIDTH, embedder_id=MODEL)

    assert index.mark is not None
    assert index.mark.revision >= saved
    assert len(index) == min(index.mark.revision + 1, 50)
