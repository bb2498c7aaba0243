"""What SGLang brings: our model in a server beside the same model in process, on one machine.

The same questions about the same stored clips of nano's world are answered, to the same words, by

    sglang                `longwatch serve-model`, asked as the services ask it, by reference
    sglang, sent frames   the same server, sent the frames of the clip as PNG instead
    engine                the engine in process, which answers one question at a time
    generate              transformers' own `generate`, on batches of as many as there are clients

for 1, 8 and 32 clients, each of which asks its next question when it has its answer. Each question
is about a clip of its own, and the server's cache is flushed before each turn. Then the server
alone answers what a conversation asks, about as many clips as an answer reads: each time others,
and all about the same ones, which it has read before. What the API adds to an answer is measured
with `longwatch up` on a memory of the same world.

    python -m benchmarks.serving [--turns 3]

It takes an installed SGLang, about ten minutes, and a machine that has nothing else to do.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.decode import spread
from benchmarks.ingest import percentiles
from benchmarks.running import until
from benchmarks.serving_api import api_overhead
from benchmarks.serving_rivals import Asked, Generating, Rival, SendingFrames, Streaming, Told
from benchmarks.watching import load_average, machine, room_there_was, write_result
from memory.tokens import TokenStore
from models.engine import ClipTokens, Engine
from models.model_servers import ModelServers
from models.nano.clips import sampled_pictures
from models.nano.world import write_script
from models.replies import MAX_ANSWER_CLIPS
from models.sglang_engine import SGLangEngine
from models.transformers_engine import TransformersEngine
from services.describing import clip_tokens
from services.settings import SHIPPED_MODEL
from tests.services.on_sglang.model_server import ModelServer
from tests.services.on_sglang.pictures import png

SEED, CLIP_S, FPS, PACE = 4711, 10, 1, 5.0
QUESTIONS = 32
FLUSH_S = 10.0
FILM_S = 60  # that the API is asked about
CLIENTS = (1, 8, 32)
THREADS = 1  # of the model, in the server as in process: what the services give it on two cores
SERVER, SENT, ENGINE, GENERATE = "sglang", "sglang, sent frames", "engine", "generate"
NEW, READ = "new clips", "clips read before"


def with_frames(questions: Sequence[Asked], pictures: NDArray[np.uint8]) -> list[Asked]:
    """The same questions, the n-th about the n-th clip, with its frames."""
    length = CLIP_S * FPS
    return [
        replace(
            asked,
            frames=tuple(png(one) for one in pictures[number * length : (number + 1) * length]),
        )
        for number, asked in enumerate(questions)
    ]


def questions_about(
    sets: Sequence[tuple[ClipTokens, ...]], engine: Engine, number: int
) -> list[Asked]:
    """So many questions, about sets of clips in turn, of what the model notes in the first clip."""
    asked: list[Asked] = []
    notes = [engine.describe(clips[0], previous=[]) for clips in sets]
    for at in range(number):
        events = notes[at % len(sets)].events
        event = events[at // len(sets) % len(events)].text if events else "a person enters"
        text = f"When did this happen, as number {at + 1} of {number}: {event}?"
        asked.append(Asked(text, ("result: 1", f"[1] {event}"), sets[at % len(sets)]))
    return asked


def neighbours(clips: Sequence[ClipTokens]) -> list[tuple[ClipTokens, ...]]:
    """Each clip with those after it, in a circle, as many as an answer reads: none begins alike."""
    ring = [*clips, *clips]
    return [tuple(ring[at : at + MAX_ANSWER_CLIPS]) for at in range(len(clips))]


def stored_clips(
    server: ModelServer, engine: TransformersEngine, pictures: NDArray[np.uint8]
) -> list[ClipTokens]:
    """Clips of these pictures, as they are read from the store that the server reads."""
    length = CLIP_S * FPS
    return [
        remembered(server, engine, number, pictures[first : first + length])
        for number, first in enumerate(range(0, len(pictures), length))
    ]


def remembered(
    server: ModelServer,
    engine: TransformersEngine,
    number: int,
    pictures: NDArray[np.uint8],
) -> ClipTokens:
    times_s = [at / FPS for at in range(len(pictures))]
    clip_id = server.remember(number, engine.encode(pictures, times_s).tokens)
    store: TokenStore = server.store
    stored = store.get(clip_id, layout_id=engine.layout_id, encoder_id=engine.encoder_id)
    return clip_tokens(stored)


@contextmanager
def started(folder: Path) -> Generator[ModelServer]:
    server = ModelServer(folder)
    try:
        server.until_ready()
        yield server
    finally:
        server.stop()


def flush(server: ModelServer) -> None:
    """Have the server forget what it has read, which it refuses while it ends an answer."""
    until(lambda: server.client.post("/flush_cache").is_success, within_s=FLUSH_S)


def compare(
    rivals: Mapping[str, Rival],
    questions: Sequence[Asked],
    *,
    clients: int,
    turns: int,
    before_turn: Callable[[], None],
) -> dict[str, Any]:
    """Let each rival answer all questions `turns` times, after once to warm up."""
    walls_s: dict[str, list[float]] = {name: [] for name in rivals}
    told: dict[str, list[Told]] = {name: [] for name in rivals}
    for number in range(turns + 1):
        for name, rival in rivals.items():
            before_turn()
            begun_s = time.perf_counter()
            answers = rival.answers(questions, clients=clients)
            if number:
                walls_s[name].append(time.perf_counter() - begun_s)
                told[name] += answers
    first = next(iter(rivals))
    return {
        "clients": clients,
        "rivals": {
            name: {
                "questions_a_second": spread([len(questions) / wall_s for wall_s in walls_s[name]]),
                "first_token_s": percentiles([one.first_s for one in told[name]]),
                "whole_answer_s": percentiles([one.whole_s for one in told[name]]),
                "same_words_as_the_first": _same(told[first], told[name]),
                "tokens": _tokens(told[name]),
            }
            for name in rivals
        },
        "times_as_fast_as": {
            name: spread(
                [theirs / ours for ours, theirs in zip(walls_s[first], walls_s[name], strict=True)]
            )
            for name in rivals
            if name != first
        },
    }


def _same(ours: Sequence[Told], theirs: Sequence[Told]) -> float:
    same = [one.text == other.text for one, other in zip(ours, theirs, strict=True)]
    return round(sum(same) / len(same), 3)


def _tokens(told: Sequence[Told]) -> dict[str, float]:
    """Of an answer, in the middle."""
    return {
        "read": median(one.usage.prompt_tokens for one in told),
        "of_these_read_before": median(one.usage.cached_tokens for one in told),
        "written": median(one.usage.completion_tokens for one in told),
    }


def measure(folder: Path, *, clients: Sequence[int], questions: int, turns: int) -> dict[str, Any]:
    engine = TransformersEngine.load(SHIPPED_MODEL, num_threads=THREADS)
    with started(folder) as server, closing(ModelServers([server.url])) as servers:
        script = write_script(SEED, duration_s=questions * CLIP_S, pace=PACE)
        pictures = sampled_pictures(script, fps=FPS, size_px=engine.layout.image_size_px)
        clips = stored_clips(server, engine, pictures)
        apart = with_frames(
            questions_about([(clip,) for clip in clips], engine, questions), pictures
        )
        sets = neighbours(clips)
        strangers = questions_about(sets, engine, questions)
        reading, *follow_ups = questions_about(sets[:1], engine, questions + 1)
        sglang = Streaming(SGLangEngine(servers, engine))
        rivals: dict[str, Rival] = {
            SERVER: sglang,
            SENT: SendingFrames(servers, engine),
            ENGINE: Streaming(engine),
            GENERATE: Generating(engine),
        }
        rows = [
            compare(rivals, apart, clients=number, turns=turns, before_turn=lambda: flush(server))
            for number in clients
        ]

        def read_the_clips() -> None:
            flush(server)
            sglang.answers([reading], clients=1)

        for row in rows:
            row["conversation"] = {
                name: compare(
                    {SERVER: sglang},
                    asked,
                    clients=row["clients"],
                    turns=turns,
                    before_turn=before,
                )["rivals"][SERVER]
                for name, asked, before in (
                    (NEW, strangers, lambda: flush(server)),
                    (READ, follow_ups, read_the_clips),
                )
            }
    return {"model_id": engine.model_id, "rows": rows}


def say(row: dict[str, Any]) -> None:
    print(f"{row['clients']} clients")
    talks = {f"conversation, {name}": figures for name, figures in row["conversation"].items()}
    for name, figures in (row["rivals"] | talks).items():
        rate, first_s = figures["questions_a_second"]["median"], figures["first_token_s"]
        print(
            f"  {name:27} {rate:6.2f} a second, first token {first_s['p50']:.3f} s, "
            f"p95 {first_s['p95']:.3f} s; {figures['tokens']}, "
            f"same words {figures['same_words_as_the_first']:.0%}"
        )
    for name, ratio in row["times_as_fast_as"].items():
        print(f"  {ratio['median']:.2f} times as fast as {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="try it out, and write nothing")
    args = parser.parse_args()
    turns, clients, questions = args.turns, CLIENTS, QUESTIONS
    if args.small:
        turns, clients, questions = 1, CLIENTS[:2], CLIENTS[1]
    load_before = load_average()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), clients=clients, questions=questions, turns=turns)
        for row in measured["rows"]:
            say(row)
        api = api_overhead(Path(folder) / "api", questions=questions, film_s=FILM_S)
        print(f"the API adds {api['added_ms']['median']:.1f} ms to an answer")
    if args.small:
        return
    result = {
        "what": f"{questions} questions about stored clips of ten seconds; longwatch-nano, float32 "
        f"on the CPU, with {THREADS} thread in the server as in process; greedy, the same words; "
        "clients are threads of this process, which share the cores with the server. Of "
        "`generate`, the first token of a batch, and its last, are those of each question in it",
        "command": f"python -m benchmarks.serving --turns {turns}",
        "device": "cpu",
        "machine": machine() | {"sglang": version("sglang")},
        **room_there_was(load_before),
        **measured,
        "api": api,
    }
    print(write_result("serving", result))


if __name__ == "__main__":
    main()
