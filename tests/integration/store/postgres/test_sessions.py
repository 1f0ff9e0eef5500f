"""A pooler that keeps no sessions is found before anything is done by it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.embedded.folder import server_user
from cli.process.child import Child
from cli.schema import check_release, migrate
from store.postgres.sessions import SessionsNotKept, check_sessions
from tests.support.servers import eventually, free_port, make_folder

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


async def test_a_server_keeps_sessions(fresh_database_url: str) -> None:
    await check_sessions(fresh_database_url)


@pytest.fixture(params=["session", "transaction", "statement"])
def pooled(request: pytest.FixtureRequest, fresh_database_url: str) -> Iterator[tuple[str, str]]:
    """The mode, and an address through PgBouncer."""
    if PROGRAM is None:
        pytest.skip("pgbouncer is not installed")
    folder, port, user = make_folder(), free_port(), server_user()
    server = conninfo_to_dict(fresh_database_url)
    file = folder / "pgbouncer.ini"
    file.write_text(
        f"""
[databases]
* = host={server["host"]} port={server.get("port", 5432)} user={server["user"]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {request.param}
"""
    )
    if user:
        os.chown(file, user.uid, user.gid)
    with (folder / "output").open("wb") as output:
        child = Child("pgbouncer", [PROGRAM, file], user=user, output=output, cwd=Path("/"))
    try:
        eventually(lambda: "process up" in (folder / "output").read_text(), "PgBouncer listens")
        url = make_conninfo(fresh_database_url, host="127.0.0.1", port=port)
        yield request.param, url
    finally:
        child.stop(timeout=10)
        shutil.rmtree(folder)


async def test_a_pooler_has_to_keep_them(pooled: tuple[str, str]) -> None:
    mode, url = pooled
    if mode == "session":
        await migrate(url)
        await check_release(url)
        return
    for _ in range(3):
        for command in (migrate, check_release):
            with pytest.raises(SessionsNotKept):
                await command(url)
