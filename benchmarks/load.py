"""The load generator: keep-alive connections over raw sockets, one request at a time on each, in a process of its own.

One blocking epoll loop, because it must cost less than the servers it measures: two system calls and a few
microseconds of Python a request, against about 15 of an asyncio protocol. It tells how busy it was itself.
"""

import json
import resource
import select
import socket
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice, repeat
from time import perf_counter
from typing import Any

import msgspec

from benchmarks import document
from benchmarks.figures import Load

SILENCE = 20.0  # seconds without any answer after which a run is given up


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """``names`` are the skills to publish to, one a connection; without them ``path`` is fetched on all connections.

    The connections spread over ``port`` and ``others``, evenly.

    ``known`` is the entity tag of an answer that the client has already; every fetch must be answered 304 then.
    """

    port: int
    key: str
    connections: int
    warmup: float
    seconds: float
    path: str
    names: tuple[str, ...] = ()
    known: str = ""
    others: tuple[int, ...] = ()

    def ports(self) -> Iterator[int]:
        """One for each connection in turn."""
        return cycle((self.port, *self.others))


class Connection:
    """One client: sends the next request when the answer to the last one is complete."""

    __slots__ = ("_buffer", "_expected", "_requests", "_sent", "_socket")

    def __init__(self, opened: socket.socket, requests: Iterator[bytes], *, status: int = 200) -> None:
        # It is waited for elsewhere; with a timeout Python would ask the kernel before each call whether it may go ahead.
        opened.settimeout(None)
        self._socket = opened
        self._requests = requests
        self._expected = b"HTTP/1.1 %d" % status
        self._buffer = b""
        self._sent = 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self) -> None:
        request = next(self._requests)
        self._sent = perf_counter()
        self._socket.sendall(request)

    def receive(self) -> float | None:
        """Seconds from request to answer once it is complete. Raises RuntimeError unless it has the expected status."""
        data = receive(self._socket)
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return None
        start = data.find(b"content-length: ", 0, end)
        # A 304 has none.
        length = int(data[start + 16 : data.find(b"\r\n", start)]) if start >= 0 else 0
        if len(data) < end + 4 + length:
            self._buffer = data
            return None
        self._buffer = b""
        if not data.startswith(self._expected):
            raise RuntimeError(data.decode(errors="replace")[:2000])
        return perf_counter() - self._sent

    def close(self) -> None:
        self._socket.close()


def connect(port: int) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=SILENCE)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def get(path: str, key: str, known: str = "") -> bytes:
    """One GET on a connection that is kept."""
    condition = f"if-none-match: {known}\r\n" if known else ""
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n{condition}\r\n".encode()


def publishes(job: Job, name: str) -> Iterator[bytes]:
    """PATCHes that each change one line and rest on the version that the last one made."""
    current = ask(job, f"{job.path}/name/{name}")
    version: int = current["version"]
    revision = int(current["body"].split("Revision ", 1)[1][:9])
    head = (
        f"PATCH {job.path}/name/{name} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {job.key}\r\n"
        "content-type: application/json\r\ncontent-length: "
    )
    while True:
        change = document.edit(revision)
        body = f'{{"base_version":{version},"edits":[{{"old":"{change.old}","new":"{change.new}"}}]}}'
        yield f"{head}{len(body)}\r\n\r\n{body}".encode()
        version += 1
        revision += 1


def ask(job: Job, path: str) -> Any:
    """The JSON of one GET on a connection of its own."""
    with socket.create_connection(("127.0.0.1", job.port), timeout=SILENCE) as connection:
        request = f"GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {job.key}\r\nconnection: close\r\n\r\n"
        connection.sendall(request.encode())
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(data.decode(errors="replace")[:2000])
    return json.loads(body)


def exchange(opened: socket.socket, request: bytes) -> tuple[int, bytes, bytes]:
    """One request and its whole answer on a connection that is kept: status, head and body."""
    opened.sendall(request)
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += receive(opened)
    start = data.find(b"content-length: ", 0, end)
    length = int(data[start + 16 : data.find(b"\r\n", start)]) if start >= 0 else 0
    while len(data) < end + 4 + length:
        data += receive(opened)
    return int(data[9:12]), data[:end], data[end + 4 :]


def receive(opened: socket.socket) -> bytes:
    data = opened.recv(262_144)
    if not data:
        raise RuntimeError("the server closed a connection")
    return data


def drive(connections: Sequence[Connection], warmup: float, seconds: float) -> Load:
    """Keep all connections busy; what ends in the warm-up is answered, but not in the latencies."""
    busy = resource.getrusage(resource.RUSAGE_SELF)
    started = perf_counter()
    warm, deadline = started + warmup, started + warmup + seconds
    by_number = {connection.fileno(): connection for connection in connections}
    latencies: list[float] = []
    answered = 0
    with select.epoll() as poll:
        for number, connection in by_number.items():
            poll.register(number, select.EPOLLIN)
            connection.send()
        open_requests = len(by_number)
        while open_requests:
            ready = poll.poll(SILENCE)
            if not ready:
                raise RuntimeError(f"no answer within {SILENCE:.0f} s")
            for number, _ in ready:
                connection = by_number[number]
                latency = connection.receive()
                if latency is None:
                    continue
                answered += 1
                now = perf_counter()
                if warm <= now < deadline:
                    latencies.append(latency)
                if now < deadline:
                    connection.send()
                else:
                    open_requests -= 1
    took = perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - busy.ru_utime - busy.ru_stime
    return Load.of(latencies, seconds=seconds, answered=answered, busy=cpu / took)


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    if job.names:
        connections = [
            Connection(connect(port), publishes(job, name))
            for port, name in zip(job.ports(), job.names, strict=False)
        ]
    else:
        request, status = get(job.path, job.key, job.known), 304 if job.known else 200
        connections = [
            Connection(connect(port), repeat(request), status=status)
            for port in islice(job.ports(), job.connections)
        ]
    result = drive(connections, job.warmup, job.seconds)
    for connection in connections:
        connection.close()
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
