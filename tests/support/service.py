"""The API over real sockets, as a pytest plugin: the processes as in production, on the test's PostgreSQL and Valkey.

Fixtures:

``running_service``  one service of this test process (session): two API processes, no rate limits. Never stop it.
``make_service``     starts a service of a test's own, which it may stop, kill and start again

A test keeps apart from others by a project of its own: ``service.make_project()``, ``service.make_key(...)``. For the
whole `skald serve` with its supervisor and followers, take ``start_service`` of ``tests.support.servers``.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import pytest

from cli.process.child import Child
from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import console_sessions, identity
from tests.support.servers import ROOT, descendants, free_port

T = TypeVar("T")

READY_WITHIN = 60.0  # seconds; imports on a busy machine
STOP_WITHIN = 20.0
SECRET_KEY = "the tests seal what they sign with"
WRITE = ("llm_skill:write", "llm_prompt:write")

_numbers = itertools.count(1)


class Service:
    """A master with ``workers`` API processes, and ``python -m cli.main worker`` when ``followers`` is set.

    ``settings`` are environment variables (``{"SKALD_RATE_LIMIT_PER_MINUTE": "5"}``). ``key`` may write skills and
    prompts in every project; ``project_id`` is a project of this service's own. ``prefix`` goes before the command of each
    process, such as one that runs it on another network.
    """

    def __init__(
        self,
        database_url: str,
        redis_url: str | None,
        *,
        workers: int = 1,
        followers: bool = False,
        run_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
        prefix: Sequence[str] = (),
    ) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.port = free_port()
        self.base_url = f"http://{address}:{self.port}"
        self._prefix = prefix
        self._folder = Path(tempfile.mkdtemp(prefix="skald-service-"))
        self.run_dir = run_dir or self._folder / "run"
        self.run_dir.mkdir(mode=0o700, exist_ok=True)
        self._followers = followers
        # No settings of whoever runs the tests.
        shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
        self._env = {
            **shown,
            "SKALD_DATABASE_URL": database_url,
            **({"SKALD_REDIS_URL": redis_url} if redis_url else {}),
            "SKALD_RUN_DIR": str(self.run_dir),
            "SKALD_HOST": address,
            "SKALD_PORT": str(self.port),
            "SKALD_WORKERS": str(workers),
            "SKALD_RATE_LIMIT_PER_MINUTE": "0",
            "SKALD_RATE_LIMIT_PER_HOUR": "0",
            "SKALD_FAILED_ATTEMPTS_PER_MINUTE": "0",
            "SKALD_SECRET_KEY": SECRET_KEY,
            **(settings or {}),
        }
        self._children: list[Child] = []
        self.project = self.make_project()
        self.project_id = self.project.id
        self.key = self.make_key()

    # Who may come in

    def make_project(self, name: str = "") -> identity.Project:
        """A new, empty project: ``id``, ``name``, ``api_token``."""
        return self._identity(lambda conn: identity.create_project(conn, name or f"Project {next(_numbers)}"))

    def make_user(self, email: str = "", *, first_name: str = "Ada") -> identity.User:
        """A new user with an address of its own."""
        address = email or f"user-{os.getpid()}-{next(_numbers)}-{time.time_ns()}@example.com"
        return self._identity(lambda conn: identity.create_user(conn, email=address, first_name=first_name))

    def make_key(
        self,
        scopes: Sequence[str] = WRITE,
        project_ids: Sequence[int] | None = None,
        *,
        email: str = "",
        expires_in: timedelta | None = None,
    ) -> str:
        """The secret of a new key, of a new user unless ``email`` names one. ``project_ids`` None: every project."""
        address = email or self.make_user().email
        _, secret = self._identity(
            lambda conn: identity.create_key(
                conn, email=address, scopes=scopes, project_ids=project_ids, expires_in=expires_in
            )
        )
        return secret

    def make_link(self, key: str) -> str:
        """A link that signs one browser in by a key, once, as `skald console` prints it."""

        async def make(conn: Connection) -> str:
            principal = await identity.find_key(conn, identity.digest_of(key))
            assert principal is not None
            return await console_sessions.make_link(conn, principal.key_id)

        return f"{self.base_url}/console/enter/{self._identity(make)}"

    def _identity(self, call: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        async def once() -> T:
            conn = await connect(self.database_url)
            try:
                return await call(conn)
            finally:
                await conn.close()

        # A thread of its own, so that async tests may call this, too.
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(asyncio.run, once()).result()

    # Requests

    def url(self, path: str = "", project_id: int | None = None) -> str:
        """``path`` below the project, such as ``llm_skills/name/x``."""
        return f"{self.base_url}/api/environments/{project_id or self.project_id}/{path.lstrip('/')}"

    def client(self, key: str | None = None, project_id: int | None = None, **options: Any) -> httpx.Client:
        """Relative paths start at the project: ``client.get("llm_skills/")``. Close it, or use it in a ``with``."""
        return httpx.Client(**self._options(key, project_id, options))

    def async_client(
        self, key: str | None = None, project_id: int | None = None, **options: Any
    ) -> httpx.AsyncClient:
        """The same for async tests."""
        return httpx.AsyncClient(**self._options(key, project_id, options))

    def _options(self, key: str | None, project_id: int | None, options: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key or self.key}", **options.pop("headers", {})}
        return {"base_url": self.url(project_id=project_id), "headers": headers, "timeout": 30, **options}

    # Life

    def start(self) -> Self:
        """Start the processes and wait until they serve. Again after ``stop`` or ``kill``, on the same port."""
        modules = [("api", ["cli.server.http"])] + (
            [("worker", ["cli.main", "worker"])] if self._followers else []
        )
        for name, arguments in modules:
            with (self._folder / f"{name}.log").open("ab") as output:
                self._children.append(
                    Child(
                        name,
                        [*self._prefix, sys.executable, "-P", "-m", *arguments],
                        env=self._env,
                        output=output,
                        cwd=ROOT,
                    )
                )
        deadline = time.monotonic() + READY_WITHIN
        while not self.is_ready():
            if any(child.exit_code() is not None for child in self._children) or time.monotonic() > deadline:
                pytest.fail(f"the service did not start\n{self.output}")
            time.sleep(0.03)
        return self

    def is_ready(self) -> bool:
        """Whether one of its processes answers and has its database."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.base_url}/readyz", timeout=5).status_code == 200
        return False

    def stop(self) -> None:
        """End it as an operator would: running requests are answered first."""
        for child in self._children:
            child.stop(timeout=STOP_WITHIN)
        self._children.clear()

    def kill(self) -> None:
        """SIGKILL to every process at once, as a crash of the host would."""
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for child in self._children:
            child.kill()
        self._children.clear()

    def pids(self) -> list[int]:
        """All its processes, masters first."""
        masters = [child.pid for child in self._children]
        return masters + [pid for master in masters for pid in descendants(master)]

    def api_pids(self) -> list[int]:
        """The API processes, without their master; the master starts another for one that ends."""
        return list(descendants(self._children[0].pid)) if self._children else []

    @property
    def output(self) -> str:
        """What its processes have printed, access log included."""
        return "".join(file.read_text(errors="replace") for file in sorted(self._folder.glob("*.log")))

    def close(self) -> None:
        """Stop it and remove its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


MakeService = Callable[..., Service]


@pytest.fixture(scope="session")
def running_service(postgres_url: str, redis_url: str) -> Iterator[Service]:
    """Two API processes for all tests of this process; use a project of your own."""
    service = Service(postgres_url, redis_url, workers=2)
    try:
        yield service.start()
    finally:
        service.close()


@pytest.fixture
def make_service(postgres_url: str, redis_url: str) -> Iterator[MakeService]:
    """``make_service(workers=1, followers=False, settings={...}, database_url=…, redis_url=…, run_dir=…)``, ready.

    Servers are the shared ones unless given (``redis_url=None``: without Redis). Call it from the main thread, which
    is where pytest runs tests. All is stopped after the test.
    """
    started: list[Service] = []

    def start(**options: Any) -> Service:
        service = Service(
            options.pop("database_url", postgres_url), options.pop("redis_url", redis_url), **options
        )
        started.append(service)
        return service.start()

    yield start
    for service in started:
        service.close()
