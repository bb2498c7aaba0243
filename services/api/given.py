"""What the routes work with. It is made once, with the app."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from services.api.keys import KeyRing
from services.api.limits import RateLimiter
from services.health import Face
from services.wiring import Stores


@dataclass(frozen=True, slots=True)
class Given:
    """`is_local`: only this machine is listened to. `stop`: whatever goes on is to end."""

    stores: Stores
    keys: KeyRing
    limiter: RateLimiter
    face: Face
    is_local: bool
    now_at: Callable[[], datetime]
    stop: threading.Event


async def given_of(request: Request) -> Given:
    given = request.app.state.given
    assert isinstance(given, Given)
    return given


GivenHere = Annotated[Given, Depends(given_of)]
