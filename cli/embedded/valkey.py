"""An embedded Valkey server: the shared cache and the rate limits. It keeps nothing on disk."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import redis

from cli.embedded.postgres import ServerFailed
from cli.process.child import Child, User


class EmbeddedValkey:
    """A server on a UNIX socket; what it holds is rebuilt from the log, so it starts empty every time."""

    def __init__(
        self, sockets: Path, program: Path, *, user: User | None = None, log: Path, databases: int = 16
    ) -> None:
        self.socket = sockets / "valkey.sock"
        self.program = program
        self.user = user
        self.log = log
        self.databases = databases
        self.child: Child | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self, *, timeout: float = 30, stopped: Callable[[], bool] = lambda: False) -> Child:
        """Start it and wait until it answers, ``timeout`` seconds at most. Raises ServerFailed."""
        options = {
            "port": "0",  # no TCP
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "save": "",  # a cache: the log in PostgreSQL is the truth
            "appendonly": "no",
            "maxmemory": "256mb",
            # Full: forget what was read longest ago of what expires, which is all but the streams.
            "maxmemory-policy": "volatile-lru",
            "databases": str(self.databases),
            "dir": str(self.socket.parent),
            "loglevel": "warning",
        }
        command: list[str | Path] = [self.program]
        for name, value in options.items():
            command += [f"--{name}", value]
        with self.log.open("wb") as output:
            self.child = Child(
                "Valkey",
                command,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                user=self.user,
                output=output,
                on_parent_death=signal.SIGKILL,
                cwd=Path("/"),
            )
        deadline = time.monotonic() + timeout
        with redis.Redis.from_url(self.url, socket_timeout=2) as client:
            while not stopped():
                if (code := self.child.exit_code()) is not None:
                    raise ServerFailed(
                        f"Valkey ended with code {code}\n{self.log.read_text(errors='replace')[-2000:]}"
                    )
                try:
                    if client.ping():
                        break
                except redis.RedisError as error:
                    if time.monotonic() > deadline:
                        raise ServerFailed(f"Valkey did not answer within {timeout:.0f} s: {error}") from None
                time.sleep(0.01)
        return self.child

    def stop(self, *, timeout: float = 5) -> None:
        if self.child:
            self.child.stop(signal.SIGTERM, timeout=timeout)
            self.child = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self.child:
            self.child.kill()
            self.child = None
