"""What the rest of Longwatch asks of a model: one protocol, whatever runs behind it.

The engine never decodes video: it is given frames once (`encode`) and reads the stored
tokens ever after. Arrays are numpy, so that callers need no torch.

Shape letters:
    T frames    H, W pixels    K visual tokens    D token width    V vector width    N texts
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import LayoutMismatch
from models.schemas import Note, Plan


@dataclass(frozen=True, slots=True, eq=False)
class ClipTokens:
    """The compressed visual tokens of one clip, as they are stored and as the LLM reads them.

    Of a model that reads pictures and no tokens, these are its frames: `models.pictures`.

    tokens_KD   float16, in the order the LLM reads them; pictures are bytes, one a row
    frame_K     int16, which of the clip's sampled frames each token belongs to
    times_s_T   float32, time of each sampled frame, seconds from the clip's start
    layout_id   the stream layout that made them
    encoder_id  the weights (tower, projector, compressor) that made them
    clip_id     what the token store knows them by; None before they are stored
    """

    tokens_KD: NDArray[np.float16 | np.uint8]
    frame_K: NDArray[np.int16]
    times_s_T: NDArray[np.float32]
    layout_id: str
    encoder_id: str
    clip_id: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EncodedClip:
    """What `encode` makes of a clip's frames: tokens to store, and a unit vector to search by.

    A model that compares no pictures with texts has no vector: its clips are found by their notes.
    `seen` is what the engine goes on from, where more frames of the clip come later.
    """

    tokens: ClipTokens
    vector_V: NDArray[np.float32] | None
    seen: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class LeadIn:
    """The clip before one that is to be described, and the second of it at which that one starts.

    Its last pictures are in view while the note is written, as far back as the engine's layout
    says, so that what went on across the boundary is told whole, and once.
    """

    clip: ClipTokens
    ends_s: float


class Engine(Protocol):
    """A video LLM. Errors: `models.errors`.

    `encode` and `embed` compute here. What is left may be asked of a server, which is given stored
    tokens by their `clip_id`, and may be away (`ModelServerAway`). Safe to call from several
    threads.
    """

    @property
    def model_id(self) -> str:
        """Name and content hash of the weights, such as `longwatch-nano@3fa9c2d1`."""
        ...

    @property
    def encoder_id(self) -> str:
        """Content hash of what makes visual tokens. Stored tokens of another are refused."""
        ...

    @property
    def layout_id(self) -> str:
        """Content hash of the stream layout. Stored tokens of another are refused."""
        ...

    @property
    def vector_width(self) -> int:
        """V: text and picture vectors share one space and have this many dimensions."""
        ...

    def encode(
        self,
        frames_THWC: NDArray[np.uint8],
        times_s_T: Sequence[float],
        *,
        before: EncodedClip | None = None,
    ) -> EncodedClip:
        """Run the vision tower once per frame and compress. RGB; at least one frame.

        `before` are the frames of the clip that were encoded earlier, and are not encoded again;
        what comes back is of all of them, the same as if they had come at once.
        """
        ...

    def clip_vector(self, clip: ClipTokens) -> NDArray[np.float32] | None:
        """The vector that `encode` gives, made again of stored tokens; None where it gives none."""
        ...

    @property
    def lead_in_s(self) -> float:
        """How far before its clip a note may reach; 0 if this model is shown no lead-in."""
        ...

    def describe(
        self, clip: ClipTokens, *, previous: Sequence[str], lead_in: LeadIn | None = None
    ) -> Note:
        """Write the note of a clip; `previous` are the texts of the notes before it, in order."""
        ...

    def plan(self, question: str) -> Plan:
        """Say how a question is to be answered."""
        ...

    def judge(self, clip: ClipTokens, claim: str) -> float:
        """Probability that the clip shows what the claim says."""
        ...

    def judge_all(self, asked: Sequence[tuple[ClipTokens, str]]) -> list[float]:
        """Judge several clips, of a claim each, in one call, which is quicker for an engine here.

        An error of one is raised for all of them.
        """
        ...

    def answer(
        self, question: str, *, findings: Sequence[str], clips: Sequence[ClipTokens]
    ) -> Iterator[str]:
        """Write the answer, piece by piece, from the findings and the tokens of their clips.

        The text refers to the n-th finding as `[n]`, counted from 1; the caller puts exact
        times in their place.
        """
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of texts, shape (N, V), in the same space as clips' vectors."""
        ...


def refuse_foreign(engine: Engine, clip: ClipTokens) -> None:
    """Tokens that another layout or other weights made would be read as noise.

    Raises:
        LayoutMismatch
    """
    if clip.layout_id != engine.layout_id:
        raise LayoutMismatch("layout", expected=engine.layout_id, got=clip.layout_id)
    if clip.encoder_id != engine.encoder_id:
        raise LayoutMismatch("encoder", expected=engine.encoder_id, got=clip.encoder_id)
