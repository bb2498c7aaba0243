"""What a model server reads of the clips of a request: stored tokens, or pixels to encode.

Knows nothing of SGLang. What cannot be read is the caller's error, with an HTTP status of its own.

Shape letters:
    T frames    S pixels a side    K visual tokens    D decoder width
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import torch
from numpy.typing import NDArray

from memory.errors import DamagedTokens, ForeignTokens, StoreError, TokensMissing
from memory.tokens import TokenStore
from models.checkpoint import Checkpoint
from models.clip_reference import SCHEME, ClipReference
from models.compress import frame_of_tokens
from models.engine import ClipTokens, LeadIn
from models.errors import CheckpointUnlike
from models.lead_in import led_into
from models.preprocess import to_pixels
from models.processor import Frames, Processor
from models.prompts import VIDEO
from services.describing import clip_tokens
from services.on_sglang.media import Pictures, clip_of_pictures, clips_of_video

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


Named = str | list[str]
"""How a request says which clip: its reference, a video, or pictures, which are its frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What the model is given of a clip.

    given      stored tokens, (K, D), or pixels, (T, 3, S, S)
    encoder_id who is to encode the pixels; None of tokens
    """

    given: NDArray[np.float16 | np.float32 | np.uint8]
    frames: Frames
    encoder_id: str | None = None

    @property
    def num_runs(self) -> int:
        """How many frames have tokens: between two, there is a time marker."""
        return len(set(self.frames.frame_K.tolist()))

    @property
    def identity(self) -> bytes:
        """32 bytes that are the same for what gives the same tokens, and for nothing else.

        Of the tokens themselves, not of the clip's id: footage that was forgotten and captured
        anew has the ids that it had, and nobody may be answered from what is forgotten.
        """
        digest = hashlib.sha256(np.ascontiguousarray(self.given).tobytes())
        if self.encoder_id is not None:
            digest.update(self.frames.times_s_T.tobytes() + self.encoder_id.encode())
        return digest.digest()


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A clip in a prompt, and the runs of ids that stand for its tokens, ends included."""

    clip: Shown
    runs: list[tuple[int, int]]


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

    def read(self, text: str, named: Sequence[Named]) -> Prompt:
        """Raises Refused, or ValueError where clips cannot be read, or do not fit the text."""
        parts = text.split(VIDEO)
        if len(parts) != len(named) + 1:
            raise ValueError(
                f"the prompt has {len(parts) - 1} places for {len(named)} clips; "
                f"write one {VIDEO} for each"
            )
        shown = [self._shown(name) for name in named]
        places = [VIDEO * len(clips) for clips in shown] + [""]
        clips = list(chain.from_iterable(shown))
        ids = self.processor.ids_with_clips(
            "".join(chain.from_iterable(zip(parts, places, strict=True))),
            [clip.frames for clip in clips],
        )
        runs = iter(runs_of(self.video_token_id, ids))
        return Prompt(ids, [Placed(clip, list(islice(runs, clip.num_runs))) for clip in clips])

    def _shown(self, named: Named) -> list[Shown]:
        if isinstance(named, list):
            return [self._pixels(clip_of_pictures(named, self.checkpoint.layout))]
        if not named.startswith(SCHEME):
            return [self._pixels(clip) for clip in clips_of_video(named, self.checkpoint.layout)]
        tokens = self._tokens(ClipReference.parse(named))
        return [Shown(tokens.tokens_KD, Frames(tokens.frame_K, tokens.times_s_T))]

    def _pixels(self, brought: Pictures) -> Shown:
        layout, config = self.checkpoint.layout, self.checkpoint.config
        frame_K = frame_of_tokens(
            layout,
            num_frames=len(brought.frames),
            num_patches=(layout.image_size_px // config.vision_config.patch_size) ** 2,
        )
        pixels_TCHW = torch.cat(
            [to_pixels(frame[None], size_px=layout.image_size_px) for frame in brought.frames]
        )
        return Shown(
            pixels_TCHW.numpy(),
            Frames(frame_K.numpy().astype(np.int16), np.asarray(brought.times_s, np.float32)),
            self.checkpoint.encoder_id,
        )

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
