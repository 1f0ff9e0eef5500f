"""A synchronous standby that is gone holds writes, not the start of a host, nor a check of what is there."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psycopg
import pytest

from cli.schema import migrate
from cli.server import first_key
from projections.rebuild.verify import verify
from tests.support.servers import ROOT, StartServers, eventually, free_port

SOON = 30.0  # seconds; a wait for a standby has no end


@pytest.fixture
def lonely(private_servers: StartServers, tmp_path: Path) -> str:
    """The address of a migrated database with a key, whose writes wait for a standby that never comes."""
    postgres = private_servers(cache=False).postgres
    assert postgres is not None
    asyncio.run(migrate(postgres.url))
    asyncio.run(first_key.ensure(postgres.url, tmp_path / "first-key", embedded=False))
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET synchronous_standby_names = 'gone'")
        conn.execute("SELECT pg_reload_conf()")
        eventually(
            lambda: conn.execute("SHOW synchronous_standby_names").fetchone() == ("gone",), "it waits", 10
        )
    return str(postgres.url)


async def test_a_host_prepares_its_start(lonely: str, tmp_path: Path) -> None:
    async with asyncio.timeout(SOON):
        assert await migrate(lonely) == []
        assert await first_key.ensure(lonely, tmp_path / "another", embedded=False) is None


async def test_a_check_ends(lonely: str) -> None:
    async with asyncio.timeout(SOON):
        assert (await verify(lonely)).sound


async def test_a_start_that_waits_is_ended_by_a_signal(lonely: str, tmp_path: Path) -> None:
    with psycopg.connect(lonely) as conn:
        # Another host migrates.
        conn.execute("LOCK TABLE schema_migrations")
        serve = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", "serve", "--no-worker",
            cwd=ROOT,
            env={
                "PATH": os.defpath, "SKALD_DATABASE_URL": lonely, "SKALD_REDIS_URL": "redis://127.0.0.1:1",
                "SKALD_DATA_DIR": str(tmp_path / "data"), "SKALD_PORT": str(free_port()),
            },
        )  # fmt: skip
        try:
            async with asyncio.timeout(SOON):
                while not (tmp_path / "data" / "lock").exists():
                    await asyncio.sleep(0.05)
                # Until it waits for the table.
                waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                while conn.execute(waiting).fetchone() == (0,):
                    await asyncio.sleep(0.05)
                serve.send_signal(signal.SIGTERM)
                assert await serve.wait() == 0
        finally:
            if serve.returncode is None:
                serve.kill()
            # A commit would wait for the standby, too.
            conn.rollback()
