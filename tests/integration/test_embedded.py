"""The embedded servers: start, stop, crash and start again, on the real programs."""

import psycopg
import redis

from tests.servers import StartServers


def test_the_shared_database_has_the_schema(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT count(*) FROM schema_migrations").fetchone()
    assert row is not None
    assert row[0] >= 1


def test_the_shared_cache_answers(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
