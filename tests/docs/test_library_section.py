"""The program of docs/subscribe.md for the eventsourcing library runs as it stands there, is killed, and counts each event once."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.servers import eventually
from tests.support.service import MakeService

PAGE = Path(__file__).parents[2] / "docs" / "subscribe.md"
SECTION = PAGE.read_text().partition("## With the eventsourcing library")[2]
SQL, SETTINGS, PROGRAM = (
    re.findall(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL) for kind in ("sql", "sh", "python")
)
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def database(fresh_database_url: str) -> Iterator[Connection]:
    """The database of the service, by its owner, with the role and schema of the page."""
    with psycopg.connect(fresh_database_url, autocommit=True) as conn:
        [statements] = SQL
        conn.execute(statements)
        try:
            yield conn
        finally:
            conn.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'follower'"
            )
            conn.execute("DROP OWNED BY follower")
            conn.execute("DROP ROLE follower")


def settings(url: str) -> str:
    """The page's, with the address of the test's server in place of its own."""
    text = str(SETTINGS[0])
    server = conninfo_to_dict(url)
    for shown, real in (
        ("postgresql://follower:change-me@localhost:5432/skald", make_conninfo(url, user="follower")),
        ("POSTGRES_HOST=localhost", f"POSTGRES_HOST={server['host']}"),
        ("POSTGRES_PORT=5432", f"POSTGRES_PORT={server.get('port', 5432)}"),
        ("POSTGRES_DBNAME=skald", f"POSTGRES_DBNAME={server['dbname']}"),
    ):
        assert shown in text
        text = text.replace(shown, shlex.quote(real))
    return text


class Follower:
    """The program in a folder of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        [program] = PROGRAM
        (folder / "counts.py").write_text(program)
        self._command = f"{settings(url)}\nexec {shlex.quote(sys.executable)} counts.py"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                ["sh", "-c", self._command],
                cwd=self._folder,
                env={"PATH": os.environ["PATH"]},
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def output(self) -> str:
        return (self._folder / "output").read_text()


@contextlib.contextmanager
def follower(folder: Path, url: str) -> Iterator[Follower]:
    made = Follower(folder, url)
    try:
        yield made
    finally:
        made.kill()


class Writer:
    """Publishes over HTTP; ``acknowledged`` are the versions of each name."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.acknowledged: Counter[str] = Counter()

    def create(self, *names: str) -> None:
        for name in names:
            self._send("POST", "llm_skills/", {"name": name, "description": "d", "body": "# One\n"})
            self.acknowledged[name] += 1

    def create_prompt(self, name: str) -> None:
        self._send("POST", "llm_prompts/", {"name": name, "prompt": "x"})
        self.acknowledged[name] += 1

    def publish(self, *names: str) -> None:
        for name in names:
            base = self.acknowledged[name]
            self._send("PATCH", f"llm_skills/name/{name}/", {"base_version": base, "body": f"# {base}\n"})
            self.acknowledged[name] += 1

    def archive(self, name: str) -> None:
        self._send("POST", f"llm_skills/name/{name}/archive/", None)

    def _send(self, method: str, path: str, body: object) -> None:
        self._client.request(method, path, json=body).raise_for_status()


def counted(conn: Connection) -> dict[str, int]:
    try:
        return dict(conn.execute("SELECT name, versions FROM counts.publishes").fetchall())
    except psycopg.errors.UndefinedTable:
        return {}


def is_waiting_for_a_lock(conn: Connection) -> bool:
    found = conn.execute(
        "SELECT 1 FROM pg_stat_activity WHERE usename = 'follower' AND wait_event_type = 'Lock'"
    )
    return found.fetchone() is not None


def test_a_killed_program_misses_nothing_and_counts_nothing_twice(
    make_service: MakeService, fresh_database_url: str, database: Connection, tmp_path: Path
) -> None:
    service = make_service(database_url=fresh_database_url)
    names = [f"skill-{number}" for number in range(5)]
    with service.client(service.make_key(["*"])) as client, follower(tmp_path, fresh_database_url) as program:
        writer = Writer(client)

        def all_counted() -> None:
            eventually(
                lambda: counted(database) == writer.acknowledged,
                f"{writer.acknowledged}\n{program.output}",
                timeout=30,
            )

        writer.create(*names)
        program.start()
        writer.publish(*names)
        writer.create_prompt("prompt-0")
        all_counted()

        # A row that another transaction holds stops the program in the middle of an event, two further ones behind it.
        with psycopg.connect(fresh_database_url) as holder:
            holder.execute("SELECT FROM counts.publishes WHERE name = 'skill-2' FOR UPDATE")
            writer.publish(*names)
            eventually(lambda: is_waiting_for_a_lock(database), "the program is in the middle of an event")
            program.kill()
        writer.archive("skill-4")
        writer.create("skill-5")
        writer.publish("skill-5", "skill-0")
        assert counted(database) != writer.acknowledged

        program.start()
        writer.publish("skill-1")
        all_counted()

        # What it needs is what the page grants.
        with (
            psycopg.connect(make_conninfo(fresh_database_url, user="follower")) as conn,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            conn.execute("SELECT FROM users")
