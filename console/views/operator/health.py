"""How the service is: what ``/readyz`` knows, each follower with its checkpoint, and what this project has behind the log."""

from importlib.metadata import version
from platform import python_version
from typing import Any, NamedTuple

from litestar import Request, Response, get

from api.http.requests import project_of
from api.server.health import Readiness
from api.services import Services, services
from console.page import frame_of
from console.views.operator.parts import ADMIN, tab_page
from domain.errors import Unavailable
from projections.declared import PROJECTIONS
from projections.git.history import read_state
from store.postgres.connection import Connection
from store.tables import checkpoints, usage, webhooks
from store.tables.readiness import Failure, log_end

# What each follower keeps, beside the projections, which say so by their names.
KEEPS = {
    "cache": "the cache in Redis",
    "streams": "the streams in Redis",
    "webhooks": "notices what to send to webhooks",
}


class Follower(NamedTuple):
    """``position``: its checkpoint, None while it has none; ``lag``: the events that it has not seen yet."""

    name: str
    keeps: str
    position: int | None
    lag: int
    parked: int
    failure: Failure | None


@get("/health", opt={"scope": ADMIN})
async def health(request: Request[Any, Any, Any]) -> Response[Any]:
    served, project_id = services(request), project_of(request)
    readiness = await served.health.readiness()
    async with served.pool.connection() as conn:
        at = await checkpoints.positions(conn)
        end = await log_end(conn)
        repository = await read_state(conn, project_id)
        counted_at = await usage.added_at(conn)
        sent = []
        if frame_of(request).may("webhook:read"):
            sent = await webhooks.list_all(conn, project_id)
    outage = served.reads.outage
    return await tab_page(
        request,
        "operator-health.html",
        "health",
        readiness=readiness,
        followers=_followers(readiness, at),
        end=end,
        version=version("skald"),
        python=python_version(),
        replicas=await _replicas(served),
        stale_reads=None if outage is None else outage.longest,
        repository=repository,
        counted_at=counted_at,
        webhooks=sent,
        has_webhooks=served.sealer is not None,
    )


def _followers(readiness: Readiness, at: Any) -> list[Follower]:
    keeps = {one.name: one.about for one in PROJECTIONS} | KEEPS
    return [
        Follower(
            name,
            keeps.get(name, ""),
            at.get(name),
            lag,
            readiness.parked.get(name, 0),
            readiness.failing.get(name),
        )
        for name, lag in readiness.followers.items()
    ]


async def _replicas(served: Services) -> str:
    """In words."""
    if not served.reads.replicated:
        return "none"

    async def look(conn: Connection) -> bool:
        await conn.execute("SELECT")
        return True

    try:
        found = await served.reads.ask_replica(look)
    except Unavailable:
        found = None
    return "answer" if found else "lag, or do not answer: reads go to the primary"


HANDLERS = (health,)
