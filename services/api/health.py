"""Whether the process lives and works, for anybody; what it measured, for operators."""

from fastapi import APIRouter
from starlette.responses import Response

from services.api.access import Operator
from services.api.errors import NotAllowed
from services.api.given import GivenHere
from services.health import LIVE, METRICS, PROMETHEUS, READY, Reply

routes = APIRouter(tags=["health"])


@routes.get(LIVE, summary="200 while the process runs")
def live(given: GivenHere) -> Response:
    return _response(given.face.reply("GET", LIVE))


@routes.get(READY, summary="200 when it can work, else 503 with the reason")
def ready(given: GivenHere) -> Response:
    return _response(given.face.reply("GET", READY))


@routes.get(
    METRICS,
    summary="What was measured, in Prometheus' text format",
    response_class=Response,
    responses={200: {"content": {PROMETHEUS.partition(";")[0]: {}}}},
)
def metrics(given: GivenHere, caller: Operator) -> Response:
    if caller.streams is not None:
        raise NotAllowed("read what was measured of all streams")
    return _response(given.face.reply("GET", METRICS))


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, media_type=reply.content_type)
