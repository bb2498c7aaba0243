"""Measure requests: how many there were, how they ended, and how long their replies took."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER = "other"  # routes and methods that there are not, which clients could name without end


class Measured:
    """Tells the metrics of the process of each request, by its route and not by its path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 500  # what is told where nothing came

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            method, route = scope["method"], scope.get("route")
            scope["app"].state.given.face.metrics.requested(
                OTHER if route is None else route.path,
                method if method in METHODS else OTHER,
                status,
                seconds=time.perf_counter() - began_s,
            )
