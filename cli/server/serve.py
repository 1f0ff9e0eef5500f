"""`skald serve`: the whole service as one process with children.

Start: data folder, embedded servers, migrations, first key, API processes and followers, ready. Stop, in the other
order: no new requests first, the database last.
"""

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from cli.embedded.folder import DataFolder, Running
from cli.embedded.servers import EmbeddedServers
from cli.errors import Failure
from cli.output import say_text
from cli.process.child import Child
from cli.process.supervisor import Part, how, tell
from cli.schema import check_replicas, migrate
from cli.server import connections, console_link, first_key
from cli.settings import Settings

READY_WITHIN = 120.0  # seconds; imports and first connections of many processes on a slow machine
WATCH_EVERY = 0.2  # seconds between two looks at the children
# Where the packages of Skald are. Children look there before anything that PYTHONPATH names.
ROOMS = Path(__file__).parents[2]
API_GRACE = 15.0  # seconds; the API master gives its processes 10
WORKER_GRACE = 10.0

T = TypeVar("T")


class Service:
    """One run of the service on the calling (main) thread."""

    def __init__(self, settings: Settings, *, followers: bool = True) -> None:
        self.settings = settings
        self._followers = followers
        self.folder = DataFolder(settings.data_dir)
        self._stop = threading.Event()

    def run(self) -> None:
        """Serve until SIGINT, SIGTERM or SIGHUP. Raises Failure when it cannot start; nothing is left running."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop.set())
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.folder)
            check_port(self.settings.host, self.settings.port)
            servers = stack.enter_context(self._servers())
            if not self._stop.is_set():
                self._run(servers, stack)

    def _servers(self) -> EmbeddedServers:
        return EmbeddedServers(
            self.folder,
            database=self.settings.database_url is None,
            cache=self.settings.redis_url is None,
            postgres_bin=self.settings.postgres_bin,
            valkey_bin=self.settings.valkey_bin,
        )

    def _run(self, servers: EmbeddedServers, stack: contextlib.ExitStack) -> None:
        database_url = self.settings.database_url or servers.database_url
        redis_url = self.settings.redis_url or servers.redis_url
        try:
            key = asyncio.run(self._unless_stopped(self._prepare(database_url)))
        except asyncio.CancelledError:
            return
        self.folder.publish(Running(pid=os.getpid(), database_url=database_url, redis_url=redis_url))

        secret_key = self.settings.secret_key
        if not secret_key and self.settings.database_url is None:
            secret_key = self.folder.ensure_secret_key()
        processes = Processes(
            self.settings,
            database_url,
            redis_url,
            servers.runtime_dir / "api",
            secret_key=secret_key,
            database_dir=servers.postgres.cluster if servers.postgres else self.settings.database_dir,
        )
        stack.callback(processes.stop)
        parts = [Part("the API", processes.start_api)]
        if self._followers:
            parts.append(Part("the followers", processes.start_worker))
        for part in parts:
            part.start()
        parts = [*self._server_parts(servers), *parts]
        self._wait_ready(processes, parts)
        if not self._stop.is_set():
            self._greet(key, database_url)
        while not self._stop.wait(WATCH_EVERY):
            for part in parts:
                part.watch()

    async def _prepare(self, database_url: str) -> first_key.FirstKey | None:
        """What the database needs before anything asks it."""
        await migrate(database_url)
        if self.settings.read_database_url is not None:
            await check_replicas(self.settings.read_database_url)
        if warning := await connections.lacking(
            database_url, connections.needed(self.settings, followers=self._followers)
        ):
            tell(warning)
        return await first_key.ensure(
            database_url, self.folder.first_key, embedded=self.settings.database_url is None
        )

    async def _unless_stopped(self, work: Coroutine[None, None, T]) -> T:
        """The work of a start may wait for long: for another host's migration, or for a standby. Raises CancelledError."""
        task = asyncio.ensure_future(work)
        while not task.done():
            if self._stop.is_set():
                task.cancel()
            await asyncio.wait((task,), timeout=WATCH_EVERY)
        return task.result()

    def _server_parts(self, servers: EmbeddedServers) -> Iterator[Part]:
        """The embedded servers, which run already; the database first, since the rest needs it."""
        servers_by_name = {"PostgreSQL": servers.postgres, "Valkey": servers.valkey}
        for name, server in servers_by_name.items():
            if server is not None:
                yield Part(name, partial(server.start, stopped=self._stop.is_set), running=server.child)

    def _wait_ready(self, processes: "Processes", parts: list[Part]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not self._stop.is_set() and not is_ready(self.settings.host, self.settings.port):
            if (code := processes.api_exit_code()) is not None:
                raise Failure(f"the API ended {how(code)} before it was ready; its messages are above")
            if time.monotonic() > deadline:
                raise Failure(f"the service was not ready within {READY_WITHIN:.0f} s")
            for part in parts:
                part.watch()
            self._stop.wait(0.02)

    def _greet(self, key: first_key.FirstKey | None, database_url: str) -> None:
        address = url_of(self.settings.host, self.settings.port)
        lines = [f"Skald is ready at {address}", f"API page: {address}/schema"]
        # Only a terminal is shown what signs in: other output goes into logs.
        path = None
        if key and sys.stdout.isatty():
            path = asyncio.run(console_link.of_secret(database_url, key.secret))
        lines.append(f"Console: {address}{path or console_link.PLACE}")
        if path:
            lines.append("The link signs one browser in, once; `skald console` prints another")
        if key:
            lines += key.first_request(address, on_terminal=sys.stdout.isatty())
        else:
            lines.append("Make a key by: skald key create --user EMAIL --project ID --scope llm_skill:write")
        say_text("\n".join(lines))


class Processes:
    """The API processes (under one master) and the followers."""

    def __init__(
        self,
        settings: Settings,
        database_url: str,
        redis_url: str,
        run_dir: Path,
        *,
        secret_key: tuple[str, ...] = (),
        database_dir: Path | None = None,
    ) -> None:
        run_dir.mkdir(mode=0o700)
        # Only these settings, not all variables of ours: the children see what was decided here.
        shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
        given = {
            "database_url": database_url,
            "redis_url": redis_url,
            "run_dir": run_dir,
            "secret_key": secret_key,
            "database_dir": database_dir,
        }
        shown["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOMS), shown.get("PYTHONPATH")]))
        self._env = {**shown, **Settings.from_env(settings.to_env(), **given).to_env()}
        self._api: Child | None = None
        self._worker: Child | None = None

    def start_api(self) -> Child:
        # Its processes die with it (see cli.server.asgi), so a kill of the master is an end of all.
        self._api = Child("API", [sys.executable, "-P", "-m", "cli.server.http"], env=self._env)
        return self._api

    def start_worker(self) -> Child:
        self._worker = Child("worker", [sys.executable, "-P", "-m", "cli.main", "worker"], env=self._env)
        return self._worker

    def api_exit_code(self) -> int | None:
        return self._api.exit_code() if self._api else None

    def stop(self) -> None:
        """End the requests first, then the followers."""
        if self._api:
            self._api.stop(timeout=API_GRACE)
        if self._worker:
            self._worker.stop(timeout=WORKER_GRACE)


def check_port(host: str, port: int) -> None:
    """Raises Failure when the address cannot be listened on.

    The API processes share the port (SO_REUSEPORT), so they would not notice another service of the same user.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Failure(
            f"cannot listen on {host} port {port}: {reason}; choose another by --host and --port"
        ) from None


def is_ready(host: str, port: int) -> bool:
    """Whether the service answers its readiness check by 200."""
    connection = http.client.HTTPConnection(_for_client(host), port, timeout=5)
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _for_client(host: str) -> str:
    """The address to reach a listener on ``host`` from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def url_of(host: str, port: int) -> str:
    """The address that reaches such a listener from this machine."""
    host = _for_client(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
