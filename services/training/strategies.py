"""Train a checkpoint by a strategy: stages one after another, each in a folder of the run.

    run.json                     what is trained, on what, and how, as of any run
    1-align, 2-pretrain, ...     the runs of the stages, and the checkpoints that they made
    config.json                  and weights, and tokenizer: the last stage's checkpoint

A stage begins with the checkpoint of the one before as it is read from the disk, so that it makes
no difference whether something was killed in between.
"""

from collections.abc import Callable
from dataclasses import replace

from models.stages import BOTH, Strategy
from models.transformers_engine import TransformersEngine
from services.training.errors import KindMissing, NothingToLearn
from services.training.learning import (
    WHOLE,
    Learning,
    Learnt,
    Source,
    begin,
    learn_from,
    sources_of,
)
from services.wiring import Stores


def learn_by(
    strategy: Strategy,
    engine: TransformersEngine,
    stores: Stores,
    learning: Learning,
    *,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Learnt:
    """Train in all stages, each for as many steps, or go on where they were.

    Raises:
        StoreError, ModelError, NothingToLearn, KindMissing, OutputUnusable, ClipUnusable
    """
    sources = sources_of(engine, stores, learning)
    _must_suffice(strategy, learning, sources)
    begin(engine, learning, sources, stage=strategy)
    parts = strategy.parts
    folders = [learning.out / f"{number}-{one.stage}" for number, one in enumerate(parts, start=1)]
    checkpoints = [*folders[:-1], learning.out]
    done = sum((folder / WHOLE).exists() for folder in checkpoints)
    learnt: list[Learnt] = []
    for number, part in list(enumerate(parts))[done:]:
        if number:
            before = checkpoints[number - 1]
            engine = TransformersEngine.load(before, device=str(engine.model.device))
        tuning = replace(learning.tuning, stage=part.stage)
        stage = replace(learning, out=folders[number], tuning=tuning, shows=part.shows)
        learnt.append(
            learn_from(
                sources_of(engine, stores, stage),
                engine,
                stage,
                into=checkpoints[number],
                on_progress=lambda share, number=number: on_progress((number + share) / len(parts)),
            )
        )
    return replace(
        learnt[-1],
        examples=len(sources[0].examples),
        passed_over=sum(source.passed_over for source in sources),
        went_on_at=done * learning.tuning.num_steps + learnt[0].went_on_at,
    )


def _must_suffice(strategy: Strategy, learning: Learning, sources: list[Source]) -> None:
    if not sources[0].examples:
        raise NothingToLearn(learning.folder)
    held = {example.shown for source in sources for example in source.examples}
    for shown in BOTH:
        if shown not in held:
            raise KindMissing(strategy, shown)
