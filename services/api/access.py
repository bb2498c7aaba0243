"""Who asks, and what they may: each route names the role that it takes.

Where no key was made, whoever comes from this machine may do anything, and nobody else anything.
A request must then also be addressed to this machine, so that a page of the web cannot have a
browser send one (DNS rebinding).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.api.errors import KeyRefused, NotAllowed
from services.api.given import Given, GivenHere
from services.api.keys import Grant, Role
from services.errors import NoSuchStream

ANYBODY = "anybody"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `streams`: with which they may deal; None is all."""

    name: str
    role: Role
    streams: tuple[str, ...] | None

    def may_see(self, stream_id: str) -> bool:
        return self.streams is None or stream_id in self.streams

    def must_see(self, stream_id: str) -> None:
        """Raises:
        NoSuchStream: the caller is not told whether there is one.
        """
        if not self.may_see(stream_id):
            raise NoSuchStream(stream_id, known=self.streams or ())

    def within(
        self, names: tuple[str, ...], known: Callable[[], tuple[str, ...]]
    ) -> tuple[str, ...]:
        """The streams that a question is about: those it names, or all that the caller may see.

        Never none, which would mean all streams, unless the caller may see all.

        Raises:
            NoSuchStream: one of them is not there for the caller, or none is.
        """
        for name in names:
            self.must_see(name)
        if names or self.streams is None:
            return names
        visible = tuple(name for name in known() if self.may_see(name))
        if not visible:
            raise NoSuchStream("", known=())
        return visible


async def caller_of(request: Request, given: GivenHere) -> Caller:
    """Raises:
    KeyRefused, TooManyRequests, KeysDamaged
    """
    caller = known_caller(request, given)
    given.limiter.take(caller.name)
    return caller


def allowed(role: Role) -> Callable[..., Awaitable[Caller]]:
    """What a route depends on that takes at least this role."""

    async def checked(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        if not caller.role.includes(role):
            raise NotAllowed(f"do what takes the role {role}")
        return caller

    return checked


Viewer = Annotated[Caller, Depends(allowed(Role.VIEWER))]
Operator = Annotated[Caller, Depends(allowed(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(allowed(Role.ADMIN))]


def known_caller(request: Request, given: Given) -> Caller:
    """Who sends a request, by the keys as they are now.

    Raises:
        KeyRefused, KeysDamaged
    """
    if given.is_local and not given.keys.grants():
        if not _is_local(request.headers.get("host", "")):
            raise KeyRefused
        return Caller(ANYBODY, Role.ADMIN, None)
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    grant: Grant | None = given.keys.find(key.strip()) if scheme.lower() == "bearer" else None
    if grant is None:
        raise KeyRefused
    return Caller(grant.name, grant.role, grant.streams)


def _is_local(host: str) -> bool:
    name = host.rpartition("]")[0].removeprefix("[") or host.partition(":")[0]
    return name.lower() in LOOPBACK
