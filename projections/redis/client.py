"""The client of Redis by its address: of one server, or of the primary that Sentinels name."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError

logger = logging.getLogger(__name__)

ONE = ("redis://", "rediss://", "unix://")
SENTINEL = ("redis+sentinel://", "rediss+sentinel://")
CLUSTER = ("redis+cluster://", "rediss+cluster://", "redis-cluster://", "rediss-cluster://")
FORMS = (
    "redis://, rediss:// or unix://, or for Sentinel redis+sentinel://host1,host2,host3/service "
    "(rediss+sentinel:// with TLS)"
)
SENTINEL_PORT = 26379
# Parameters of the address that are of the Sentinels; all others are of the servers, those of TLS of both.
SENTINEL_USER, SENTINEL_PASSWORD = "sentinel_username", "sentinel_password"

PROBE = "skald:probe"
PROBE_TTL = 60  # seconds

LOOK_EVERY = 1.0  # seconds between two questions to the Sentinels; requests never wait for one
SENTINEL_TIMEOUT = 1.0  # seconds; then the next Sentinel is asked
# A connection that has outlived a switch of servers behind one address (a proxy, a service) ends at what it is refused.
REOPEN = Retry(NoBackoff(), 1, supported_errors=(ReadOnlyError,))
NEVER = Retry(NoBackoff(), 0)


class Address(NamedTuple):
    """``hosts``: of the Sentinels, none for one server, which ``options`` name. ``options`` are those of connections."""

    options: dict[str, Any]
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_options: dict[str, Any] = {}


def parse(url: str) -> Address:
    """Raises ValueError with what would be right, and never with a part that may be a password."""
    if url.startswith(ONE):
        if "," in urlsplit(url).netloc.rpartition("@")[2]:
            raise ValueError("it names several hosts: that takes redis+sentinel://host1,host2,host3/service")
        return Address(dict(parse_url(url)))
    if url.startswith(SENTINEL):
        return _sentinel(url)
    if url.startswith(CLUSTER):
        raise ValueError(
            "Redis Cluster cannot be used: what is kept there has to be on one node. Name one primary, by Sentinels or "
            "behind one address"
        )
    raise ValueError(f"it must start with {FORMS}")


def check(url: str) -> None:
    """Raises ValueError when no connection can be made of an address, without making any."""
    try:
        client, _ = _client(url, {})
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except RedisError as error:
        raise ValueError(str(error)) from None
    except TypeError as error:
        # ... got an unexpected keyword argument 'timeout'
        raise ValueError(f"it has a parameter that is unknown: {str(error).rpartition(' ')[2]}") from None


@asynccontextmanager
async def open_redis(url: str, *, timeout: float, max_connections: int | None = None) -> AsyncIterator[Redis]:
    """A client whose connections and answers take ``timeout`` seconds at most each. It connects when it is used.

    It does not try again by itself: what uses it does, or goes on without.
    """
    limits: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    if max_connections is not None:
        limits["max_connections"] = max_connections
    client, pool = _client(url, limits)
    if pool is None:
        try:
            yield client
        finally:
            await client.aclose()
        return
    stop = asyncio.Event()
    watch = asyncio.create_task(pool.watch(stop), name="redis-sentinel")
    try:
        yield client
    finally:
        # Not cancelled: the client of Redis may lose that, by the wait_for of Python 3.11.
        stop.set()
        await watch
        await client.aclose()
        await pool.sentinel_manager.aclose()


async def write_probe(redis: Redis) -> None:
    """Write a little, as cache, streams and rate limits do. Raises RedisError when Redis is away or takes no write."""
    await redis.set(PROBE, 1, ex=PROBE_TTL)


class PrimaryPool(SentinelConnectionPool):
    """Connections go where the Sentinels last said that the primary is; ``watch`` asks them, so that no request waits for one.

    Those of an earlier primary are closed, also when it goes on answering, cut off from the Sentinels.
    """

    async def get_master_address(self) -> Any:
        if self.master_address is None:
            await super().get_master_address()  # type: ignore[no-untyped-call]
        return self.master_address

    async def watch(self, stop: asyncio.Event) -> None:
        found: Any = None
        while not stop.is_set():
            try:
                await super().get_master_address()  # type: ignore[no-untyped-call]
            except (RedisError, OSError) as error:
                logger.warning("the Sentinels name no primary of %s: %s", self.service_name, error)
            else:
                if found is not None and found != self.master_address:
                    logger.warning("another Redis is primary of %s now", self.service_name)
                found = self.master_address
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await stop.wait()


def _client(url: str, limits: dict[str, Any]) -> tuple[Redis, PrimaryPool | None]:
    address = parse(url)
    if not address.hosts:
        return Redis.from_url(url, **limits, retry=REOPEN), None
    sentinel = Sentinel(address.hosts, sentinel_kwargs=address.sentinel_options)  # type: ignore[no-untyped-call]
    # What the address says goes over the limits, as it does for one server.
    pool = PrimaryPool(address.service, sentinel, **{**limits, **address.options})  # type: ignore[no-untyped-call]
    return Redis.from_pool(pool), pool


def _sentinel(url: str) -> Address:
    split = urlsplit(url)
    login, _, hosts = split.netloc.rpartition("@")
    service, _, database = split.path.strip("/").partition("/")
    if not service:
        raise ValueError("the name of the service is missing: redis+sentinel://host1,host2,host3/service")
    if database and not database.isdecimal():
        raise ValueError("what follows the service must be the number of a database: /service/0")
    scheme = "rediss" if split.scheme.startswith("rediss") else "redis"
    options: dict[str, Any] = dict(
        parse_url(f"{scheme}://{login}{'@' * bool(login)}host/{database}?{split.query}")
    )
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    sentinel_options = {
        "socket_timeout": SENTINEL_TIMEOUT,
        "socket_connect_timeout": SENTINEL_TIMEOUT,
        "retry": NEVER,
        "username": options.pop(SENTINEL_USER, None),
        "password": options.pop(SENTINEL_PASSWORD, None),
        **{name: value for name, value in options.items() if name.startswith("ssl_")},
    }
    if scheme == "rediss":
        options["ssl"] = sentinel_options["ssl"] = True
    return Address(options, tuple(_host(part) for part in hosts.split(",")), service, sentinel_options)


def _host(text: str) -> tuple[str, int]:
    try:
        split = urlsplit(f"//{text}")
        port = split.port
    except ValueError:
        raise ValueError(f"{text!r} is no host of a Sentinel such as host or host:26379") from None
    if not split.hostname:
        raise ValueError("a host of a Sentinel is missing: redis+sentinel://host1,host2,host3/service")
    return split.hostname, port or SENTINEL_PORT
