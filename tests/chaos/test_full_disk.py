"""The disk of the data folder fills up, and is given room again, under the whole `skald serve`."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from cli.embedded.servers import EmbeddedServers
from cli.schema import migrate
from tests.support import invariants
from tests.support.invariants import Acknowledged
from tests.support.servers import (
    ROOT,
    SKALD,
    RunningService,
    descendants,
    eventually,
    is_running,
    make_folder,
)
from tests.support.service import Service

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

SIZE = 320  # MiB
# Of which the service keeps an eighth free; the writes of a test get a little more than that, so that few of them fill it.
ROOM = (SIZE // 8 + 24) * 1024 * 1024  # bytes
MANY = 400  # writes of 200 KB; far more than there is room for

PATIENCE = 30.0  # seconds


class SmallDisk:
    """A file system of its own, ``SIZE`` large; the rest of it can be taken and given back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill_but(self, size: int) -> None:
        """Take what is left but for ``size`` bytes."""
        with self._ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, self.left - size)

    def fill(self) -> None:
        """Take all that is left."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Give back what was taken."""
        self._ballast.unlink()

    def grow(self) -> None:
        """Make the disk twice as large."""
        subprocess.run(["mount", "-o", f"remount,size={2 * SIZE}m", str(self.folder)], check=True)

    @property
    def left(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    folder = make_folder()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=0711", "none", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        folder.rmdir()
        pytest.skip("mounting a small disk is not allowed here")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def service(disk: SmallDisk) -> Iterator[RunningService]:
    service = RunningService(disk.folder, "--workers=2")
    try:
        yield service.wait_ready()
    finally:
        if service.child.exit_code() is None:
            service.stop()


class Probes:
    """Asks for the same addresses all the time, each time by a new connection, and counts the statuses."""

    def __init__(self, service: RunningService, *paths: str) -> None:
        self.seen: dict[str, Counter[int | str]] = {path: Counter() for path in paths}
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Probes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        for path, seen in self.seen.items():
            assert set(seen) == {200}, (path, seen)

    def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self._service.key}"}
        while not self._stop.wait(0.02):
            for path, seen in self.seen.items():
                try:
                    seen[
                        httpx.get(self._service.address + path, headers=headers, timeout=15).status_code
                    ] += 1
                except httpx.HTTPError as error:
                    seen[type(error).__name__] += 1


class Writer:
    """Creates skills; ``acknowledged`` holds the texts of those that were, by name."""

    def __init__(self, address: str, key: str, project_id: int = 1) -> None:
        self.acknowledged: dict[str, str] = {}
        self.positions: list[Acknowledged] = []
        self.client = httpx.Client(
            base_url=f"{address}/api/projects/{project_id}/",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        )

    def write(self, size: int = 100_000) -> httpx.Response:
        name, body = f"one-{secrets.token_hex(6)}", secrets.token_hex(size)
        answer = self.client.post("llm_skills/", json={"name": name, "description": "d", "body": body})
        if answer.status_code == 201:
            self.acknowledged[name] = body
            position = int(answer.headers["X-Event-Position"])
            self.positions.append(Acknowledged(position, UUID(answer.json()["id"])))
        return answer

    def write_until_full(self) -> httpx.Response:
        for _ in range(MANY):
            answer = self.write_patiently()
            if answer.status_code != 201:
                return answer
        raise AssertionError(f"{MANY} writes fitted into {ROOM:,} bytes")

    def write_patiently(self, size: int = 100_000) -> httpx.Response:
        """The answer of a service that can look up the key and the name; while it cannot, on a busy machine, it knows nothing
        of the caller and of what is asked, so it says that it may be tried again, and nothing of its disk."""
        deadline = time.monotonic() + PATIENCE
        while is_unavailable(answer := self.write(size)) and time.monotonic() < deadline:
            assert int(answer.headers["Retry-After"]) > 0
            time.sleep(0.2)
        return answer

    def check(self) -> None:
        for name, body in self.acknowledged.items():
            assert self.client.get(f"llm_skills/name/{name}").json()["body"] == body


