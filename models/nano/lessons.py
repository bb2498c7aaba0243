"""What instruct learns from clips, and in which order: logs, then notes and claims.

A note joins many skills: what goes on, since when, what that is called. A **log** says, frame by
frame, what the lower layers know by then (`models.nano.watch`), so that the upper layers learn to
find it and to say it. They find it within minutes in clips of one or two frames, where little else
is to be found, and not within an hour in whole clips. Claims are learnt likewise: about few frames
before whole clips, and several about each.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.nano.recipe import LAYOUT, Clip, Marks, drawn_shares, note_sample
from models.nano.truth import claim_of, shown_in
from models.nano.watch import DEEDS, FACTS, FIXED, STATES
from models.nano.world import COLOURS, KINDS
from models.prompts import VIDEO, judge_prompt
from models.train import ClipFeatures, Sample

CHANGES = np.array([not fact.endswith(STATES) for fact in FACTS])
NOTHING = "nothing"
CLAIMS = 5
"""About one clip. A reply of one word teaches little, and the clip before it is long."""
LOG_EVERYTHING = f"{VIDEO}\nWhat is there and what goes on from moment to moment?"
LOG_CHANGES = f"{VIDEO}\nWhat goes on from moment to moment?"

Ask = Callable[[np.random.Generator, Clip, Marks], Sample]


def log_of_all(rng: np.random.Generator, clip: Clip, marks: Marks) -> Sample:
    """Everything that is seen in the first frame or two."""
    return log(clip, marks, int(rng.integers(1, 3)), everything=True)


def log_of_some(rng: np.random.Generator, clip: Clip, marks: Marks) -> Sample:
    """What changes in the first frames."""
    return log(clip, marks, int(rng.choice((3, 4, 5, 7))), everything=False)


def log_of_clip(rng: np.random.Generator, clip: Clip, marks: Marks) -> Sample:
    """What changes in the whole clip."""
    del rng
    return log(clip, marks, LAYOUT.max_frames, everything=False)


def log(clip: Clip, marks: Marks, num_frames: int, *, everything: bool) -> Sample:
    facts_TY = clip.facts_TY[:num_frames] & (CHANGES | everything)
    lines = (
        f"{number / LAYOUT.fps:.1f} {_said(facts_Y)}" for number, facts_Y in enumerate(facts_TY)
    )
    prompt = LOG_EVERYTHING if everything else LOG_CHANGES
    return Sample(prompt, "; ".join(lines), (marks.put(clip.features, num_frames),))


def _said(facts_Y: NDArray[np.bool_]) -> str:
    return ", ".join(FACTS[number] for number in np.flatnonzero(facts_Y)) or NOTHING


def claims_of_some(rng: np.random.Generator, clip: Clip, marks: Marks) -> Sample:
    """Whether this and that is seen in the first frames; as often true as false, by near misses."""
    num_frames = int(rng.integers(1, 4))
    true = [FACTS[n] for n in np.flatnonzero(clip.facts_TY[:num_frames].any(0))]
    claims = [_fact_or_near_miss(rng, true) for _ in range(CLAIMS)]
    return _judged(claims, true, marks.put(clip.features, num_frames))


def claims_of_clip(rng: np.random.Generator, clip: Clip, marks: Marks) -> Sample:
    """Whether this and that happens in the whole clip."""
    end_s = clip.start_s + LAYOUT.clip_length_s
    shown = shown_in(clip.script, start_s=clip.start_s, end_s=end_s)
    true = [happening.text for happening in shown]
    claims = [claim_of(rng, true)[0] for _ in range(CLAIMS)]
    return _judged(claims, true, marks.put(clip.features))


def _judged(claims: Sequence[str], true: Sequence[str], seen: ClipFeatures) -> Sample:
    """The clip once, and one claim after the other."""
    turns = [(judge_prompt(claim), "yes" if claim in true else "no") for claim in claims]
    (prompt, reply), *more = turns
    later = tuple((asked.removeprefix(f"{VIDEO}\n"), said) for asked, said in more)
    return Sample(prompt, reply, (seen,), more=later)


def _fact_or_near_miss(rng: np.random.Generator, true: Sequence[str]) -> str:
    is_true = bool(true) and bool(rng.random() < 0.5)
    claim = str(rng.choice(true or FACTS))
    while not is_true and claim in true:
        claim = _near_miss(rng, str(rng.choice(true)))
    return claim


def _near_miss(rng: np.random.Generator, fact: str) -> str:
    """The same of another colour or kind, or another deed."""
    words = fact.split()
    if words[1] not in COLOURS:
        return str(rng.choice(FIXED))
    match int(rng.integers(3)):
        case 0:
            words[1] = str(rng.choice(COLOURS))
        case 1:
            words[2] = str(rng.choice(KINDS))
        case _:
            words[3:] = [str(rng.choice(DEEDS))]
    return " ".join(words)


LESSONS: tuple[tuple[int, dict[Ask, float]], ...] = (
    (0, {log_of_all: 1.0}),
    (120, {log_of_all: 0.6, log_of_some: 0.4}),
    (270, {log_of_all: 0.2, log_of_some: 0.3, log_of_clip: 0.3, note_sample: 0.2}),
    (520, {log_of_all: 0.05, log_of_some: 0.07, log_of_clip: 0.1, note_sample: 0.58,
           claims_of_some: 0.1, claims_of_clip: 0.1}),
    (1020, {log_of_all: 0.02, log_of_some: 0.03, log_of_clip: 0.06, note_sample: 0.67,
            claims_of_some: 0.05, claims_of_clip: 0.17}),
)  # fmt: skip
"""From a step on, how often a batch is of what."""

BATCH_SIZES: dict[Ask, int] = {
    log_of_all: 56,
    log_of_some: 32,
    log_of_clip: 20,
    note_sample: 24,
    claims_of_some: 40,
    claims_of_clip: 20,
}


def visual_batches(clips: Sequence[Clip], *, seed: int) -> Iterator[list[Sample]]:
    """Batches of one kind each, in the order of the lessons."""
    rng, marks, shares = np.random.default_rng(seed), Marks(), drawn_shares(clips)
    step = 0
    while True:
        lesson = [asks for from_step, asks in LESSONS if from_step <= step][-1]
        ask = list(lesson)[rng.choice(len(lesson), p=list(lesson.values()))]
        drawn = rng.choice(len(clips), BATCH_SIZES[ask], p=shares)
        yield [ask(rng, clips[n], marks) for n in drawn]
        step += 1
