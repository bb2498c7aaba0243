"""Train a checkpoint further: which parts learn in which stage, and what each step is shown.

    align      the projector alone: how tokens of a tower read to a decoder
    pretrain   projector and decoder
    instruct   the decoder and the heads of retrieval; tokens that are stored stay readable

Batches are drawn by step, so that a run goes on where it was. Each is of one task, so that little
is padded; mixed ones hold images beside clips of one task. Knows nothing of where lessons come
from.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from models.lora import adapt
from models.processor import Frames
from models.stages import Shown, StageName
from models.train import ClipFeatures, Sample, Stage
from models.video_llm import LongwatchForConditionalGeneration

LAYERS = "language_model.model.layers"
HEADS = ("visual_head", "text_head", "retrieval_scale")
LR_OF_WIDTH = 0.04
"""Peak learning rate times the decoder's width: 1.5e-4 at 256, 1e-5 at 4096."""
LORA_LR, HEADS_LR = 5.0, 3.0  # how much faster adapters and heads learn than a decoder
OWN_SHARE = 0.5
"""How much of what is drawn was said by people, where people said something."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a checkpoint is trained further. `lr` is the decoder's; None: as its width asks for."""

    stage: StageName
    num_steps: int
    batch_size: int
    seed: int
    lora: bool = False
    lr: float | None = None
    save_memory: bool = False


@dataclass(frozen=True, slots=True)
class Lesson:
    """An example that is loaded when it is drawn. `own`: people said what is true of it."""

    task: str
    own: bool
    shown: Shown
    load: Callable[[], Sample]


def stage_of(model: LongwatchForConditionalGeneration, tuning: Tuning) -> Stage:
    """The stage of a tuning; with LoRA, adapters are put on the decoder."""
    lr = tuning.lr or LR_OF_WIDTH / int(model.config.text_config.hidden_size)
    rates: dict[str, float] = {}
    if tuning.stage is not StageName.INSTRUCT:
        rates["projector"] = HEADS_LR * lr
    if tuning.stage is not StageName.ALIGN:
        rates |= dict.fromkeys(HEADS, HEADS_LR * lr)
        if tuning.lora:
            names = adapt(model.language_model.model.layers, seed=tuning.seed)
            rates |= {f"{LAYERS}.{name}": LORA_LR * lr for name in names}
        else:
            rates["language_model"] = lr
    warmup_steps = min(100, tuning.num_steps // 10)
    return Stage(
        tuning.stage,
        rates,
        tuning.num_steps,
        warmup_steps,
        seed=tuning.seed,
        save_memory=tuning.save_memory,
    )


@dataclass(frozen=True, slots=True)
class Drawing:
    """How batches are drawn. `part`: which one is loaded of each, of how many parts.

    `at_once`: how many lessons are loaded at a time.
    """

    batch_size: int
    seed: int
    first_step: int
    part: tuple[int, int] = (0, 1)
    at_once: int = 1

    def loaded(self, drawn: Sequence[Lesson]) -> list[Sample]:
        number, count = self.part
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(lambda lesson: lesson.load(), drawn[number::count]))


def batches(lessons: Sequence[Lesson], how: Drawing) -> Iterator[list[Sample]]:
    """Batches of one task each, as often as there are lessons of it; the n-th is ever the same."""
    pool = Pool(lessons, key=lambda lesson: lesson.task)
    for step in count(how.first_step):
        yield how.loaded(pool.draw(np.random.default_rng((how.seed, step)), how.batch_size))


