"""The clips of examples, as a checkpoint reads them.

Stored tokens are read where the same encoder made them. Else the footage is decoded again, and the
checkpoint's own tower looks at it. Files beside a set are decoded likewise.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memory.datasets import Example
from memory.errors import ExamplesMissing
from models.engine import ClipTokens, LeadIn
from models.transformers_engine import TransformersEngine
from services.analyse import policy_of
from services.errors import ClipUnusable
from services.looking import readable_tokens
from services.wiring import Stores
from streaming.decode import Decoding, sampled_frames
from streaming.errors import FootageMissing, MediaError
from streaming.messages import NS_PER_S, ClipNote, SegmentReady, Span
from streaming.unit_decoder import Frame


class Media:
    """Clips of a data directory, and video files beside a set."""

    def __init__(self, engine: TransformersEngine, stores: Stores, folder: Path) -> None:
        self._engine = engine
        self._stores = stores
        self._folder = folder
        self._policy = policy_of(engine.layout)

    def tokens(self, example: Example) -> list[ClipTokens]:
        """What the model is shown for each `<video>` of an example.

        Raises:
            ClipUnusable: the footage is not there any more, or cannot be read.
        """
        if example.video is not None:
            return [self._file_tokens(example, example.video)]
        clips = [self._clip_tokens(clip_id) for clip_id in example.clips]
        if example.lead_in is not None and self._engine.lead_in_s:
            before = self._note(example.lead_in)
            lead_in = LeadIn(self._clip_tokens(example.lead_in), before.span.duration_s)
            clips[0] = self._engine.led_into(clips[0], lead_in)
        return clips

    def _file_tokens(self, example: Example, name: str) -> ClipTokens:
        path = self._folder / name
        if not path.is_file():
            raise ExamplesMissing(path)
        start_ns = round(example.start_s * NS_PER_S)
        end_ns = None if example.end_s is None else round(example.end_s * NS_PER_S)
        frames = self._sampled(path, name, 0, None)
        kept = [one for one in frames if one.media_ns >= start_ns]
        shown = [one for one in kept if end_ns is None or one.media_ns < end_ns]
        clip = self._encoded(shown, start_ns, name)
        earlier = [one for one in frames if one.media_ns < start_ns]
        if not earlier or not self._engine.lead_in_s:
            return clip
        lead = LeadIn(self._encoded(earlier, 0, name), example.start_s)
        return self._engine.led_into(clip, lead)

    def _clip_tokens(self, clip_id: str) -> ClipTokens:
        stored = readable_tokens(self._engine, self._stores.tokens, clip_id)
        if stored is not None:
            return stored
        span = self._note(clip_id).span
        return self._encoded(self.frames_of(span), span.start_ns, clip_id)

    def _note(self, clip_id: str) -> ClipNote:
        note = self._stores.record.clip(clip_id)
        if note is None:
            raise ClipUnusable(clip_id, reason="it is not remembered any more")
        return note

    def frames_of(self, span: Span) -> list[Frame]:
        """The sampled frames of a span, from its footage, as analysis sampled them."""
        frames: list[Frame] = []
        last_ns: int | None = None
        for segment in self._stores.record.segments([span]):
            found = self._segment_frames(segment, last_ns)
            last_ns = found[-1].media_ns if found else last_ns
            frames += [one for one in found if span.start_ns <= one.media_ns < span.end_ns]
        return frames

    def _segment_frames(self, segment: SegmentReady, after_ns: int | None) -> list[Frame]:
        start_ns, origin = segment.span.start_ns, segment.pts_origin
        try:
            with self._stores.footage.open_local(segment.uri) as path:
                return self._sampled(path, segment.uri, start_ns, after_ns, pts_origin=origin)
        except FootageMissing as error:
            raise ClipUnusable(segment.uri, reason=str(error)) from error

    def _sampled(
        self, path: Path, name: str, start_ns: int, after_ns: int | None, *, pts_origin: int = 0
    ) -> list[Frame]:
        try:
            return list(
                sampled_frames(
                    path,
                    start_ns=start_ns,
                    pts_origin=pts_origin,
                    policy=self._policy,
                    after_ns=after_ns,
                    decoding=Decoding(),
                )
            )
        except MediaError as error:
            raise ClipUnusable(name, reason=str(error)) from error

    def _encoded(self, frames: Sequence[Frame], start_ns: int, name: str) -> ClipTokens:
        if not frames:
            raise ClipUnusable(name, reason="none of its footage is stored any more")
        frames_THWC = np.stack([frame.pixels_HWC for frame in frames])
        times_s_T = [(frame.media_ns - start_ns) / NS_PER_S for frame in frames]
        return self._engine.encode(frames_THWC, times_s_T).tokens
