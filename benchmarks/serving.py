"""What SGLang brings: our model in a server beside the same model in process, on one machine.

The same questions about the same stored clips of nano's world are answered, to the same words, by

    sglang      `longwatch serve-model`, asked over HTTP as the services ask it, by reference
    engine      the engine in process, which answers one question at a time
    generate    transformers' own `generate`, on a batch of as many questions as there are clients

for 1, 8 and 32 clients, each of which asks its next question when it has its answer. Each question
is about a clip of its own, and the server's cache is flushed before each turn; then all questions
are about one clip that the server has read before. What the API adds to an answer is measured with
`longwatch up` on a memory of the same world.

    python -m benchmarks.serving [--turns 3]

It takes an installed SGLang, about five minutes, and a machine that has nothing else to do.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import StoppingCriteria, StoppingCriteriaList

from benchmarks.decode import spread
from benchmarks.ingest import percentiles
from benchmarks.serving_api import api_overhead
from benchmarks.watching import load_average, machine, room_there_was, write_result
from memory.tokens import TokenStore
from models.engine import ClipTokens, Engine
from models.model_servers import ModelServers
from models.nano.clips import sampled_pictures
from models.nano.world import write_script
from models.processor import Frames
from models.prompts import answer_prompt
from models.replies import MAX_ANSWER_TOKENS
from models.sglang_engine import SGLangEngine
from models.transformers_engine import TransformersEngine
from models.usage import Usage, counted
from services.describing import clip_tokens
from services.settings import SHIPPED_MODEL
from tests.services.on_sglang.model_server import ModelServer

SEED, CLIP_S, FPS, PACE = 4711, 10, 1, 5.0
QUESTIONS = 32
FILM_S = 60  # that the API is asked about
CLIENTS = (1, 8, 32)
THREADS = 1  # of the model, in the server as in process: what the services give it on two cores
SERVER, ENGINE, GENERATE = "sglang", "engine", "generate"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one clip."""

    text: str
    findings: tuple[str, ...]
    clip: ClipTokens


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, when its first word and its last came, and what the model says it took."""

    text: str
    first_s: float
    whole_s: float
    usage: Usage


class Rival(Protocol):
    def answers(self, questions: Sequence[Asked], *, clients: int) -> list[Told]: ...


class Streaming:
    """An engine, asked by several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def answers(self, questions: Sequence[Asked], *, clients: int) -> list[Told]:
        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(self._answer, questions))

    def _answer(self, asked: Asked) -> Told:
        begun_s, came_s, pieces = time.perf_counter(), list[float](), list[str]()
        with counted() as usage:
            for piece in self._engine.answer(
                asked.text, findings=asked.findings, clips=[asked.clip]
            ):
                came_s.append(time.perf_counter() - begun_s)
                pieces.append(piece)
        return Told("".join(pieces), came_s[0], time.perf_counter() - begun_s, usage)


class Generating:
    """`generate` of the decoder, on left-padded batches of as many questions as clients."""

    def __init__(self, engine: TransformersEngine) -> None:
        self._model, self._processor = engine.model, engine.processor

    def answers(self, questions: Sequence[Asked], *, clients: int) -> list[Told]:
        firsts = range(0, len(questions), clients)
        return [told for at in firsts for told in self._batch(questions[at : at + clients])]

    @torch.inference_mode()
    def _batch(self, questions: Sequence[Asked]) -> list[Told]:
        begun_s, first = time.perf_counter(), FirstToken()
        prompts = [self._ids(asked) for asked in questions]
        end_id, length = self._processor.end_token_id, max(map(len, prompts))
        ids = torch.tensor([[end_id] * (length - len(one)) + one for one in prompts])
        mask = torch.tensor([[0] * (length - len(one)) + [1] * len(one) for one in prompts])
        visual = torch.from_numpy(np.concatenate([asked.clip.tokens_KD for asked in questions]))
        generate: Callable[..., torch.Tensor] = self._model.language_model.generate  # type: ignore[assignment]
        written = generate(
            inputs_embeds=self._model.inputs_embeds(ids, visual.float()),
            attention_mask=mask,
            max_new_tokens=MAX_ANSWER_TOKENS,
            do_sample=False,
            eos_token_id=end_id,
            pad_token_id=end_id,
            stopping_criteria=StoppingCriteriaList([first]),
        ).tolist()
        whole_s = time.perf_counter() - begun_s
        return [
            Told(
                self._processor.text(row),
                first.at_s - begun_s,
                whole_s,
                Usage(len(prompt), 0, sum(token != end_id for token in row)),
            )
            for prompt, row in zip(prompts, written, strict=True)
        ]

    def _ids(self, asked: Asked) -> list[int]:
        prompt = answer_prompt(asked.text, findings=asked.findings, num_clips=1)
        return self._processor.prompt_ids(
            prompt, [Frames(asked.clip.frame_K, asked.clip.times_s_T)]
        )


