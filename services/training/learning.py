"""Train a checkpoint further on a data set, in a folder that a run goes on in after a kill.

    run.json        what is trained, on what, and how; a run goes on only if all of it is the same
    state.pt        where the run is; gone when it is done
    metrics.jsonl   losses by step, and loss.svg, their curves
    config.json     and weights, and tokenizer: the checkpoint, when it is done

What was known before is kept by replay: each step takes a batch of the set, and one of other sets,
of which the decoder is to say what it said before it learnt. What people said of a clip, and it
did not expect, is learnt by a margin then.
"""

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError

from memory.datasets import TRAIN, Example, read_examples
from models.finetune import (
    Drawing,
    Tuning,
    batches,
    loss_plot,
    mixed_batches,
    read_metrics,
    stage_of,
)
from models.kept import Kept
from models.lora import merge
from models.reply_loss import Target
from models.several_devices import SeveralDevices
from models.stages import Shown, StageName
from models.train import Task, replies, train
from models.transformers_engine import TransformersEngine
from models.video_llm import LongwatchForConditionalGeneration
from services.errors import OutputUnusable
from services.training.errors import ClipUnusable, NothingToLearn
from services.training.lessons import composed_lessons, lessons_of, target_of
from services.training.media import Media
from services.wiring import Stores

RUN, STATE, METRICS, CURVES = "run.json", "state.pt", "metrics.jsonl", "loss.svg"
WHOLE = "config.json"
REPORTS = 100  # of a run

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Learning:
    """What is learnt, and where the result goes.

    `tasks` are those of the set's examples, not of what is replayed, and `shows` what all of them
    show, beside text; None: all. With `devices`, their processes learn together, and the first of
    them reads and writes the run.
    """

    folder: Path
    replay: Sequence[Path]
    out: Path
    tuning: Tuning
    save_every: int
    tasks: Collection[str] | None = None
    shows: Collection[Shown] | None = None
    devices: SeveralDevices | None = None

    def by_first(self, act: Callable[[], T]) -> T:
        """Do something in the first process alone, and give all what comes of it."""
        return act() if self.devices is None else self.devices.first(act)


@dataclass(frozen=True, slots=True)
class Learnt:
    """A run that is done. `curves` are the losses of it, or of its last stage."""

    model_id: str
    out: Path
    curves: Path
    examples: int
    passed_over: int
    went_on_at: int
    losses: dict[str, float]