def mixed_batches(lessons: Sequence[Lesson], how: Drawing) -> Iterator[list[Sample]]:
    """Batches of which half are images, and the others clips of one task; or of text alone.

    Batches of text come as often as there are lessons of it beside those of clips. Where there are
    no images or no clips, it is `batches`.

    Raises:
        ValueError: a batch of one holds no two kinds.
    """
    if not {"image", "video"} <= {lesson.shown for lesson in lessons}:
        yield from batches(lessons, how)
        return
    if how.batch_size < 2:
        raise ValueError(f"a batch of {how.batch_size} holds no two kinds")
    images = Pool([one for one in lessons if one.shown == "image"], key=lambda lesson: "")
    others = Pool(
        [one for one in lessons if one.shown != "image"],
        key=lambda lesson: f"{lesson.shown} {lesson.task}",
    )
    for step in count(how.first_step):
        rng = np.random.default_rng((how.seed, step))
        drawn = others.draw(rng, how.batch_size)
        if drawn[0].shown == "video":
            drawn[: how.batch_size // 2] = images.draw(rng, how.batch_size // 2)
        yield how.loaded(drawn)


class Pool:
    """Lessons by what they have in common, drawn as often as there are of them."""

    def __init__(self, lessons: Sequence[Lesson], *, key: Callable[[Lesson], str]) -> None:
        self._alike: dict[str, list[Lesson]] = {}
        for lesson in lessons:
            self._alike.setdefault(key(lesson), []).append(lesson)
        self._keys = sorted(self._alike)
        self._shares = {key: _shares(self._alike[key]) for key in self._keys}
        self._weights = np.array([len(self._alike[key]) for key in self._keys], np.float64)

    def draw(self, rng: np.random.Generator, count: int) -> list[Lesson]:
        """Lessons of one key."""
        key = self._keys[rng.choice(len(self._keys), p=self._weights / self._weights.sum())]
        alike = self._alike[key]
        return [alike[number] for number in rng.choice(len(alike), count, p=self._shares[key])]


def _shares(lessons: Sequence[Lesson]) -> np.ndarray:
    own = np.array([lesson.own for lesson in lessons])
    if own.all() or not own.any():
        return np.full(len(lessons), 1 / len(lessons))
    return np.where(own, OWN_SHARE / own.sum(), (1 - OWN_SHARE) / (~own).sum())


def led_into(
    clip: ClipFeatures, before: ClipFeatures, *, ends_s: float, lead_in_s: float
) -> ClipFeatures:
    """The last of the clip before, at negative times, and then the clip."""
    times_s_T = before.frames.times_s_T
    first = int(np.searchsorted(times_s_T, ends_s - lead_in_s))
    kept_K = before.frames.frame_K >= first
    earlier_s_T = times_s_T[first:] - np.float32(ends_s)
    return ClipFeatures(
        np.concatenate([before.features_KC[kept_K], clip.features_KC]),
        np.concatenate([before.slot_K[kept_K], clip.slot_K]),
        np.concatenate([before.place_K2[kept_K], clip.place_K2]),
        Frames(
            np.concatenate(
                [before.frames.frame_K[kept_K] - first, clip.frames.frame_K + len(earlier_s_T)]
            ),
            np.concatenate([earlier_s_T, clip.frames.times_s_T]),
        ),
    )


def read_metrics(path: Path, *, until_step: int) -> list[dict[str, float]]:
    """What was reported up to a step; what came after it is deleted, for it comes again."""
    if not path.is_file():
        return []
    whole, _, _ = path.read_text().rpartition("\n")  # a kill may have cut the last line
    reported = [json.loads(line) for line in whole.splitlines()]
    kept = [values for values in reported if values["step"] <= until_step]
    path.write_text("".join(f"{json.dumps(values)}\n" for values in kept))
    return kept


def loss_plot(metrics: Sequence[Mapping[str, float]]) -> str:
    """The curves of all losses as a picture (SVG)."""
    names = sorted({name for values in metrics for name in values if name not in ("step", "share")})
    most = max((values[name] for values in metrics for name in values if name in names), default=1)
    last = max((values["step"] for values in metrics), default=1)
    lines: list[str] = []
    for number, name in enumerate(names):
        hue = 360 * number // max(1, len(names))
        points = " ".join(
            f"{40 + 540 * values['step'] / last:.1f},{270 - 240 * values[name] / (most or 1):.1f}"
            for values in metrics
            if name in values
        )
        stroke = f'fill="none" stroke="hsl({hue} 70% 40%)" stroke-width="1.5"'
        lines.append(f'<polyline {stroke} points="{points}"/>')
        lines.append(
            f'<text x="600" y="{30 + 16 * number}" fill="hsl({hue} 70% 40%)">{name}</text>'
        )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 300" font-size="12">\n'
        '<rect width="720" height="300" fill="#fff"/>\n'
        '<path d="M40 30V270H580" fill="none" stroke="black"/>\n'
        f'<text x="4" y="34">{most:.2f}</text><text x="24" y="274">0</text>'
        f'<text x="560" y="288">step {last:g}</text>\n' + "\n".join(lines) + "\n</svg>\n"
    )
