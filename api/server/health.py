"""For operators and orchestrators: is the process alive, can it serve, and its numbers. No key is needed."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from litestar import Controller, Request, Response, get
from litestar.enums import MediaType
from litestar.openapi import ResponseSpec
from psycopg import Error as DatabaseError
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.cache.outage import Outage
from api.http.responses import REVALIDATE, Answer, json_answer, to_response
from api.server.metrics import CONTENT_TYPE, Metrics
from api.services import services
from projections.redis.client import write_probe
from store.log.appender import Appender
from store.postgres.pool import Limits, Pool
from store.postgres.room import Room
from store.tables.readiness import NONE, Failure, FollowerState, followers, missing_migrations, writes
from store.tables.webhooks import Totals, totals

logger = logging.getLogger(__name__)

DATABASE_TIMEOUT = 0.9  # seconds; a probe is answered within one, before its own time-out
# Else a server that is frozen would be waited for after the time-out, to cancel what it does.
PROBES = Limits(DATABASE_TIMEOUT)
REDIS_PATIENCE = 0.5

# How Redis takes a write, which cache, streams and rate limits need all three.
RedisState = Literal[
    "ok", "unavailable (optional)", "read-only (optional)", "full (optional)", "refusing (optional)", "off"
]

# Whether changes can be made: `failing` when the last append of this process failed just now.
Writes = Literal["ok", "read-only", "not permitted", "failing", "unknown"]

# `stale` while no primary can be reached and what replicas and caches hold is not too old yet.
Reads = Literal["ok", "stale", "unavailable"]
Database = Literal["ok", "unavailable", "migrations missing"]
FAILED_LATELY = 30.0  # seconds that a failed append counts: without further writes nothing would ever tell that all is well


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct):
    """`degraded` still serves: slower without Redis, which is optional; reads alone while `writes` is not `ok` or
    `storage` is `full`; with answers that stay right while a follower does not go on.

    `reads` is `stale` while there is no `database` and replicas and caches answer for it, as `SKALD_STALE_READS` allows; answers that
    are older than usual have `Warning: 110` and `Age`.

    `followers` counts the events that each has not seen yet. `failing` has those that do not go on: their lag, for how many
    seconds, and the last error. `parked` counts events that a follower could not take and has left out.
    """

    status: Literal["ok", "degraded", "unavailable"]
    database: Database
    writes: Writes
    redis: RedisState
    followers: dict[str, int]
    failing: dict[str, Failure]
    parked: dict[str, int]
    storage: Literal["ok", "full"] = "ok"
    reads: Reads = "ok"


class Health:
    """Looks at what the service leans on, by the connections of ``probes``; those of ``pool``, which requests use, are counted."""

    def __init__(
        self,
        *,
        pool: Pool,
        redis: "Redis | None",
        migrations: Sequence[Path],
        metrics: Metrics,
        probes: Pool | None = None,
        room: Room | None = None,
        switched_off: Collection[str] = (),
        appender: Appender | None = None,
        outage: Outage | None = None,
    ) -> None:
        self._pool = pool
        self._probes = probes or pool
        self._redis = redis
        self._migrations = migrations
        self._metrics = metrics
        self._room = room or Room()
        self._migrated = False
        # Followers that this service runs no more, whatever their last position was.
        self._switched_off = switched_off
        self._appender = appender
        self._outage = outage

    async def readiness(self) -> Readiness:
        """Ask database and Redis, both at once and neither for long."""
        (database, taken, states), redis = await asyncio.gather(self._ask_database(), self._ask_redis())
        failing = {name: state.failure for name, state in states.items() if state.failure is not None}
        status: Literal["ok", "degraded", "unavailable"] = "ok"
        # That none has ever run is said, and is how a service begins.
        stuck = failing.keys() - {NONE}
        reads = self._reads(database)
        if reads == "unavailable":
            status = "unavailable"
        elif (
            reads == "stale"
            or redis not in ("ok", "off")
            or stuck
            or taken != "ok"
            or not self._room.is_left()
        ):
            status = "degraded"
        storage: Literal["ok", "full"] = "ok" if self._room.is_left() else "full"
        return Readiness(
            status=status,
            database=database,
            writes=taken,
            redis=redis,
            followers={name: state.lag for name, state in states.items()},
            failing=failing,
            parked={name: state.parked for name, state in states.items() if state.parked},
            storage=storage,
            reads=reads,
        )

    def _reads(self, database: Database) -> Reads:
        if database == "ok":
            return "ok"
        bridged = database == "unavailable" and self._outage is not None and self._outage.bridged
        return "stale" if bridged else "unavailable"

    async def scrape(self) -> bytes:
        """The metrics of all processes of this host in Prometheus text format."""
        self._metrics.observe_pool(self._pool.get_stats())
        _, _, states = await self._ask_database()
        return self._metrics.exposition(states, await self._ask_webhooks())

    async def _ask_webhooks(self) -> Totals | None:
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT), self._probes.connection(DATABASE_TIMEOUT) as conn:
                return await totals(conn) if self._migrated else None
        except (DatabaseError, OSError, TimeoutError):
            return None  # which the line before says

    async def _ask_database(
        self,
    ) -> tuple[Database, Writes, dict[str, FollowerState]]:
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT), self._probes.connection(DATABASE_TIMEOUT) as conn:
                # Migrations are never taken back, so one look that finds all of them is enough.
                if not self._migrated:
                    self._migrated = not await missing_migrations(conn, self._migrations)
                if not self._migrated:
                    return "migrations missing", "unknown", {}
                found = await followers(conn)
                states = {name: found[name] for name in found if name not in self._switched_off}
                return "ok", self._seen(await writes(conn)), states
        except (DatabaseError, OSError, TimeoutError) as error:
            logger.warning("the database does not answer: %s", type(error).__name__)
            return "unavailable", "unknown", {}

    def _seen(self, found: Writes) -> Writes:
        """What the database says of writes, and when it says nothing against them, how the last one went."""
        failed = self._appender is not None and self._appender.failing(FAILED_LATELY) is not None
        return "failing" if found == "ok" and failed else found

    async def _ask_redis(self) -> RedisState:
        if self._redis is None:
            return "off"
        try:
            async with asyncio.timeout(REDIS_PATIENCE):
                await write_probe(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("Redis takes no write: %s", error or type(error).__name__)
            return redis_state(error)
        return "ok"


def redis_state(error: Exception) -> RedisState:
    """What the error of a write says of Redis."""
    match error:
        case ReadOnlyError():
            return "read-only (optional)"
        case OutOfMemoryError():
            return "full (optional)"
        case RedisConnectionError() | RedisTimeoutError() | OSError():
            return "unavailable (optional)"
    return "refusing (optional)"


class HealthController(Controller):
    """Probes."""

    tags = ("operations",)

    @get("/healthz", operation_id="healthz", summary="Is the process alive?")
    async def healthz(self) -> Response[Alive]:
        """Answers without looking at anything else."""
        return to_response(json_answer(msgspec.json.encode(Alive())))

    @get(
        "/readyz",
        operation_id="readyz",
        summary="Can it serve?",
        responses={503: ResponseSpec(Readiness, generate_examples=False, description="It cannot serve now.")},
    )
    async def readyz(self, request: Request[Any, Any, Any]) -> Response[Readiness]:
        """200 when the database answers and is migrated, else 503. Without Redis, and while only reading works, it is 200 and
        `degraded`.
        """
        readiness = await services(request).health.readiness()
        status = 503 if readiness.status == "unavailable" else 200
        return to_response(
            json_answer(msgspec.json.encode(readiness), status=status, cache_control=b"no-store")
        )

    @get("/metrics", operation_id="metrics", summary="Prometheus metrics", media_type=MediaType.TEXT)
    async def metrics(self, request: Request[Any, Any, Any]) -> Response[str]:
        """Of all API processes of this host together."""
        text = await services(request).health.scrape()
        return to_response(
            Answer(200, [(b"content-type", CONTENT_TYPE), (b"cache-control", REVALIDATE)], text)
        )
