"""Data sets made of what is remembered: folders of examples, and which folders there are.

    train.jsonl       what is learnt from, one example a line
    held-out.jsonl    what is measured on, and never learnt from
    card.json         how the set was made, and what it holds; card.md says so to people

An example is a conversation in the LLaVA format (`id`, `conversations`) about clips of the record,
or about a video or image file beside the set, and says of what footage it tells, so that it is
forgotten with it.
The folders are registered in the record, which deletes from them when it forgets.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from memory.documents import Documents, Key
from memory.durable import write_durably
from memory.errors import BadExample, ExamplesMissing, from_os_error
from memory.spans import overlaps_any
from streaming.messages import Message, Span

TRAIN, HELD_OUT = "train.jsonl", "held-out.jsonl"
CARD, PAGE = "card.json", "card.md"
KIND = "dataset"

ExampleTask = Literal["note", "judge", "answer", "merge", "fold", "plan"]
Origin = Literal["label", "model", "teacher", "given"]
"""Who says what is to be replied: a label, the model, a teacher, or whoever gave the set."""
PLACE, IMAGE_PLACE = "<video>", "<image>"
"""What stands in a prompt for what is shown; and how LLaVA writes that of images."""


class Turn(BaseModel):
    """A prompt, or the reply to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    speaker: Annotated[Literal["human", "gpt"], Field(alias="from")]
    value: str