def learn(
    engine: TransformersEngine,
    stores: Stores,
    learning: Learning,
    *,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Learnt:
    """Train in one stage, or go on training, and save the checkpoint.

    Raises:
        StoreError, ModelError, NothingToLearn, OutputUnusable, ClipUnusable
    """
    sources = sources_of(engine, stores, learning)
    if not sources[0].examples:
        raise NothingToLearn(learning.folder)
    keeps = learning.replay and learning.tuning.stage is StageName.INSTRUCT
    before = copy.deepcopy(engine.model) if keeps else None
    return learn_from(
        sources, engine, learning, into=learning.out, before=before, on_progress=on_progress
    )


def learn_from(
    sources: Sequence["Source"],
    engine: TransformersEngine,
    learning: Learning,
    *,
    into: Path,
    before: LongwatchForConditionalGeneration | None = None,
    on_progress: Callable[[float], None],
) -> Learnt:
    """The same, of examples that are there: at least one of the sources has some.

    What is replayed is learnt as it is, or as the model `before` knows it, which then also says
    what people's notes correct. The checkpoint goes into a folder of its own, or into that of the
    run.

    Raises:
        ModelError, OutputUnusable, ClipUnusable
    """
    tuning, out, devices = learning.tuning, learning.out, learning.devices
    begin(engine, learning, sources, stage=tuning.stage)
    kept = Kept(out / STATE, every=learning.save_every, devices=devices)
    metrics = learning.by_first(lambda: read_metrics(out / METRICS, until_step=kept.first_step))

    def report(values: dict[str, float]) -> None:
        metrics.append(values)
        if devices is not None and not devices.is_first:
            return
        with (out / METRICS).open("a") as file:
            file.write(f"{json.dumps(values)}\n")
        (out / CURVES).write_text(loss_plot(metrics))
        on_progress(values["share"])

    def finish() -> str:
        if tuning.lora:
            merge(engine.model.language_model.model.layers)
        _save(engine, into)
        (out / STATE).unlink(missing_ok=True)
        name = engine.model.config.model_name
        return TransformersEngine(engine.model, engine.processor, name=name).model_id

    try:
        train(
            engine.model,
            engine.processor,
            stage_of(engine.model, tuning),
            _tasks(sources, learning, kept.first_step, _at_once(engine), before=before),
            report=report,
            report_every=max(1, tuning.num_steps // REPORTS),
            kept=kept,
            devices=devices,
        )
        model_id = learning.by_first(finish)
    except (OSError, SafetensorError) as error:
        said = f"{error}; the same command goes on at step {kept.kept_step}"
        raise OutputUnusable(out, reason=said) from error
    losses = {name: value for name, value in metrics[-1].items() if name not in ("step", "share")}
    return Learnt(
        model_id,
        into,
        out / CURVES,
        len(sources[0].examples),
        sum(source.passed_over for source in sources),
        kept.first_step,
        losses,
    )


def _tasks(
    sources: Sequence["Source"],
    learning: Learning,
    first_step: int,
    at_once: int,
    *,
    before: LongwatchForConditionalGeneration | None,
) -> list[Task]:
    """What each step draws: a batch of each source, or this device's part of one."""
    tuning, devices = learning.tuning, learning.devices
    part = (0, 1) if devices is None else devices.part
    is_mixed = learning.shows is not None and len(learning.shows) > 1
    drawn = mixed_batches if is_mixed else batches
    tasks: list[Task] = []
    for number, source in enumerate(sources):
        if source.examples:
            targets = [
                target_of(one, is_replayed=number > 0) if before else Target.AS_IT_STANDS
                for one in source.examples
            ]
            lessons = lessons_of(source.media, tuning, source.examples, targets)
            if number == 0 and not tuning.stage.reads_features:
                lessons += composed_lessons(source.media, source.examples, targets)
            how = Drawing(tuning.batch_size, tuning.seed + number, first_step, part, at_once)
            tasks.append(replies(drawn(lessons, how), devices, before=before))
    return tasks


def _at_once(engine: TransformersEngine) -> int:
    """How many lessons are loaded at a time: on a CPU, whose threads would wait, one by each.

    On a GPU clips would be encoded in batches as they happen to come, and not the same to the bit.
    """
    return torch.get_num_threads() if engine.model.device.type == "cpu" else 1


@dataclass(frozen=True, slots=True)
class Source:
    """The examples of a set that this checkpoint can be shown."""

    media: Media
    examples: list[Example]
    passed_over: int


def sources_of(engine: TransformersEngine, stores: Stores, learning: Learning) -> list[Source]:
    """What the set has to show, and then what the sets of replay have.

    Raises:
        StoreError, ClipUnusable
    """
    folders = (learning.folder, *learning.replay)
    return [usable(engine, stores, folder, learning) for folder in folders]


def usable(
    engine: TransformersEngine,
    stores: Stores,
    folder: Path,
    learning: Learning,
) -> Source:
    """What is learnt from of a set: what can still be shown, and fits into the model's context."""
    tasks = learning.tasks if folder == learning.folder else None
    found = read_examples(folder / TRAIN)
    examples = [one for one in found if _is_wanted(one, learning, tasks)]
    for name in dict.fromkeys(one.file for one in examples if one.file is not None):
        if not (folder / name).is_file():
            raise ClipUnusable(name, reason=f"{folder / name} is not there")
    remembered = stores.record.clip_ids()
    limit = int(engine.model.config.text_config.max_position_embeddings)
    media = Media(engine, stores, folder)
    from_pictures = learning.tuning.stage.reads_features
    kept = [
        one
        for one in examples
        if remembered.issuperset(one.told_of)
        and media.is_kept(one, from_pictures=from_pictures)
        and _length(engine, stores, one) <= limit
    ]
    return Source(media, kept, len(examples) - len(kept))


def _is_wanted(example: Example, learning: Learning, tasks: Collection[str] | None) -> bool:
    """Whether it is of the tasks and shows what is to be shown; a projector learns of no text."""
    if tasks is not None and example.task not in tasks:
        return False
    if example.shown == "text":
        return learning.tuning.stage is not StageName.ALIGN
    return learning.shows is None or example.shown in learning.shows


def _length(engine: TransformersEngine, stores: Stores, example: Example) -> int:
    """About how many positions an example takes; images and clips of files are not counted."""
    texts = sum(len(engine.processor.text_ids(text)) for turn in example.turns for text in turn)
    if example.shown == "image":
        return texts
    notes = (stores.record.clip(clip_id) for clip_id in (*example.clips, example.lead_in or ""))
    return texts + sum(note.token_count for note in notes if note is not None)


def begin(
    engine: TransformersEngine, learning: Learning, sources: Sequence[Source], *, stage: str
) -> None:
    """Take the folder of a run, or go on in it; `stage` names what it runs, or the strategy.

    Raises:
        OutputUnusable
    """
    told = json.dumps(
        {
            "from": engine.model_id,
            **asdict(learning.tuning),
            "stage": stage,
            "examples": [_digest(source.examples) for source in sources],
        },
        indent=1,
    )
    learning.by_first(lambda: _take(learning.out, told))


def _take(out: Path, told: str) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if (out / WHOLE).exists():
            raise OutputUnusable(out, reason="a checkpoint is there; give another --out")
        if not (out / RUN).exists():
            if any(out.iterdir()):
                raise OutputUnusable(out, reason="it is not empty; give another --out")
            (out / RUN).write_text(told)
        elif (out / RUN).read_text() != told:
            reason = "a run of other examples or settings is there; give another --out"
            raise OutputUnusable(out, reason=reason)
    except OSError as error:
        raise OutputUnusable(out, reason=str(error)) from error


def _digest(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        digest.update(example.model_dump_json().encode())
    return digest.hexdigest()[:16]


def _save(engine: TransformersEngine, out: Path) -> None:
    """Write the checkpoint, its configuration last: by that it is known to be whole."""
    unfinished = out / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    engine.model.save_pretrained(unfinished)
    engine.processor.tokenizer.save_pretrained(unfinished)
    for path in sorted(unfinished.iterdir(), key=lambda path: path.name == WHOLE):
        path.replace(out / path.name)
    unfinished.rmdir()
