"""Valkey as people run it: primary, replicas and Sentinels, or the nodes of a cluster, on ports of this machine."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError

from cli.embedded.binaries import valkey_program
from cli.process.child import Child
from tests.support.servers import free_port

SERVICE = "skald"
DOWN_AFTER = 500  # milliseconds of silence after which a Sentinel takes a server for dead
LOST_AFTER = 1000  # the same for a node of a cluster
WITHIN = 15.0  # seconds


class Node:
    """One server. ``stop`` and ``go_on`` freeze it as a stalled machine would be."""

    def __init__(self, folder: Path, name: str, *options: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.folder = folder / name
        self.folder.mkdir()
        self._options = options
        self.client: Any = redis.Redis(port=self.port, socket_timeout=2)
        self._child = self._start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._child = self._start()

    def kill(self) -> None:
        self._child.kill()

    def freeze(self) -> None:
        os.kill(self._child.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._child.pid, signal.SIGCONT)

    def close(self) -> None:
        self.client.close()
        if self._child.exit_code() is None:
            self._child.kill()

    def _start(self) -> Child:
        with (self.folder / "log").open("ab") as output:
            child = Child(
                f"Valkey {self.folder.name}",
                [valkey_program(None, None), *self._arguments()],
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                output=output,
                on_parent_death=signal.SIGKILL,
                cwd=self.folder,
            )
        until(lambda: self.client.ping(), f"Valkey {self.folder.name} does not answer")
        return child

    def _arguments(self) -> list[str]:
        return [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", *self._options),
        ]


class SentinelNode(Node):
    """One Sentinel; it writes what it learns into its own file, which tells it at once whom it would find in seconds."""

    def __init__(self, folder: Path, number: int, ports: Sequence[int], primary: Node, replica: Node) -> None:
        self._number = number
        self._ports = ports
        self._servers = primary, replica
        super().__init__(folder, f"sentinel-{number}", port=ports[number])

    def _arguments(self) -> list[str]:
        file = self.folder / "sentinel.conf"
        if not file.exists():
            primary, replica = self._servers
            lines = [
                f"port {self.port}",
                "bind 127.0.0.1",
                f"dir {self.folder}",
                f"sentinel myid {self._number:040x}",
                f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2",
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}",
                f"sentinel failover-timeout {SERVICE} 3000",
                f"sentinel known-replica {SERVICE} 127.0.0.1 {replica.port}",
            ]
            for number, port in enumerate(self._ports):
                if number != self._number:
                    lines.append(f"sentinel known-sentinel {SERVICE} 127.0.0.1 {port} {number:040x}")
            file.write_text("\n".join(lines))
        return [str(file), "--sentinel"]


class Watched:
    """A primary, a replica and three Sentinels."""

    def __init__(self, folder: Path, stack: ExitStack, *options: str) -> None:
        self.primary = Node(folder, "primary", *options)
        stack.callback(self.primary.close)
        self.replica = Node(folder, "replica", *options, "--replicaof", f"127.0.0.1 {self.primary.port}")
        stack.callback(self.replica.close)
        self.sentinels: list[SentinelNode] = []
        ports = [free_port() for _ in range(3)]
        for number in range(3):
            self.sentinels.append(SentinelNode(folder, number, ports, self.primary, self.replica))
            stack.callback(self.sentinels[-1].close)
        until(self._ready, "the Sentinels do not know replica and each other")

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(node.address for node in self.sentinels)}/{SERVICE}"

    def primary_port(self) -> int:
        """Where most Sentinels say that the primary is."""
        ports = [int(node.client.sentinel_get_master_addr_by_name(SERVICE)[1]) for node in self.sentinels]
        return max(ports, key=ports.count)

    def switched(self) -> bool:
        """Whether the replica is the primary, and every Sentinel says so."""
        return self.replica.client.role()[0] == b"master" and self.primary_port() == self.replica.port

    def hold_back(self) -> None:
        """The replica gets nothing from now on. It is still promoted when the primary goes within seconds."""
        self.primary.client.execute_command("ACL", "SETUSER", "default", "-psync", "-sync", "-replconf")
        self.primary.client.execute_command("CLIENT", "KILL", "TYPE", "REPLICA")
        until(lambda: self.replica.client.info("replication")["master_link_status"] == "down", "still linked")

    def wait_switched(self) -> None:
        until(self.switched, "no failover")

    def _ready(self) -> bool:
        return self.replica.client.info("replication")["master_link_status"] == "up" and all(
            state["num-other-sentinels"] == 2 and state["num-slaves"] == 1
            for node in self.sentinels
            for state in node.client.sentinel_masters().values()
        )


@contextmanager
def watched(*options: str) -> Iterator[Watched]:
    with _folder() as folder, ExitStack() as stack:
        yield Watched(folder, stack, *options)


def until(condition: Callable[[], object], otherwise: str) -> None:
    """Raises AssertionError when ``condition`` does not hold in time; a server may be away meanwhile."""
    deadline = time.monotonic() + WITHIN
    while True:
        with suppress(RedisError, OSError):
            if condition():
                return
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="skald-redis-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