class FirstToken(StoppingCriteria):
    """Notes when a batch has its first tokens; stops nothing."""

    at_s = 0.0

    def __call__(
        self, input_ids: torch.LongTensor, scores: object, **_: object
    ) -> torch.BoolTensor:
        self.at_s = self.at_s or time.perf_counter()
        return torch.BoolTensor([False] * len(input_ids))


def questions_about(clips: Sequence[ClipTokens], engine: Engine, number: int) -> list[Asked]:
    """So many questions, about the clips in turn, of what the model notes in them."""
    asked: list[Asked] = []
    notes = [engine.describe(clip, previous=[]) for clip in clips]
    for at in range(number):
        events = notes[at % len(clips)].events
        event = events[at // len(clips) % len(events)].text if events else "a person enters"
        text = f"When did this happen, as number {at + 1} of {number}: {event}?"
        asked.append(Asked(text, ("result: 1", f"[1] {event}"), clips[at % len(clips)]))
    return asked


def stored_clips(server: ModelServer, engine: TransformersEngine, number: int) -> list[ClipTokens]:
    """Clips of nano's world, as they are read from the store that the server reads."""
    script = write_script(SEED, duration_s=number * CLIP_S, pace=PACE)
    pictures = sampled_pictures(script, fps=FPS, size_px=engine.layout.image_size_px)
    return [
        remembered(server, engine, at, pictures[at * CLIP_S * FPS : (at + 1) * CLIP_S * FPS])
        for at in range(number)
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
    """Have the server forget what it has read."""
    server.client.post("/flush_cache").raise_for_status()


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
        clips = stored_clips(server, engine, questions)
        apart = questions_about(clips, engine, questions)
        reading, *together = questions_about(clips[:1], engine, questions + 1)
        sglang = Streaming(SGLangEngine(servers, engine))
        rivals: dict[str, Rival] = {
            SERVER: sglang,
            ENGINE: Streaming(engine),
            GENERATE: Generating(engine),
        }
        rows = [
            compare(rivals, apart, clients=number, turns=turns, before_turn=lambda: flush(server))
            for number in clients
        ]

        def read_the_clip() -> None:
            flush(server)
            sglang.answers([reading], clients=1)

        for row in rows:
            shared = compare(
                {SERVER: sglang},
                together,
                clients=row["clients"],
                turns=turns,
                before_turn=read_the_clip,
            )
            row["sglang_about_one_clip_that_it_has_read"] = shared["rivals"][SERVER]
    return {"model_id": engine.model_id, "rows": rows}


def say(row: dict[str, Any]) -> None:
    print(f"{row['clients']} clients")
    shared = {"sglang, one clip": row["sglang_about_one_clip_that_it_has_read"]}
    for name, figures in (row["rivals"] | shared).items():
        rate, first_s = figures["questions_a_second"]["median"], figures["first_token_s"]
        print(
            f"  {name:17} {rate:6.2f} a second, first token {first_s['p50']:.3f} s, "
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