def is_unavailable(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and answer.json()["code"] == "unavailable"


def assert_full(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    told = answer.json()
    assert (told["type"], told["code"], told["attr"]) == ("server_error", "storage_full", None)
    assert int(answer.headers["Retry-After"]) > 0


def new_ones(service: RunningService, before: set[int]) -> set[int]:
    return set(descendants(service.pid_of("cli.server.http"))) - before


def answers_from(pid: int, service: RunningService) -> bool:
    """Whether the process listens: then its own metrics have been made, too."""
    metrics = service.data_dir / "servers" / "run" / "api" / "metrics"
    listening = [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    made = (metrics / f"counter_{pid}.db").exists()
    return made and len(listening) > 0 and httpx.get(f"{service.address}/healthz").status_code == 200


def readiness(service: RunningService) -> tuple[int, str, str]:
    answer = httpx.get(f"{service.address}/readyz", timeout=15)
    return answer.status_code, answer.json()["status"], answer.json()["storage"]


def verify(service: RunningService) -> None:
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    command = [*SKALD, "verify", f"--data-dir={service.data_dir}"]
    done = subprocess.run(command, env=shown, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_reads_go_on_while_the_disk_is_full_and_writes_when_there_is_room(
    disk: SmallDisk, service: RunningService
) -> None:
    writer = Writer(service.address, service.key)
    assert writer.write(10).status_code == 201
    [name] = writer.acknowledged
    warm = f"/api/projects/1/llm_skills/name/{name}"
    parts = service.descendants()
    servers = [pid for pid, line in parts.items() if "bin/postgres" in line or "cli." in line]

    disk.fill_but(ROOM)
    with Probes(service, "/healthz", warm, "/metrics") as probes:
        assert_full(writer.write_until_full())
        assert disk.left > 8 * 1024 * 1024  # the database has room for what it does by itself
        assert readiness(service) == (200, "degraded", "full")
        disk.fill()
        assert disk.left == 0
        for _ in range(20):
            assert_full(writer.write_patiently(10))
        # Routes and statuses that no process has counted before.
        for path in ("/nowhere", "/api/users/@me", "/schema", "/.well-known/skills/index.json"):
            for method in ("GET", "PUT", "DELETE", "OPTIONS"):
                assert httpx.request(method, service.address + path, timeout=15).status_code < 500
        disk.free()
        disk.grow()
        eventually(lambda: readiness(service) == (200, "ok", "ok"), "readyz says that there is room")
        assert writer.write().status_code == 201
    probes.check()
    assert all(is_running(pid) for pid in servers)
    writer.check()
    verify(service)


def test_what_dies_on_a_full_disk_comes_back(disk: SmallDisk, service: RunningService) -> None:
    writer = Writer(service.address, service.key)
    for _ in range(5):
        assert writer.write().status_code == 201
    disk.fill()

    before = set(descendants(service.pid_of("cli.server.http")))
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: new_ones(service, before) != set(), "another API process is started")
    [new] = new_ones(service, before)
    eventually(lambda: answers_from(new, service), "it serves")
    with Probes(service, "/healthz", "/metrics") as probes:
        assert_full(writer.write_patiently(10))
        os.kill(service.pid_of("bin/postgres"), signal.SIGKILL)
        answer = writer.write(10)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        eventually(lambda: readiness(service)[0] == 503, "readyz says that the database is away", timeout=30)
        disk.free()
        eventually(lambda: readiness(service) == (200, "ok", "ok"), "all is well again", timeout=60)
        eventually(lambda: writer.write(10).status_code == 201, "writes work again", timeout=30)
    probes.check()
    writer.check()
    verify(service)


def test_a_database_whose_disk_is_not_known_says_itself_that_it_is_full(disk: SmallDisk) -> None:
    with EmbeddedServers(disk.folder) as servers, contextlib.ExitStack() as stack:
        asyncio.run(migrate(servers.database_url))
        service = Service(servers.database_url, servers.redis_url)
        stack.callback(service.close)
        writer = Writer(service.start().base_url, service.key, service.project_id)
        disk.fill_but(48 * 1024 * 1024)
        answer = writer.write()
        while answer.status_code == 201:
            answer = writer.write()
        assert answer.status_code == 503
        assert answer.json()["code"] in ("storage_full", "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert httpx.get(f"{service.base_url}/healthz").status_code == 200
        disk.free()
        postgres = servers.postgres
        assert postgres is not None
        assert postgres.child is not None
        if postgres.child.exit_code() is not None:
            postgres.start()
        eventually(lambda: writer.write(10).status_code == 201, "writes work again", timeout=30)
        writer.check()
        invariants.check(servers.database_url, writer.positions)
