"""Text with clips in it becomes token ids: the only copy of this step.

Each `<video>` of a prompt is replaced by the frames of one clip: a time marker as text, then one
placeholder id for each of the frame's visual tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from models.errors import CheckpointUnreadable
from models.layout import StreamLayout
from models.prompts import VIDEO

PART = "\ufffd"
"""How a token is written that holds some of the bytes of a character."""


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Where a clip's tokens go: the frame of each token, and the time of each frame."""

    frame_K: NDArray[np.int16]
    times_s_T: NDArray[np.float32]


class Processor:
    """A tokenizer that knows the stream layout."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, layout: StreamLayout) -> None:
        self.tokenizer = tokenizer
        self.layout = layout
        self.video_token_id = int(tokenizer.convert_tokens_to_ids(VIDEO))  # type: ignore[arg-type]
        self.end_token_id = int(tokenizer.eos_token_id)  # type: ignore[arg-type]
        self._markers: dict[float, list[int]] = {}
        self._words: dict[int, bool] = {}

    @classmethod
    def from_pretrained(cls, path: Path, layout: StreamLayout) -> "Processor":
        tokenizer = AutoTokenizer.from_pretrained(path)
        if VIDEO not in tokenizer.get_vocab():
            raise CheckpointUnreadable(path, f"its tokenizer has no {VIDEO} token")
        return cls(tokenizer, layout)

    def writes_as(self, other: "Processor") -> bool:
        """Whether texts become the same ids."""
        ours, theirs = self.tokenizer, other.tokenizer
        return (ours.get_vocab(), ours.chat_template) == (theirs.get_vocab(), theirs.chat_template)

    def turn(self, prompt: str) -> str:
        """A user's turn as text, up to where the assistant begins to write."""
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def prompt_ids(self, prompt: str, clips: Sequence[Frames] = ()) -> list[int]:
        return self.ids_with_clips(self.turn(prompt), clips)

    def ids_with_clips(self, text: str, clips: Sequence[Frames]) -> list[int]:
        """Ids of a text, with those of a clip in each of its places.

        Raises:
            ValueError: not as many places as clips.
        """
        parts = text.split(VIDEO)
        if len(parts) != len(clips) + 1:
            raise ValueError(
                f"the prompt has {len(parts) - 1} places for {len(clips)} clips; "
                f"write one {VIDEO} for each"
            )
        ids = self.text_ids(parts[0])
        for clip, part in zip(clips, parts[1:], strict=True):
            ids += self.clip_ids(clip)
            ids += self.text_ids(part)
        return ids

    def is_word(self, token_id: int) -> bool:
        """Whether it is a word or a part of one, and not a number or what stands between words."""
        if token_id not in self._words:
            text = self.text([token_id])
            self._words[token_id] = any(each.isalpha() or each == PART for each in text)
        return self._words[token_id]

    def clip_ids(self, clip: Frames) -> list[int]:
        counts = np.bincount(clip.frame_K, minlength=len(clip.times_s_T))
        ids: list[int] = []
        for time_s, count in zip(clip.times_s_T, counts, strict=True):
            ids += self._marker(float(time_s)) + [self.video_token_id] * int(count)
        return ids

    def _marker(self, time_s: float) -> list[int]:
        if time_s not in self._markers:
            self._markers[time_s] = self.text_ids(self.layout.time_marker(time_s))
        return self._markers[time_s]

    def reply_ids(self, reply: str) -> list[int]:
        """Ids of what the assistant writes, with its end."""
        return [*self.text_ids(reply), self.end_token_id]

    def text_ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[return-value]

    def text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
