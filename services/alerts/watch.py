"""What a clip shows of a rule, and what is kept of a rule on a stream. Pure data."""

from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from streaming.messages import Alert, Span


class Seen(NamedTuple):
    """How likely a clip shows a claim, and when, where that is known closer than by the clip."""

    probability: float
    times_ns: tuple[tuple[int, int], ...] = ()


class Look(NamedTuple):
    """What a clip shows of each claim of a rule.

    `saw_from_ns` is from when on its note may tell; None: from the start of the clip.
    """

    clip_id: str
    span: Span
    epoch_at: datetime
    seen: tuple[Seen, ...]
    saw_from_ns: int | None = None


class Sighting(NamedTuple):
    """A claim, shown. It began at `start_ns` or later, and by `begun_ns`."""

    start_ns: int
    begun_ns: int
    end_ns: int
    probability: float
    clip_id: str

    @property
    def is_timed(self) -> bool:
        """Whether it is known when it began, closer than by its clip."""
        return self.begun_ns < self.end_ns


class Held(NamedTuple):
    """The condition, fulfilled; and until when what it began with was seen, where that counts."""

    start_ns: int
    end_ns: int
    probability: float
    clip_ids: tuple[str, ...]
    onset_end_ns: int = 0


class Early(NamedTuple):
    """An alert by the first part of a clip, which began at `clip_start_ns`."""

    alert: Alert
    clip_start_ns: int


class Watch(BaseModel):
    """A rule on a stream: how far it has looked, what its condition waits for, and its alert.

    next_ns          up to where it has looked
    before           when the claims were shown in the clip before, where that is known (While)
    since_ns         from when on a claim has not been shown (Absent)
    first            the last sighting that something may follow upon (Then)
    starts_ns        when the latest sightings began, the last of which ended at `last_end_ns`
                     (MoreThan)
    pending          fulfilled, and not yet for long enough
    alert            the alert that goes on; `told_ns` is how far its last message reached
    onset_end_ns     until when what it began with was seen (Shown)
    quiet_until_ns   the end of the cool-down
    early            an alert that waits for the rest of its clip
    unsure_until_ns  until when nothing is raised early, after something was taken back
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # what an earlier version kept

    next_ns: int = 0
    before: tuple[tuple[Sighting, ...], ...] = ()
    since_ns: int | None = None
    first: Sighting | None = None
    starts_ns: tuple[int, ...] = ()
    last_end_ns: int = 0
    pending: Held | None = None
    alert: Alert | None = None
    told_ns: int = 0
    onset_end_ns: int = 0
    quiet_until_ns: int = 0
    early: Early | None = None
    unsure_until_ns: int = 0


class Step(NamedTuple):
    watch: Watch
    alerts: tuple[Alert, ...] = ()
