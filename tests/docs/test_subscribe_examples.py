"""The programs of docs/subscribe.md run as they stand there, are killed, and miss nothing."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import redis

from tests.support.servers import eventually, free_port
from tests.support.service import MakeService, Service

PAGE = Path(__file__).parents[2] / "docs" / "subscribe.md"
# What follows is tests/docs/test_library_section.py's.
WAYS = PAGE.read_text().partition("## With the eventsourcing library")[0]
PROGRAMS = {
    name: block for block, name in re.findall(r'```python\n("""([a-z_]+\.py)""".*?)```', WAYS, re.DOTALL)
}


class Consumers:
    """The programs in one folder, each with its database."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = {"PATH": os.environ["PATH"], **env}
        self._running: list[subprocess.Popen[bytes]] = []
        for name, text in PROGRAMS.items():
            (folder / name).write_text(text)

    def start(self) -> None:
        for name in PROGRAMS:
            with (self._folder / f"{name}.log").open("ab") as output:
                self._running.append(
                    subprocess.Popen(
                        [sys.executable, name],
                        cwd=self._folder,
                        env=self._env,
                        stdout=output,
                        stderr=output,
                    )
                )

    def kill(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._running.clear()

    def seen(self, name: str) -> list[tuple[int, str, str]]:
        """What the program has stored, in the order of positions; each is there once by its key."""
        with contextlib.closing(sqlite3.connect(self._folder / name.replace(".py", ".db"))) as db:
            with contextlib.suppress(sqlite3.OperationalError):
                return db.execute("SELECT position, type, subject FROM changes ORDER BY position").fetchall()
            return []

    def output(self) -> str:
        return "\n".join(file.read_text() for file in self._folder.glob("*.log"))


@contextlib.contextmanager
def consumers(folder: Path, env: dict[str, str]) -> Iterator[Consumers]:
    made = Consumers(folder, env)
    try:
        yield made
    finally:
        made.kill()


def events(service: Service, key: str) -> list[tuple[int, str, str]]:
    with service.client(key) as client:
        found = client.get("events/", params={"limit": 1000}).raise_for_status().json()["results"]
    return [(event["position"], event["type"], event["subject"]) for event in found]


def write(client: httpx.Client, names: range) -> None:
    for number in names:
        name = f"skill-{number}"
        client.post(
            "llm_skills/", json={"name": name, "description": "d", "body": "# One\n"}
        ).raise_for_status()
        client.patch(
            f"llm_skills/name/{name}/", json={"base_version": 1, "body": "# Two\n"}
        ).raise_for_status()


def test_the_page_has_a_program_for_each_way() -> None:
    assert list(PROGRAMS) == ["poll.py", "sse.py", "redis_group.py", "receiver.py"]


def test_killed_consumers_miss_nothing_and_do_nothing_twice(
    make_service: MakeService, fresh_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    shared = redis.Redis.from_url(redis_url)
    shared.flushdb()
    service = make_service(
        database_url=fresh_database_url, followers=True, settings={"SKALD_WEBHOOK_ALLOW_PRIVATE": "1"}
    )
    key = service.make_key(["*"])
    port = free_port()
    with service.client(key) as client:
        hook = client.post("webhooks/", json={"url": f"http://127.0.0.1:{port}/"}).raise_for_status().json()
        env = {
            "BASE": service.url().rstrip("/"),
            "SKALD_KEY": key,
            "SKALD_REDIS_URL": redis_url,
            "WEBHOOK_SECRET": hook["secret"],
            "PORT": str(port),
        }
        with consumers(tmp_path, env) as started:

            def all_seen(name: str) -> None:
                expected = events(service, key)
                eventually(
                    lambda: started.seen(name) == expected,
                    f"{name}: all {len(expected)} events\n{started.output()}",
                    timeout=20,
                )

            started.start()
            write(client, range(5))
            for name in PROGRAMS:
                all_seen(name)
            writing = range(5, 10)
            write(client, writing)
            started.kill()
            write(client, range(10, 15))
            shared.flushdb()
            started.start()
            # Do not wait for the pause of a receiver that was down.
            for enabled in (False, True):
                client.patch(f"webhooks/{hook['id']}/", json={"enabled": enabled}).raise_for_status()
            write(client, range(15, 18))
            for name in PROGRAMS:
                all_seen(name)
    assert len(events(service, key)) == 36


def test_a_consumer_that_is_refused_says_why_and_ends(
    make_service: MakeService, fresh_database_url: str, tmp_path: Path
) -> None:
    service = make_service(database_url=fresh_database_url)
    keys = {"401": "skt_unknown", "403": service.make_key(["llm_skill:read"])}
    for status, key in keys.items():
        for name in ("poll.py", "sse.py"):
            (tmp_path / name).write_text(PROGRAMS[name])
            env = {"PATH": os.environ["PATH"], "BASE": service.url().rstrip("/"), "SKALD_KEY": key}
            ended = subprocess.run(
                [sys.executable, name],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            with service.client(key) as client:
                detail = client.get("events/").json()["detail"]
            assert (ended.returncode, ended.stderr.strip()) == (1, f"{status}: {detail}")
