"""The clips of examples, as a checkpoint reads them.

Stored tokens are read where the same encoder made them. Else the footage is decoded again, and the
checkpoint's own tower looks at it. Files beside a set are decoded likewise. An image is a clip of
one picture, at its start.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memory.datasets import Example
from memory.spans import END_OF_TIME_NS
from models.engine import ClipTokens, LeadIn
from models.finetune import led_into
from models.layout import StreamLayout
from models.train import ClipFeatures
from models.transformers_engine import TransformersEngine
from services.analyse import policy_of
from services.looking import readable_tokens
from services.training.composing import Scene, laid_over
from services.training.errors import ClipUnusable
from services.training.views import light_of
from services.wiring import Stores
from streaming.decode import Decoding, sampled_frames
from streaming.errors import FootageMissing, MediaError
from streaming.messages import NS_PER_S, ClipNote, SegmentReady, Span
from streaming.sampling import SamplingPolicy
from streaming.unit_decoder import Frame

MOST_KEPT = 64  # clips that need not be decoded again
MOST_VIEWS = 2048  # of other stretches, and clips of files
MOST_SCENES = 128  # views that are laid over others
MOST_FILMS = 8  # files, likewise


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """The sampled frames of a clip, to be shown in so much of their light."""

    name: str
    frames: Sequence[Frame]
    start_ns: int
    light: float = 1.0

    def seconds_to(self, other: "Stretch") -> float:
        """How long after this the other one starts."""
        return (other.start_ns - self.start_ns) / NS_PER_S

    def pictures(self) -> tuple[NDArray[np.uint8], list[float]]:
        """Pictures, and their times from the start.

        Raises:
            ClipUnusable
        """
        if not self.frames:
            raise ClipUnusable(self.name, reason="none of its footage is stored any more")
        times_s_T = [(frame.media_ns - self.start_ns) / NS_PER_S for frame in self.frames]
        pixels_THWC = np.stack([frame.pixels_HWC for frame in self.frames])
        if self.light != 1:
            pixels_THWC = np.clip(pixels_THWC * np.float32(self.light), 0, 255).astype(np.uint8)
        return pixels_THWC, times_s_T


class Sampler:
    """The frames of footage and of files, as a policy samples them."""

    def __init__(self, stores: Stores, policy: SamplingPolicy) -> None:
        self._stores = stores
        self.policy = policy

    def frames_of(self, span: Span, *, late_ns: int = 0) -> list[Frame]:
        """The frames of a span, from its footage, so long after those that analysis samples.

        Raises:
            ClipUnusable
        """
        frames: list[Frame] = []
        last_ns: int | None = None
        for segment in self._stores.record.segments([span]):
            found = self._segment_frames(segment, last_ns, late_ns)
            last_ns = found[-1].media_ns if found else last_ns
            frames += [
                replace(one, media_ns=one.media_ns + late_ns)
                for one in found
                if span.start_ns <= one.media_ns + late_ns < span.end_ns
            ]
        return frames

    def sampled(
        self, path: Path, name: str, start_ns: int, after_ns: int | None, *, pts_origin: int = 0
    ) -> list[Frame]:
        """The frames of a file.

        Raises:
            ClipUnusable
        """
        try:
            return list(
                sampled_frames(
                    path,
                    start_ns=start_ns,
                    pts_origin=pts_origin,
                    policy=self.policy,
                    after_ns=after_ns,
                    decoding=Decoding(),
                )
            )
        except MediaError as error:
            raise ClipUnusable(name, reason=str(error)) from error

    def _segment_frames(
        self, segment: SegmentReady, after_ns: int | None, late_ns: int
    ) -> list[Frame]:
        start_ns, origin = segment.span.start_ns - late_ns, segment.pts_origin
        try:
            with self._stores.footage.open_local(segment.uri) as path:
                return self.sampled(path, segment.uri, start_ns, after_ns, pts_origin=origin)
        except FootageMissing as error:
            raise ClipUnusable(segment.uri, reason=str(error)) from error


@dataclass(frozen=True, slots=True)
class Over:
    """A view that may be laid over another one, from any of these pictures on."""

    shown: Span
    firsts: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Composed:
    """What the model is shown of a view, and what was laid over it, from which picture on."""

    clip: ClipTokens
    over: Over | None
    first: int


class Media:
    """Clips of a data directory, and video and image files beside a set."""

    def __init__(self, engine: TransformersEngine, stores: Stores, folder: Path) -> None:
        self._engine = engine
        self._stores = stores
        self._folder = folder
        self._sampler = Sampler(stores, policy_of(engine.layout))
        self._encoded_clip = lru_cache(MOST_KEPT)(self._clip_encoded)
        self._features = lru_cache(MOST_KEPT)(self._clip_features)
        self._encoded_view = lru_cache(MOST_VIEWS)(self._view_encoded)
        self._encoded_file = lru_cache(MOST_VIEWS)(self._file_encoded)
        self._film = lru_cache(MOST_FILMS)(self._film_frames)
        self._picture = lru_cache(MOST_KEPT)(self._one_picture)
        self._composed = lru_cache(MOST_VIEWS)(self._view_composed)
        self._scene = lru_cache(MOST_SCENES)(self._view_scene)
        self._stored = lru_cache(None)(self._footage_stored)

    @property
    def layout(self) -> StreamLayout:
        return self._engine.layout

    def is_kept(self, example: Example, *, from_pictures: bool) -> bool:
        """Whether the clips of an example, which are remembered, or its view can still be shown.

        Footage may be gone of which the tokens are not: those are enough unless `from_pictures`.
        """
        if example.view is not None:
            before = example.view_before
            return self._is_stored(example.view) and (before is None or self._is_stored(before))
        needs_footage = from_pictures or example.shown == "image"
        lead_in = () if example.lead_in is None else (example.lead_in,)
        return all(
            self._is_stored(self._note(clip_id).span)
            or not (needs_footage or self._stored_tokens(clip_id) is None)
            for clip_id in (*example.clips, *lead_in)
        )

    def tokens(self, example: Example) -> list[ClipTokens]:
        """What the model is shown for each `<video>` of an example.

        Raises:
            ClipUnusable: the footage, or the file beside the set, is not there, or cannot be read.
        """
        if example.shown == "image":
            return [self._encoded(self._image(example))]
        if example.video is not None:
            clip, lead_in = self._encoded_file(example.video, example.start_s, example.end_s)
            clips = [clip]
        elif (view := example.view) is not None:
            clip, lead_in = self._encoded_view(*_instants(view, example.view_before))
            clips = [clip]
        else:
            clips = [self._clip_tokens(clip_id) for clip_id in example.clips]
            lead_in = None
            if example.lead_in is not None:
                length_s = self._note(example.lead_in).span.duration_s
                lead_in = LeadIn(self._clip_tokens(example.lead_in), length_s)
        if lead_in is not None and self._engine.lead_in_s:
            clips[0] = self._engine.led_into(clips[0], lead_in)
        return clips

    def composed(self, example: Example, overs: tuple[Over, ...]) -> Composed:
        """What the model is shown of a view, which is led into, with the first that fits over it.

        Raises:
            ClipUnusable
        """
        assert example.view is not None
        return self._composed(*_instants(example.view, example.view_before), overs)

    def features(self, example: Example) -> list[ClipFeatures]:
        """The same, as a projector reads it: the footage is decoded, and looked at again."""
        if example.shown == "image":
            return [self._looked_at(self._image(example))]
        if example.video is not None:
            clip, earlier = self._file_frames(example.video, example.start_s, example.end_s)
            clips = [self._looked_at(clip)]
            before = self._looked_at(earlier) if earlier.frames else None
            ends_s = earlier.seconds_to(clip)
        elif example.view is not None:
            clip, earlier = self._view_frames(*_instants(example.view, example.view_before))
            clips = [self._looked_at(clip)]
            before = self._looked_at(earlier) if earlier.frames else None
            ends_s = earlier.seconds_to(clip)
        else:
            clips = [self._features(clip_id) for clip_id in example.clips]
            before, ends_s = None, 0.0
            if example.lead_in is not None:
                before = self._features(example.lead_in)
                ends_s = self._note(example.lead_in).span.duration_s
        if before is not None and (lead_in_s := self._engine.lead_in_s):
            clips[0] = led_into(clips[0], before, ends_s=ends_s, lead_in_s=lead_in_s)
        return clips

    def _clip_tokens(self, clip_id: str) -> ClipTokens:
        stored = self._stored_tokens(clip_id)
        return stored if stored is not None else self._encoded_clip(clip_id)

    def _stored_tokens(self, clip_id: str) -> ClipTokens | None:
        return readable_tokens(self._engine, self._stores.tokens, clip_id)

    def _is_stored(self, span: Span) -> bool:
        """Whether there is footage of a span, and none of it was deleted to make room."""
        segments = self._stores.record.segments([span])
        stored = self._stored(span.stream_id)
        return bool(segments) and all(segment.uri in stored for segment in segments)

    def _footage_stored(self, stream_id: str) -> frozenset[str]:
        return frozenset(one.uri for one in self._stores.footage.segments(stream_id))

    def _clip_encoded(self, clip_id: str) -> ClipTokens:
        return self._encoded(self._clip_frames(clip_id))

    def _clip_features(self, clip_id: str) -> ClipFeatures:
        return self._looked_at(self._clip_frames(clip_id))

    def _image(self, example: Example) -> Stretch:
        """What an example shows that shows an image."""
        clip_id = example.clips[0] if example.clips else None
        return self._picture(example.file or "", clip_id, example.at_s)

    def _one_picture(self, file: str, clip_id: str | None, at_s: float | None) -> Stretch:
        """An image file, or a picture of a clip or of a video file: the first from a time on."""
        name, start_ns, at_ns = clip_id or file, 0, round((at_s or 0.0) * NS_PER_S)
        if clip_id is not None:
            clip = self._clip_frames(clip_id)
            frames, start_ns = clip.frames, clip.start_ns
        elif at_s is not None:
            frames = self._film(file)
        else:
            frames = self._film_frames(file)
        for frame in frames:
            if frame.media_ns - start_ns >= at_ns:
                return Stretch(name, [frame], frame.media_ns)
        raise ClipUnusable(name, reason=f"it has no picture from {at_ns / NS_PER_S:g} s on")

    def _view_encoded(
        self, stream_id: str, from_ns: int | None, start_ns: int, end_ns: int
    ) -> tuple[ClipTokens, LeadIn | None]:
        return self._encoded_after(*self._view_frames(stream_id, from_ns, start_ns, end_ns))

    def _view_composed(
        self,
        stream_id: str,
        from_ns: int | None,
        start_ns: int,
        end_ns: int,
        overs: tuple[Over, ...],
    ) -> Composed:
        clip, earlier = self._view_frames(stream_id, from_ns, start_ns, end_ns)
        pixels_THWC, times_s_T = clip.pictures()
        seen_THWC = [one.pictures()[0] for one in (earlier, clip) if one.frames]
        under = Scene.of(pixels_THWC, np.concatenate(seen_THWC))
        found, first = None, 0
        for over in overs:
            scene = self._scene(over.shown.stream_id, over.shown.start_ns, over.shown.end_ns)
            laid = laid_over(under, scene, over.firsts)
            if laid is not None:
                found, first, pixels_THWC = over, laid.first, laid.pixels_THWC
                break
        tokens = self._engine.encode(pixels_THWC, times_s_T).tokens
        if earlier.frames and self._engine.lead_in_s:
            lead_in = LeadIn(self._encoded(earlier), earlier.seconds_to(clip))
            tokens = self._engine.led_into(tokens, lead_in)
        return Composed(tokens, found, first)

    def _view_scene(self, stream_id: str, start_ns: int, end_ns: int) -> Scene:
        """The pictures of a view, and what stands still for a clip's time before and after it.

        Or in these pictures alone, where not all of that time is stored any more.
        """
        clip_ns = self._sampler.policy.clip_length_ns
        view = Span(stream_id=stream_id, start_ns=start_ns, end_ns=end_ns)
        times = {"start_ns": max(0, start_ns - clip_ns), "end_ns": end_ns + clip_ns}
        around = view.model_copy(update=times)
        late_ns = start_ns % self._sampler.policy.instant_ns(1)
        seen = self._sampler.frames_of(around if self._is_stored(around) else view, late_ns=late_ns)
        shown = [one for one in seen if start_ns <= one.media_ns < end_ns]
        pixels_THWC, seen_THWC = (
            Stretch(stream_id, frames, start_ns).pictures()[0] for frames in (shown, seen)
        )
        return Scene.of(pixels_THWC, seen_THWC)

    def _file_encoded(
        self, name: str, start_s: float, end_s: float | None
    ) -> tuple[ClipTokens, LeadIn | None]:
        return self._encoded_after(*self._file_frames(name, start_s, end_s))

    def _encoded_after(self, clip: Stretch, before: Stretch) -> tuple[ClipTokens, LeadIn | None]:
        if not before.frames:
            return self._encoded(clip), None
        return self._encoded(clip), LeadIn(self._encoded(before), before.seconds_to(clip))

    def _view_frames(
        self, stream_id: str, from_ns: int | None, start_ns: int, end_ns: int
    ) -> tuple[Stretch, Stretch]:
        """The frames of a view, and of what is before it, in one light."""
        view = Span(stream_id=stream_id, start_ns=start_ns, end_ns=end_ns)
        light, late_ns = light_of(view), start_ns % self._sampler.policy.instant_ns(1)
        frames = self._sampler.frames_of(view, late_ns=late_ns)
        clip = Stretch(stream_id, frames, start_ns, light)
        if from_ns is None:
            return clip, Stretch(stream_id, (), start_ns, light)
        before = Span(stream_id=stream_id, start_ns=from_ns, end_ns=start_ns)
        earlier = self._sampler.frames_of(before, late_ns=late_ns)
        return clip, Stretch(stream_id, earlier, from_ns, light)

    def _clip_frames(self, clip_id: str) -> Stretch:
        span = self._note(clip_id).span
        return Stretch(clip_id, self._sampler.frames_of(span), span.start_ns)

    def _file_frames(
        self, name: str, start_s: float, end_s: float | None
    ) -> tuple[Stretch, Stretch]:
        """The frames of a clip in a file, and those of the clip before it."""
        start_ns = round(start_s * NS_PER_S)
        end_ns = END_OF_TIME_NS if end_s is None else round(end_s * NS_PER_S)
        before_ns = max(0, start_ns - self._sampler.policy.clip_length_ns)
        frames = self._film(name)
        shown = [one for one in frames if start_ns <= one.media_ns < end_ns]
        before = [one for one in frames if before_ns <= one.media_ns < start_ns]
        return Stretch(name, shown, start_ns), Stretch(name, before, before_ns)

    def _film_frames(self, name: str) -> list[Frame]:
        path = self._folder / name
        if not path.is_file():
            raise ClipUnusable(name, reason=f"{path} is not there")
        return self._sampler.sampled(path, name, 0, None)

    def _note(self, clip_id: str) -> ClipNote:
        note = self._stores.record.clip(clip_id)
        if note is None:
            raise ClipUnusable(clip_id, reason="it is not remembered any more")
        return note

    def _encoded(self, stretch: Stretch) -> ClipTokens:
        return self._engine.encode(*stretch.pictures()).tokens

    def _looked_at(self, stretch: Stretch) -> ClipFeatures:
        return self._engine.features(*stretch.pictures())


def _instants(view: Span, before: Span | None) -> tuple[str, int | None, int, int]:
    """A view, and from when on what is before it is seen, as a key of what is kept of it."""
    from_ns = None if before is None else before.start_ns
    return view.stream_id, from_ns, view.start_ns, view.end_ns
