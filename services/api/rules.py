"""What shall raise an alert: see rules, add them, let them rest.

A key of some streams deals with the rules that name only such; one of all streams, which also looks
at what is yet to come, is not there for it. Paths of webhooks are never given back.
"""

import asyncio
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.alerts.book import ends_of
from services.alerts.conditions import LONGEST_NS
from services.alerts.rules import (
    COOLDOWN_NS,
    THRESHOLD,
    Rule,
    name_of,
    refuse_unsigned,
    rule_json,
    rule_of,
)
from services.api.access import Caller, Operator, Viewer
from services.api.asking import result_of
from services.api.errors import NotAllowed, RangeTooLong
from services.api.given import Given, GivenHere
from services.api.text import Text
from services.errors import BadRule, NoSuchRule
from services.requests import BackTested, BackTestRequest, spans_of
from services.wiring import rules_of, sealed_sinks
from streaming.messages import NS_PER_S, StreamId

MOST_TOLD = 16  # by one rule
MOST_TESTED_S = 86_400.0  # of all streams together

routes = APIRouter(prefix="/v1/rules", tags=["alerts"])

Seconds = Annotated[float, Field(ge=0, le=LONGEST_NS / NS_PER_S)]


class ShownRule(BaseModel):
    """A rule. `streams`: none are all; `to`: webhooks without their paths."""

    name: str
    sentence: str
    streams: list[str]
    for_s: float
    cooldown_s: float
    threshold: float
    schedule: str | None
    dedupe_key: str | None
    to: list[str]
    added_at: AwareDatetime
    is_paused: bool

    @classmethod
    def of(cls, rule: Rule, **more: Any) -> Self:
        return cls.model_validate(rule_json(rule) | more)


class Watched(BaseModel):
    """How far a rule has looked at a stream, and its alert that goes on there."""

    looked_ns: int
    alert_id: str | None


class RuleInFull(ShownRule):
    """A rule, and how far it has come, by stream."""

    watches: dict[str, Watched]


class RulePage(BaseModel):
    """Some rules, by name. `next_after`: ask with it as `after` for more; null: no more."""

    rules: list[ShownRule]
    next_after: str | None


class RuleToAdd(BaseModel):
    """A sentence, and what `longwatch rule add` takes with it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sentence: Text
    name: StreamId | None = None
    """Its first words, where none is given."""
    streams: list[StreamId] = []
    for_s: Seconds = 0
    cooldown_s: Seconds = COOLDOWN_NS / NS_PER_S
    threshold: Annotated[float, Field(gt=0, lt=1)] = THRESHOLD
    schedule: Text | None = None
    dedupe_key: StreamId | None = None
    """Alerts of rules and streams that have it in common are told as one while any goes on."""
    to: Annotated[list[Text], Field(min_length=1, max_length=MOST_TOLD)] = ["log", "kafka"]


class RuleToTest(BaseModel):
    """A rule by its name, or a sentence and what `longwatch rule test` takes with it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rule: StreamId | None = None
    sentence: Text | None = None
    for_s: Seconds = 0
    cooldown_s: Seconds = COOLDOWN_NS / NS_PER_S
    threshold: Annotated[float, Field(gt=0, lt=1)] = THRESHOLD
    schedule: Text | None = None
    streams: list[StreamId] = []
    """Which streams are looked at: those of the rule, or all, where none is named."""
    since: Text | None = None
    until: Text | None = None


@routes.get("", summary="The rules")
def list_rules(
    given: GivenHere,
    caller: Viewer,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: str = "",
) -> RulePage:
    left = [
        one for one in rules_of(given.stores).rules() if one.name > after and _may_see(caller, one)
    ]
    page = left[:limit]
    return RulePage(
        rules=[ShownRule.of(rule) for rule in page],
        next_after=page[-1].name if len(left) > limit else None,
    )


