"""What rules raised, the latest first, and what people say of it."""

from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from memory.feedback import Feedback
from services.alerts.book import place_of
from services.api.access import Operator, Viewer
from services.api.given import GivenHere
from services.api.marks import ShownMark, ToMark, keep_mark
from services.errors import BadTime, NoSuchAlert
from services.moments import AgoMoment, MediaMoment, WallMoment, parse_moment
from services.wiring import rules_of
from streaming.messages import Alert

routes = APIRouter(prefix="/v1/alerts", tags=["alerts"])


class MarkedAlert(Alert):
    """An alert, and what somebody says of it; null: nobody did yet."""

    mark: ShownMark | None


class AlertPage(BaseModel):
    """Some alerts, each as it was last told, the latest first.

    `next_before`: ask with it as `before` for those that began earlier; null: there are none.
    """

    alerts: list[MarkedAlert]
    next_before: str | None


@routes.get("", summary="Alerts, the latest first")
def list_alerts(  # noqa: PLR0913 - the parameters of a route
    given: GivenHere,
    caller: Viewer,
    stream: Annotated[tuple[str, ...], Query(description="Only this one; may be repeated.")] = (),
    rule: Annotated[str | None, Query(description="Only those of this rule.")] = None,
    since: Annotated[str | None, Query(description="2h, 2025-03-01T14:00")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: str | None = None,
) -> AlertPage:
    for name in stream:
        caller.must_see(name)
    since_at = None if since is None else _wall_time(since, given.now_at())
    wanted = (
        alert
        for alert in rules_of(given.stores).backwards(since_at=since_at, before=before)
        if caller.may_see(alert.span.stream_id)
        and (not stream or alert.span.stream_id in stream)
        and rule in (None, alert.rule)
    )
    found = list(islice(wanted, limit + 1))
    page, feedback = found[:limit], Feedback(given.stores.record.documents)
    marks = [feedback.mark_of(alert) for alert in page]
    return AlertPage(
        alerts=[
            MarkedAlert(**dict(alert), mark=mark and ShownMark.of(mark))
            for alert, mark in zip(page, marks, strict=True)
        ],
        next_before=place_of(page[-1]) if len(found) > limit else None,
    )


@routes.put("/{alert_id}/mark", summary="Say whether an alert is true")
def mark_alert(alert_id: str, said: ToMark, given: GivenHere, caller: Operator) -> ShownMark:
    alert = rules_of(given.stores).alert(alert_id)
    if not caller.may_see(alert.span.stream_id):
        raise NoSuchAlert(alert_id)
    return keep_mark(alert, said, given, caller)


def _wall_time(text: str, now_at: datetime) -> datetime:
    """Raises:
    BadTime: also for media time, which each stream has for itself.
    """
    match parse_moment(text, now_at=now_at):
        case WallMoment(at):
            return at
        case AgoMoment(ns):
            return now_at - timedelta(microseconds=ns // 1000)
        case MediaMoment():
            raise BadTime(text)
