"""Trials with Patroni, etcd, HAProxy and PgBouncer as Debian has them: ``python -m tests.cluster.patroni [ROUNDS]``.

Two nodes of PostgreSQL under Patroni with a synchronous standby, two API hosts that come by HAProxy, and clients that write all
the time. Printed is the longest time without an acknowledged write, from before the fault until it is over. In each trial
what was acknowledged is found, once, and `skald verify` is sound. Says what was skipped where a program is missing.
"""

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml

from cli.embedded.folder import server_user
from cli.process.child import Child
from cli.schema import migrate
from projections.rebuild.verify import verify
from tests.support.servers import ROOT, descendants, free_port, make_folder
from tests.support.service import Service
from tests.support.traffic import Traffic

POSTGRES = Path("/usr/lib/postgresql")
PAGE = (ROOT / "docs" / "several-hosts.md").read_text()
DCS: dict[str, Any] = yaml.safe_load(
    re.findall(r"^```yaml\n(bootstrap:.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
)["bootstrap"]["dcs"]
# Its `listen primary` and what stands before it; the part for API hosts has addresses of its own.
HAPROXY = re.findall(r"^```haproxy\n(.*?)^listen api", PAGE, re.MULTILINE | re.DOTALL)[0]
PROMISED = DCS["ttl"] + 5.0


def postgres_bin() -> Path | None:
    found = sorted(POSTGRES.glob("*/bin/postgres"))
    return found[-1].parent if found else None


def lacking() -> list[str]:
    programs = [name for name in ("etcd", "patroni", "haproxy", "pgbouncer") if not program(name)]
    return programs + ([] if postgres_bin() else ["postgresql"])


def program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


class Machines:
    """Two nodes, etcd and HAProxy; ``url`` is where HAProxy leads to the primary."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.user = server_user()
        if self.user:
            os.chown(folder, self.user.uid, self.user.gid)
        self.etcd, self.peer, self.port = (free_port() for _ in range(3))
        self.names = ("one", "two")
        self.rest = {name: free_port() for name in self.names}
        self.postgres = {name: free_port() for name in self.names}
        self.children: dict[str, Child] = {}

    @property
    def url(self) -> str:
        return self.url_of("skald")

    def url_of(self, database: str) -> str:
        return f"postgresql://skald:secret@127.0.0.1:{self.port}/{database}"

    def run(self, name: str, command: list[str], env: Mapping[str, str] | None = None) -> Child:
        with (self.folder / f"{name}.log").open("ab") as output:
            child = Child(
                name,
                [program(command[0]) or command[0], *command[1:]],
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(self.folder), **(env or {})},
                user=self.user,
                output=output,
                cwd=self.folder,
            )
        self.children[name] = child
        self._stack.callback(self.end, name)
        return child

    def end(self, name: str) -> None:
        """All of a machine at once."""
        child = self.children[name]
        pids = [child.pid, *descendants(child.pid)]
        with suppress(FileNotFoundError, ValueError, IndexError):
            # After a start by an earlier Patroni the server is no child of this one.
            pids.append(int((self.folder / name / "postmaster.pid").read_text().split()[0]))
        for pid in [*pids, *(below for one in pids for below in descendants(one))]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child.wait(10)

    def start(self) -> None:
        at = "http://127.0.0.1"
        self.run(
            "etcd",
            [
                "etcd",
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={at}:{self.etcd}",
                f"--advertise-client-urls={at}:{self.etcd}",
                f"--listen-peer-urls={at}:{self.peer}",
                f"--initial-advertise-peer-urls={at}:{self.peer}",
                f"--initial-cluster=default={at}:{self.peer}",
            ],
        )
        until(lambda: answers(f"{at}:{self.etcd}/health"), "etcd answers")
        for name in self.names:
            (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(self._patroni(name)))
            self.start_node(name)
        self._start_haproxy()
        until(lambda: self.leader() and self.standby_is_synchronous(), "a primary and its standby", 120)

    def start_node(self, name: str) -> None:
        self.run(name, ["patroni", str(self.folder / f"{name}.yaml")])

    def leader(self) -> str | None:
        for name in self.names:
            if answers(f"http://127.0.0.1:{self.rest[name]}/primary"):
                return name
        return None

    def standby_is_synchronous(self) -> bool:
        return any(answers(f"http://127.0.0.1:{self.rest[name]}/sync") for name in self.names)

    def _patroni(self, name: str) -> dict[str, object]:
        bin_dir = postgres_bin()
        assert bin_dir is not None
        return {
            "scope": "skald",
            "name": name,
            "restapi": {
                "listen": f"127.0.0.1:{self.rest[name]}",
                "connect_address": f"127.0.0.1:{self.rest[name]}",
            },
            "etcd3": {"host": f"127.0.0.1:{self.etcd}"},
            "bootstrap": {
                "dcs": DCS,
                "initdb": ["data-checksums", {"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
                "pg_hba": ["host all all 127.0.0.1/32 md5", "host replication all 127.0.0.1/32 md5"],
                "users": {"skald": {"password": "secret", "options": ["superuser"]}},
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.postgres[name]}",
                "connect_address": f"127.0.0.1:{self.postgres[name]}",
                "data_dir": str(self.folder / name),
                "bin_dir": str(bin_dir),
                "pgpass": str(self.folder / f"{name}.pgpass"),
                "parameters": {"unix_socket_directories": str(self.folder)},
                "authentication": {
                    "superuser": {"username": "postgres", "password": "secret"},
                    "replication": {"username": "replicator", "password": "secret"},
                    "rewind": {"username": "rewinder", "password": "secret"},
                },
            },
        }

    def _start_haproxy(self) -> None:
        text = HAPROXY.replace("bind :5432", f"bind 127.0.0.1:{self.port}")
        for name in self.names:
            line = rf"server {name} \S+ check port \d+"
            assert re.search(line, text), name
            text = re.sub(
                line, f"server {name} 127.0.0.1:{self.postgres[name]} check port {self.rest[name]}", text
            )
        (self.folder / "haproxy.cfg").write_text(text)
        self.run("haproxy", ["haproxy", "-db", "-f", str(self.folder / "haproxy.cfg")])


def answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, timeout=3).status_code == 200
    return False


def until(condition: Callable[[], object], what: str, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.2)


# The trials: each does the harm, and returns what puts the node back.


def kill_patroni(machines: Machines, name: str) -> Callable[[], None]:
    os.kill(machines.children[name].pid, signal.SIGKILL)
    return lambda: machines.start_node(name)


def kill_machine(machines: Machines, name: str) -> Callable[[], None]:
    machines.end(name)
    return lambda: machines.start_node(name)


def switch_over(machines: Machines, name: str) -> Callable[[], None]:
    other = next(one for one in machines.names if one != name)
    answer = httpx.post(
        f"http://127.0.0.1:{machines.rest[name]}/switchover",
        json={"leader": name, "candidate": other},
        timeout=60,
    )
    answer.raise_for_status()
    return lambda: None


TRIALS = {"switchover": switch_over, "machine gone": kill_machine, "Patroni killed alone": kill_patroni}


@contextmanager
def hosts(url: str, count: int = 2) -> Iterator[list[Service]]:
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            found.append(Service(url, None, workers=1, followers=True))
            stack.callback(found[-1].close)
            found[-1].start()
        yield found


async def trial(machines: Machines, services: list[Service], name: str) -> float:
    """Seconds without an acknowledged write."""
    traffic = Traffic(*services)
    async with traffic.running():
        await traffic.more(40)
        leader = machines.leader()
        assert leader is not None
        traffic.longest_pause = 0.0
        # In a thread the children would die with it.
        put_back = TRIALS[name](machines, leader)
        other = next(one for one in machines.names if one != leader)
        async with asyncio.timeout(120):
            while not await asyncio.to_thread(answers, f"http://127.0.0.1:{machines.rest[other]}/primary"):
                await asyncio.sleep(0.1)
        await traffic.more(40, timeout=60)
        pause = traffic.longest_pause
        put_back()
        await asyncio.to_thread(until, machines.standby_is_synchronous, "the other is a standby again", 180)
        await traffic.more(40)
    traffic.check()
    assert (await verify(machines.url)).sound
    return pause


async def pool(machines: Machines, mode: str, stack: ExitStack) -> None:
    """By PgBouncer in that mode."""
    port = free_port()
    (machines.folder / "users.txt").write_text('"skald" "secret"\n')
    (machines.folder / f"pgbouncer-{mode}.ini").write_text(
        f"""
[databases]
skald = host=127.0.0.1 port={machines.port} dbname=skald
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = md5
auth_file = {machines.folder / "users.txt"}
pool_mode = {mode}
default_pool_size = 60
max_client_conn = 500
"""
    )
    machines.run(f"pgbouncer-{mode}", ["pgbouncer", str(machines.folder / f"pgbouncer-{mode}.ini")])
    await asyncio.sleep(1)
    url = f"postgresql://skald:secret@127.0.0.1:{port}/skald"
    with hosts(url, 1) as services:
        traffic = Traffic(*services)
        async with traffic.running():
            await traffic.more(100)
        traffic.check()


def main(rounds: int = 3) -> None:
    if missing := lacking():
        print(f"skipped: {', '.join(missing)} not installed")
        return
    folder = make_folder()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        machines = Machines(folder, stack)
        try:
            machines.start()
            until(lambda: made(machines), "the database is made")
            asyncio.run(migrate(machines.url))
            with hosts(machines.url) as services:
                for name in TRIALS:
                    pauses = [asyncio.run(trial(machines, services, name)) for _ in range(rounds)]
                    shown = ", ".join(f"{pause:.1f}" for pause in pauses)
                    print(f"{name}: no write for {shown} s (promised {PROMISED:.0f} s)", flush=True)
            asyncio.run(pool(machines, "session", stack))
            print("PgBouncer, session: well", flush=True)
        except BaseException:
            keep = Path("patroni-logs")
            shutil.rmtree(keep, ignore_errors=True)
            keep.mkdir()
            for log in folder.glob("*.log"):
                shutil.copy(log, keep)
            print(f"logs in {keep.absolute()}")
            raise


def made(machines: Machines) -> bool:
    with suppress(psycopg.Error), psycopg.connect(machines.url_of("postgres"), autocommit=True) as conn:
        conn.execute("CREATE DATABASE skald")
        return True
    return False


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
