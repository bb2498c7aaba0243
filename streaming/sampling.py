"""Which instants of media time are looked at: so many a second, fewer when a clip would overflow.

The wanted instants are the multiples of 1/rate of media time, so they depend on no file, no
segment cut and no frame rate. A frame is sampled when it is the first at or after a wanted
instant; a frame that comes late for several instants stands for all of them, once.

The rate is the policy's `fps`, unless that would give a clip more than `max_frames_per_clip`:
then that many instants are spread evenly over each clip (of `clip_length_ns`, aligned to its
multiples), which is the same as a lower rate. So there is one rule, and no second code path.

Pure: knows no files and no frames. Instants are counted from 0 at media time 0.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from streaming.messages import NS_PER_S


@dataclass(frozen=True, slots=True)
class SamplingPolicy:
    """How densely a stream is looked at, and how large its pictures are made.

    size_px   (width, height) of the pictures, after rotation
    """

    fps: Fraction
    max_frames_per_clip: int
    clip_length_ns: int
    size_px: tuple[int, int]

    def __post_init__(self) -> None:
        if self.fps <= 0:
            raise ValueError(f"fps must be above zero, not {self.fps}")
        if self.max_frames_per_clip < 1 or self.clip_length_ns < 1:
            raise ValueError("a clip needs a length and room for at least one frame")
        if min(self.size_px) < 1:
            raise ValueError(f"pictures of {self.size_px} px hold nothing")

    @property
    def rate(self) -> Fraction:
        """Wanted instants a second."""
        clip_length_s = Fraction(self.clip_length_ns, NS_PER_S)
        if ceil(self.fps * clip_length_s) > self.max_frames_per_clip:
            return self.max_frames_per_clip / clip_length_s
        return self.fps

    def instant_ns(self, index: int) -> int:
        """Media time of a wanted instant, rounded up to the nanosecond."""
        return ceil(index * NS_PER_S / self.rate)


class Sampler:
    """Picks, among frames given in time order, the first at or after each wanted instant.

    after_ns   media time of the last frame picked, None while there is none: given on from one
               segment to the next, so that what one has served is not served again
    """

    def __init__(self, policy: SamplingPolicy, *, after_ns: int | None) -> None:
        self._numerator = policy.rate.numerator
        self._denominator = policy.rate.denominator * NS_PER_S
        self._served = -1
        self.after_ns: int | None = None
        if after_ns is not None:
            self.pick(after_ns)

    def wants(self, media_ns: int) -> bool:
        """Whether a frame of this time would be picked. Changes nothing."""
        return self._index(media_ns) > self._served

    def pick(self, media_ns: int) -> None:
        """Note that the frame of this time is picked: its instants are served."""
        self._served = self._index(media_ns)
        self.after_ns = media_ns

    def _index(self, media_ns: int) -> int:
        """Index of the last wanted instant at or before `media_ns`."""
        return media_ns * self._numerator // self._denominator
