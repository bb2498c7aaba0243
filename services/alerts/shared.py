"""Alerts of several rules or streams that have a key in common, told as one. Pure.

The first that begins is told of, under its own id and to those whom its rule tells. Others that
begin while any of them goes on join it without a word. It ends when the last of them has ended.
"""

from collections.abc import Iterable
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from streaming.messages import Alert, AlertEnd, AlertState


class Told(NamedTuple):
    """A message, and whom the rule of its alert tells."""

    alert: Alert
    rule_id: str
    to: tuple[str, ...]


class Shared(BaseModel):
    """What goes on under a key.

    alert      the last message of the first, which is held back where that ended before others
    rule_id    its rule, and `to` whom that tells
    going_on   the ids of all that go on
    ended      why the first of them ended that was not taken back
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alert: Alert
    rule_id: str
    to: tuple[str, ...]
    going_on: tuple[str, ...]
    ended: AlertEnd | None = None


def told_as_one(
    messages: Iterable[Told], shared: Shared | None
) -> tuple[list[Told], Shared | None]:
    """What is told of messages under a key, and what goes on under it then."""
    told: list[Told] = []
    for message in messages:
        alert, rule_id, to = message
        if shared is not None:
            shared, said = _joined(shared, alert)
            if said is not None:
                told.append(Told(said, shared.rule_id, shared.to))
            shared = shared if shared.going_on else None
        elif alert.state is AlertState.NEW:
            shared = Shared(alert=alert, rule_id=rule_id, to=to, going_on=(alert.alert_id,))
            told.append(message)
    return told, shared


def _joined(shared: Shared, alert: Alert) -> tuple[Shared, Alert | None]:
    """Take in one more message; and what is to be told of it, if anything is."""
    if alert.state is AlertState.NEW:
        going_on = (*shared.going_on, alert.alert_id)
        return shared.model_copy(update={"going_on": going_on}), None
    is_first = alert.alert_id == shared.alert.alert_id
    if alert.state is AlertState.UPDATE:
        return (shared.model_copy(update={"alert": alert}), alert) if is_first else (shared, None)
    going_on = tuple(one for one in shared.going_on if one != alert.alert_id)
    ended = alert.ended if shared.ended in (None, AlertEnd.RETRACTED) else shared.ended
    first = alert if is_first else shared.alert
    first = first.model_copy(update={"end_at": max(shared.alert.end_at, alert.end_at)})
    shared = shared.model_copy(update={"alert": first, "going_on": going_on, "ended": ended})
    return shared, None if going_on else first.model_copy(update={"ended": ended})
