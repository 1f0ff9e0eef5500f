"""A read-only database, a missing right or a full disk made a 500 of every change, and `/readyz` said that all is well."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from store.errors import AppenderBusy, StorageFull, trouble
from store.log.appender import Appender
from store.log.log import LOCK
from tests.support import invariants
from tests.support.histories import created
from tests.support.service import MakeService, Service

ROLE = "skald_no_superuser"
FAIL = """
CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file "base/1": secret' USING ERRCODE = TG_ARGV[0]; END $$
"""


class Fault(NamedTuple):
    begin: str
    end: str
    reason: str
    writes: str
    code: str


def raised(code: str, reason: str) -> Fault:
    """The server says so, as it does for a disk that is full."""
    begin = f"CREATE TRIGGER fault BEFORE INSERT ON events EXECUTE FUNCTION fail('{code}')"
    return Fault(begin, "DROP TRIGGER fault ON events", reason, "failing", code)


READ_ONLY = Fault(
    "ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on",
    "ALTER ROLE {role} IN DATABASE {database} RESET default_transaction_read_only",
    "read-only",
    "read-only",
    "25006",
)
NO_RIGHT = Fault(
    "REVOKE INSERT ON events FROM {role}",
    "GRANT INSERT ON events TO {role}",
    "right",
    "not permitted",
    "42501",
)
ELSEWHERE = Fault(
    "REVOKE INSERT ON versions FROM {role}", "GRANT INSERT ON versions TO {role}", "right", "failing", "42501"
)
DISK_FULL = raised("53100", "disk is full")
REFUSED = {("server_error", "unavailable"), ("server_error", "storage_full")}
FAULTS = (READ_ONLY, NO_RIGHT, ELSEWHERE, DISK_FULL, raised("53200", "memory"), raised("55P03", "lock"))


class Database:
    """A database whose service is no superuser."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.run("CREATE ROLE {role} LOGIN", missing_ok=True)
        self.run(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}")
        self.run(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {ROLE}")
        self.run(FAIL)
        self.url = make_conninfo(owner, user=ROLE)

    def run(self, text: str, *, missing_ok: bool = False) -> None:
        with psycopg.connect(self.owner, autocommit=True) as conn:
            try:
                names = {"role": sql.Identifier(ROLE), "database": sql.Identifier(conn.info.dbname)}
                conn.execute(sql.SQL(text).format(**names))
            except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                # Roles are those of the server, which the tests share.
                assert missing_ok

    def reconnect(self) -> None:
        """What a role is told holds for new connections."""
        self.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}' "
            "AND datname = current_database()"
        )

    @contextmanager
    def having(self, fault: Fault) -> Iterator[None]:
        self.run(fault.begin)
        if fault is READ_ONLY:
            self.reconnect()
        try:
            yield
        finally:
            self.run(fault.end)


@pytest.fixture
def database(fresh_database_url: str) -> Database:
    return Database(fresh_database_url)


def create(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("llm_skills/", json={"name": name, "description": "d", "body": "b"})


def becomes(service: Service, *wanted: object) -> bool:
    """Whether the readiness is that in a moment: its connection may have been ended, or be one that may only read."""
    for _ in range(50):
        answer = httpx.get(f"{service.base_url}/readyz", timeout=10)
        if (answer.status_code, answer.json()["status"], answer.json()["writes"]) == wanted:
            return True
        time.sleep(0.05)
    return False


def test_changes_are_503_with_the_reason_and_all_is_well_again(
    make_service: MakeService, database: Database
) -> None:
    service = make_service(database_url=database.url)
    with service.client() as client:
        assert create(client, "ant").status_code == 201
        for number, fault in enumerate(FAULTS):
            with database.having(fault):
                for name in ("bee", "cow"):
                    refused = create(client, name)
                    for _ in range(100):
                        # The connections that were ended are replaced one by one.
                        if "cannot reach" not in refused.text:
                            break
                        refused = create(client, name)
                    assert refused.status_code == 503, (fault, refused.text)
                    error = refused.json()
                    assert fault.reason in error["detail"]
                    assert (error["type"], error["code"]) in REFUSED
                    assert "secret" not in refused.text
                    assert int(refused.headers["retry-after"]) > 0
                assert client.get("llm_skills/name/ant").status_code == 200
                assert client.get("llm_skills/").json()["count"] == number + 1
                assert becomes(service, 200, "degraded", fault.writes), fault
            made = create(client, f"skill-{number}")
            assert made.status_code == 201, (fault, made.text)
            assert becomes(service, 200, "ok", "ok"), fault
    assert "Traceback" not in service.output
    invariants.check(database.owner)


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
async def test_a_timeout_of_the_server_fails_the_callers_alone(database: Database, setting: str) -> None:
    url = make_conninfo(database.url, options=f"-c {setting}=300")
    code = {"statement_timeout": "57014", "lock_timeout": "55P03"}[setting]
    appender = Appender(url)
    await appender.start()
    try:
        async with await psycopg.AsyncConnection.connect(database.owner) as holder:
            await holder.execute(LOCK)
            assert await failures(appender, 3) == [code] * 3
            assert appender.failing(60) is not None
        assert (await appender.append(created("ant")[1])).last == 1
        assert appender.failing(60) is None
    finally:
        await appender.close()


@pytest.mark.parametrize("fault", [READ_ONLY, NO_RIGHT, DISK_FULL])
async def test_a_whole_batch_hears_the_reason(database: Database, fault: Fault) -> None:
    appender = Appender(database.url)
    await appender.start()
    try:
        with database.having(fault):
            assert await failures(appender, 20) == [fault.code] * 20
            assert appender.running
        assert (await appender.append(created("ant")[1])).last == 1
    finally:
        await appender.close()


async def test_a_database_without_connections_says_so(database: Database) -> None:
    name = conninfo_to_dict(database.owner)["dbname"]
    appender = Appender(database.url, timeout=0.5)
    await appender.start()
    try:
        database.run(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
        database.reconnect()
        with pytest.raises(AppenderBusy) as caught:
            await appender.append(created("ant")[1])
        found = trouble(caught.value)
        assert found is not None
        assert "no connection to spare" in found.reason
        database.run(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
        assert (await appender.append(created("bee")[1])).last == 1
    finally:
        await appender.close()


async def failures(appender: Appender, count: int) -> Sequence[str | None]:
    """The SQLSTATE that each of several callers hears."""
    commits = [created(f"skill-{number}")[1] for number in range(count)]
    heard = await asyncio.gather(*map(appender.append, commits), return_exceptions=True)
    assert not [error for error in heard if not isinstance(error, psycopg.Error | StorageFull)]
    return [error.sqlstate if isinstance(error, psycopg.Error) else DISK_FULL.code for error in heard]
