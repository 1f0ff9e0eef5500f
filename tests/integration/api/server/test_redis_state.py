"""/readyz says of a Redis that answers and takes no write what is the matter, and of one that is frozen within a second."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from api.app import MIGRATIONS
from api.server.health import Health, Readiness
from api.server.metrics import open_metrics
from projections.redis.client import open_redis
from store.postgres.pool import open_pool
from tests.support.redis_nodes import Node, until

Ask = Callable[[], Any]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with ExitStack() as stack:
        node = Node(tmp_path, "one")
        stack.callback(node.close)
        yield node


async def asked(url: str, node: Node, folder: Path) -> Readiness:
    pool = await open_pool(url, size=1)
    async with open_redis(f"redis://{node.address}", timeout=0.1) as redis:
        health = Health(pool=pool, redis=redis, migrations=MIGRATIONS, metrics=open_metrics(folder))
        started = monotonic()
        found = await health.readiness()
        assert monotonic() - started < 5, "a probe waits for no Redis"
    await pool.close()
    return found


def replica(node: Node) -> None:
    node.client.replicaof("127.0.0.1", node.port)


def full(node: Node) -> None:
    node.client.config_set("maxmemory", 1)


def without_replicas(node: Node) -> None:
    node.client.config_set("min-replicas-to-write", 1)


def of_others(node: Node) -> None:
    node.client.acl_setuser("default", enabled=True, nopass=True, commands=["+@read"], reset=True)


def frozen(node: Node) -> None:
    node.freeze()


def gone(node: Node) -> None:
    node.kill()


@pytest.mark.parametrize(
    ("happens", "state"),
    [
        (replica, "read-only (optional)"),
        (full, "full (optional)"),
        (without_replicas, "refusing (optional)"),
        (of_others, "refusing (optional)"),
        (frozen, "unavailable (optional)"),
        (gone, "unavailable (optional)"),
    ],
)
async def test_what_takes_no_write_is_named(
    fresh_database_url: str, node: Node, tmp_path: Path, happens: Callable[[Node], None], state: str
) -> None:
    assert (await asked(fresh_database_url, node, tmp_path / "before")).redis == "ok"
    happens(node)
    found = await asked(fresh_database_url, node, tmp_path / "after")
    assert (found.redis, found.status) == (state, "degraded")


async def test_a_connection_that_outlives_a_switch_behind_one_address_is_opened_again(node: Node) -> None:
    async with open_redis(f"redis://{node.address}", timeout=0.5) as redis:
        await redis.set("key", 1)
        before = await redis.client_id()
        node.client.replicaof("127.0.0.1", node.port)
        with pytest.raises(Exception, match="read only"):
            await redis.set("key", 2)
        node.client.replicaof("NO", "ONE")
        until(lambda: node.client.role()[0] == b"master", "it is still a replica")
        assert await redis.set("key", 3)
        assert await redis.client_id() != before
