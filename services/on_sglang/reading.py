"""What a model server reads of a clip that a request names: its stored tokens, and who they are.

Knows nothing of SGLang. What cannot be read is the caller's error, with an HTTP status of its own.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from memory.errors import DamagedTokens, ForeignTokens, StoreError, TokensMissing
from memory.tokens import TokenStore
from models.checkpoint import Checkpoint
from models.clip_reference import ClipReference
from models.engine import ClipTokens, LeadIn
from models.errors import CheckpointUnlike
from models.lead_in import led_into
from models.processor import Frames, Processor
from services.remember import clip_tokens

STATUS_OF: tuple[tuple[type[StoreError], int], ...] = (
    (TokensMissing, 404),
    (ForeignTokens, 409),
    (DamagedTokens, 422),
    (StoreError, 503),
)


class Refused(ValueError):
    """A request that is not answered; SGLang replies with the status and the message."""

    def __init__(self, message: str, *, status_code: int) -> None:
        super().__init__(message)
        self.status_code = status_code


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A clip in a prompt: its tokens, and the runs of ids that stand for them, ends included."""

    tokens: ClipTokens
    runs: list[tuple[int, int]]

    @property
    def identity(self) -> bytes:
        """32 bytes that are the same for the same tokens, and for no others.

        Of the tokens themselves, not of the clip's id: footage that was forgotten and captured
        anew has the ids that it had, and nobody may be answered from what is forgotten.
        """
        return hashlib.sha256(np.ascontiguousarray(self.tokens.tokens_KD).tobytes()).digest()


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    ids: list[int]
    clips: list[Placed]


class Reader:
    """Reads prompts that name clips, for the model of one checkpoint."""

    def __init__(self, store: TokenStore, checkpoint: Checkpoint) -> None:
        self.store = store
        self.checkpoint = checkpoint
        self._projector = checkpoint.projector()
        self.processor = Processor.from_pretrained(checkpoint.path, checkpoint.layout)
        self.video_token_id = self.processor.video_token_id

    def refuse_unlike(self, other: "Reader") -> None:
        """Say what keeps another checkpoint from taking this one's place while it serves.

        Raises:
            CheckpointUnlike
        """
        self.checkpoint.refuse_unlike(other.checkpoint)
        if not self.processor.writes_as(other.processor):
            raise CheckpointUnlike(other.checkpoint.path, "its tokenizer is another")

    def read(self, text: str, references: list[str]) -> Prompt:
        """Raises Refused, or ValueError where references and text do not fit together."""
        clips = [self._tokens(ClipReference.parse(reference)) for reference in references]
        frames = [Frames(clip.frame_K, clip.times_s_T) for clip in clips]
        ids = self.processor.ids_with_clips(text, frames)
        runs = iter(runs_of(self.video_token_id, ids))
        placed = [Placed(clip, [next(runs) for _ in set(clip.frame_K.tolist())]) for clip in clips]
        return Prompt(ids, placed)

    def _tokens(self, reference: ClipReference) -> ClipTokens:
        clip = self._stored(reference.clip_id)
        if reference.lead_in is None:
            return clip
        lead_in = LeadIn(self._stored(reference.lead_in.clip_id), reference.lead_in.ends_s)
        return led_into(clip, lead_in, projector=self._projector, layout=self.checkpoint.layout)

    def _stored(self, clip_id: str) -> ClipTokens:
        layout_id, encoder_id = self.checkpoint.layout.layout_id, self.checkpoint.encoder_id
        try:
            stored = self.store.get(clip_id, layout_id=layout_id, encoder_id=encoder_id)
        except StoreError as error:
            status_code = next(code for kind, code in STATUS_OF if isinstance(error, kind))
            raise Refused(str(error), status_code=status_code) from error
        return clip_tokens(stored)


def runs_of(wanted: int, ids: list[int]) -> list[tuple[int, int]]:
    """First and last place of each run of one id."""
    is_wanted = np.concatenate([[False], np.asarray(ids) == wanted, [False]])
    edges = np.flatnonzero(is_wanted[1:] != is_wanted[:-1])
    return [(int(first), int(after) - 1) for first, after in edges.reshape(-1, 2)]
