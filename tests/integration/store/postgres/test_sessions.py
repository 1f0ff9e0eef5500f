"""A pooler that keeps no sessions is found before anything is done by it."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.embedded.folder import server_user
from cli.errors import Failure
from cli.operator.operate import config
from cli.process.child import Child
from cli.schema import check_release, check_replicas, migrate
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
        for command in (migrate, check_release, check_replicas):
            with pytest.raises(SessionsNotKept):
                await command(url)


@pytest.mark.parametrize("name", ["SKALD_DATABASE_URL", "SKALD_READ_DATABASE_URL"])
def test_the_settings_say_which_address_leads_to_one_that_does_not(
    pooled: tuple[str, str], name: str
) -> None:
    mode, url = pooled
    shown = CliRunner().invoke(config, ["--json"], env={name: url}, standalone_mode=False)
    [*_, last] = shown.stdout.splitlines()
    problems = json.loads(last)["problems"]
    if mode == "session":
        assert problems == []
        assert shown.exception is None
    else:
        [problem] = problems
        assert problem.startswith(f"{name}: the database is behind a pooler")
        assert problem.endswith(f"or let {name} lead past it")
        assert isinstance(shown.exception, Failure)


async def test_replicas_that_are_away_hold_up_no_start(
    fresh_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await check_replicas(make_conninfo(fresh_database_url, host="127.0.0.1", port=free_port()))
    assert "no replica answers" in capsys.readouterr().err