class Example(Message):
    """A conversation about clips, or about a video or image file, or about text alone.

    `clips` are those of the record that its prompt shows, in order; `lead_in` is the clip before
    them, whose end is in view, and `context` are those whose notes it tells. Of a `video`,
    [start_s, end_s) is shown, and what is before that is its lead-in. With `at_s`, one
    picture of its clip or video is shown, the first one from then on. A `view` is shown in place of
    clips: footage that begins and ends elsewhere, and is decoded again, with pictures from its own
    start on; of `view_before` it the end is its lead-in. `span` is all footage that
    it tells of, and `kind` what kind of question it asks, if that has a name.
    """

    id: str
    task: ExampleTask = "answer"
    origin: Origin = "given"
    kind: str = ""
    span: Span | None = None
    clips: tuple[str, ...] = ()
    lead_in: str | None = None
    context: tuple[str, ...] = ()
    view: Span | None = None
    view_before: Span | None = None
    video: str | None = None
    start_s: Annotated[float, Field(ge=0)] = 0.0
    end_s: Annotated[float, Field(gt=0)] | None = None
    at_s: Annotated[float, Field(ge=0)] | None = None
    image: str | None = None
    conversations: tuple[Turn, ...]

    @model_validator(mode="after")
    def _must_show_one_thing(self) -> Self:
        if self.image is not None and (self.clips or self.video or self.at_s is not None):
            raise ValueError("an image is shown alone, without clips, video or at_s")
        if self.at_s is not None and (len(self.clips) + (self.video is not None) != 1):
            raise ValueError("at_s is a moment of one clip or of one video")
        return self

    @property
    def shown(self) -> Literal["image", "video", "text"]:
        """What it shows; text is what shows nothing."""
        if self.image is not None or self.at_s is not None:
            return "image"
        shows_none = self.video is None and self.view is None and not self.clips
        return "text" if shows_none else "video"

    @property
    def file(self) -> str | None:
        """The file beside the set that it shows, if it shows one."""
        return self.video if self.image is None else self.image

    @property
    def told_of(self) -> set[str]:
        """All clips that something of it comes from."""
        return {*self.clips, *self.context, *([self.lead_in] if self.lead_in else [])}

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Prompts, each with its reply."""
        said = [turn.value for turn in self.conversations]
        if self.shown != "text":
            said[::2] = [prompt.replace(IMAGE_PLACE, PLACE) for prompt in said[::2]]
        return list(zip(said[::2], said[1::2], strict=True))


class Card(Message):
    """How a set was made.

    counts      of examples, by file, task, origin, stream and kind
    written_by  who is behind an origin, by name
    kinds       those of questions that could be there: counted where there are none, too
    """

    made_at: datetime
    model_id: str
    layout_id: str
    hold_out: float
    written_by: dict[str, str] = Field(default_factory=dict[str, str])
    kinds: tuple[str, ...] = ()
    streams: tuple[Span, ...]
    dropped: dict[str, int]
    counts: dict[str, dict[str, int]] = Field(default_factory=dict[str, dict[str, int]])


def turns_of(*pairs: tuple[str, str]) -> tuple[Turn, ...]:
    """Prompts and replies as a conversation."""
    turns: list[Turn] = []
    for prompt, reply in pairs:
        turns += Turn(speaker="human", value=prompt), Turn(speaker="gpt", value=reply)
    return tuple(turns)


def read_examples(path: Path) -> list[Example]:
    """The examples of a file.

    Raises:
        StoreError: it cannot be read, or a line of it is no example.
    """
    examples: list[Example] = []
    for number, line in enumerate(_lines_of(path), start=1):
        try:
            examples.append(Example.model_validate_json(line))
        except ValidationError as error:
            raise BadExample(path, line=number, reason=_first(error)) from error
    return examples


def write_set(
    folder: Path, *, train: Sequence[Example], held_out: Sequence[Example], card: Card | None
) -> None:
    """Write a whole set, and what it holds into its card; None where its making was cut short."""
    for name, examples in ((TRAIN, train), (HELD_OUT, held_out)):
        write_durably(folder / name, _bytes_of(examples))
    if card is not None:
        counts = counts_of(train=train, held_out=held_out, kinds=card.kinds)
        counted = card.model_copy(update={"counts": counts})
        write_durably(folder / CARD, counted.model_dump_json(indent=1).encode())
        write_durably(folder / PAGE, card_page(counted).encode())


def card_of(folder: Path) -> Card | None:
    """The card of a set; None where it has none that reads."""
    with contextlib.suppress(OSError, ValidationError):
        return Card.model_validate_json((folder / CARD).read_bytes())
    return None


def counts_of(
    *, train: Sequence[Example], held_out: Sequence[Example], kinds: Sequence[str]
) -> dict[str, dict[str, int]]:
    """How many examples there are, of what, by whom, of which stream, and of all kinds."""
    counts: dict[str, dict[str, int]] = {}
    for name, examples in (("train", train), ("held-out", held_out)):
        of_file = {"examples": len(examples), **dict.fromkeys(map(kind_row, kinds), 0)}
        for example in examples:
            stream = example.span.stream_id if example.span else "-"
            counted = [f"task {example.task}", f"by {example.origin}", f"stream {stream}"]
            for what in (*counted, *([kind_row(example.kind)] if example.kind else [])):
                of_file[what] = of_file.get(what, 0) + 1
        counts[name] = dict(sorted(of_file.items()))
    return counts


def kind_row(kind: str) -> str:
    return f"question {kind}"


def card_page(card: Card) -> str:
    """The card as a page of Markdown."""
    lines = [
        "# Data set",
        "",
        f"Made at {card.made_at.isoformat(timespec='seconds')} of what `{card.model_id}` "
        f"remembered (layout `{card.layout_id}`); a share of {card.hold_out:g} of the time is "
        "held out.",
        "",
        *(f"- by {origin}: written by {who}" for origin, who in sorted(card.written_by.items())),
        "",
        "| what | train | held-out |",
        "|---|---|---|",
    ]
    train, held_out = (card.counts.get(name, {}) for name in ("train", "held-out"))
    for what in sorted({*train, *held_out}):
        lines.append(f"| {what} | {train.get(what, 0)} | {held_out.get(what, 0)} |")
    lines += ["", "| footage | from, s | to, s |", "|---|---|---|"]
    for span in card.streams:
        lines.append(f"| {span.stream_id} | {span.start_ns / 1e9:.3f} | {span.end_ns / 1e9:.3f} |")
    if card.dropped:
        lines += ["", "| left out because | examples |", "|---|---|"]
        lines += [f"| {why} | {count} |" for why, count in sorted(card.dropped.items())]
    return "\n".join(lines) + "\n"


def keep_examples(folder: Path, is_kept: Callable[[Example], bool]) -> int:
    """Delete the other examples of a set, and what is none, and say how many there were."""
    kept: dict[str, list[Example]] = {}
    gone = 0
    for name in (TRAIN, HELD_OUT):
        kept[name] = []
        lines = _lines_of(folder / name) if (folder / name).exists() else []
        for line in lines:
            with contextlib.suppress(ValidationError):
                example = Example.model_validate_json(line)
                if is_kept(example):
                    kept[name].append(example)
        gone += len(lines) - len(kept[name])
    if gone:
        write_set(folder, train=kept[TRAIN], held_out=kept[HELD_OUT], card=card_of(folder))
    return gone


class DataSets:
    """The folders that are registered in a record."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def register(self, folder: Path) -> None:
        """To be called before the first example is written there."""
        self._documents.swap({}, {Key(KIND, str(folder.resolve())): "{}"})

    def folders(self) -> list[Path]:
        """Those that are still there."""
        found = [Path(name) for name in self._documents.all(KIND)]
        return [folder for folder in found if folder.is_dir()]

    def forget(self, span: Span) -> int:
        """Delete the examples that tell of a span. Repeating it is harmless."""
        return sum(
            keep_examples(folder, lambda one: is_apart(one, [span])) for folder in self.folders()
        )


def is_apart(example: Example, spans: Sequence[Span]) -> bool:
    """Whether an example tells of none of the spans."""
    return example.span is None or not overlaps_any(example.span, spans)


def _lines_of(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text().split("\n") if line.strip()]
    except FileNotFoundError as error:
        raise ExamplesMissing(path) from error
    except OSError as error:
        raise from_os_error(error, str(path)) from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _bytes_of(examples: Iterable[Example]) -> bytes:
    lines = (json.dumps(_json_of(one), ensure_ascii=False) for one in examples)
    return "".join(f"{line}\n" for line in lines).encode()


def _json_of(example: Example) -> dict[str, Any]:
    """What differs from the defaults, by the names of the format; and its task, and by whom."""
    told = example.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"id": example.id, "task": example.task, "origin": example.origin, **told}