@routes.post("", status_code=201, summary="Add a rule, which counts from now on")
def add_rule(new: RuleToAdd, response: Response, given: GivenHere, caller: Operator) -> ShownRule:
    for stream_id in new.streams:
        caller.must_see(stream_id)
        given.stores.registry.stream(stream_id)
    if not new.streams and caller.streams is not None:
        raise NotAllowed("add a rule for all streams")
    book, settings = rules_of(given.stores), given.stores.settings
    if new.dedupe_key and any(
        one.dedupe_key == new.dedupe_key and not _may_see(caller, one) for one in book.rules()
    ):
        raise NotAllowed("share a key with rules of other streams")
    rule = rule_of(
        name=new.name or name_of(new.sentence, [known.name for known in book.rules()]),
        sentence=new.sentence,
        streams=tuple(dict.fromkeys(new.streams)),
        for_ns=round(new.for_s * NS_PER_S),
        cooldown_ns=round(new.cooldown_s * NS_PER_S),
        threshold=new.threshold,
        schedule=new.schedule,
        dedupe_key=new.dedupe_key,
        to=tuple(new.to),
        added_at=given.now_at(),
        from_ns=ends_of(given.stores.record),
    )
    refuse_unsigned(rule, is_signed=settings.webhook_secret is not None)
    book.add(sealed_sinks(given.stores).seal(rule))
    response.headers["Location"] = f"{routes.prefix}/{rule.name}"
    return ShownRule.of(rule)


@routes.post("/test", summary="What a rule would have raised; nobody is told")
async def test_rule(
    to_test: RuleToTest, given: GivenHere, caller: Viewer, client: Request
) -> BackTested:
    request = await asyncio.to_thread(_tested, to_test, given, caller)
    tried = await result_of(given.stores.settings, request, client)
    assert isinstance(tried, BackTested)
    return tried


@routes.get("/{name}", summary="One rule, and how far it has come")
def get_rule(name: str, given: GivenHere, caller: Viewer) -> RuleInFull:
    rule = _rule(name, given, caller)
    watches = {
        stream_id: Watched(looked_ns=watch.next_ns, alert_id=watch.alert and watch.alert.alert_id)
        for stream_id, watch in rules_of(given.stores).watches(rule).items()
    }
    return RuleInFull.of(rule, watches=watches)


@routes.delete("/{name}", summary="Remove a rule; what it raised stays")
def delete_rule(name: str, given: GivenHere, caller: Operator) -> ShownRule:
    _rule(name, given, caller)
    return ShownRule.of(rules_of(given.stores).remove(name))


@routes.post("/{name}/pause", summary="Let a rule rest")
def pause_rule(name: str, given: GivenHere, caller: Operator) -> ShownRule:
    _rule(name, given, caller)
    return ShownRule.of(rules_of(given.stores).pause(name))


@routes.post("/{name}/resume", summary="Let a rule count again, from now on")
def resume_rule(name: str, given: GivenHere, caller: Operator) -> ShownRule:
    _rule(name, given, caller)
    return ShownRule.of(rules_of(given.stores).resume(name, ends_of(given.stores.record)))


def _tested(to_test: RuleToTest, given: Given, caller: Caller) -> BackTestRequest:
    """What is asked of the service that answers.

    Raises:
        BadRule, NoSuchRule, NoSuchStream, TimeError, RangeTooLong, StoreError
    """
    rule = _rule_to_test(to_test, given, caller)
    named = tuple(dict.fromkeys(to_test.streams)) or rule.streams
    request = BackTestRequest(
        text=rule.sentence,
        streams=caller.within(named, given.stores.registry.names),
        since=to_test.since,
        until=to_test.until,
        asked_at=given.now_at(),
        rule=rule,
    )
    length_s = sum(span.duration_s for span in spans_of(request, given.stores))
    if length_s > MOST_TESTED_S:
        raise RangeTooLong(length_s=length_s, most_s=MOST_TESTED_S)
    return request


def _rule_to_test(to_test: RuleToTest, given: Given, caller: Caller) -> Rule:
    if to_test.rule is not None and to_test.sentence is None:
        return _rule(to_test.rule, given, caller)
    if to_test.rule is not None or to_test.sentence is None:
        raise BadRule("either a rule or a sentence is tested")
    return rule_of(
        name="test",
        sentence=to_test.sentence,
        for_ns=round(to_test.for_s * NS_PER_S),
        cooldown_ns=round(to_test.cooldown_s * NS_PER_S),
        threshold=to_test.threshold,
        schedule=to_test.schedule,
        added_at=given.now_at(),
    )


def _rule(name: str, given: Given, caller: Caller) -> Rule:
    """A rule that the caller may see, or `NoSuchRule`."""
    rule = rules_of(given.stores).rule(name)
    if not _may_see(caller, rule):
        raise NoSuchRule(name, known=())
    return rule


def _may_see(caller: Caller, rule: Rule) -> bool:
    if caller.streams is None:
        return True
    return bool(rule.streams) and all(caller.may_see(stream_id) for stream_id in rule.streams)
