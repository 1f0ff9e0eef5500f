"""More requests than the service can answer: sent at their own times, whether the earlier ones are answered or not.

``python -m benchmarks.pressure`` is the generator, in a process of its own. Each request takes a connection of those that
wait for nothing; when all of them do, the request is not sent and counted as such, as a client's own pool would refuse it.
"""

import json
import select
import sys
from collections import Counter, deque
from itertools import cycle
from time import perf_counter
from typing import Self

import msgspec

from benchmarks import document
from benchmarks.load import SILENCE, Connection, Job, ask, connect

RETRYABLE = (429, 503)


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """``rate`` requests a second for ``seconds``, over as many connections as ``names`` has; 0: whenever one waits for nothing.

    They publish to ``names``, skills unless ``prompts``, one a connection; or read ``paths`` one after the other when there are
    any; or send ``texts``, whole requests by name, again and again.
    """

    port: int
    key: str
    path: str
    rate: float
    seconds: float
    names: tuple[str, ...]
    paths: tuple[str, ...] = ()
    first: int = 0  # of the paths
    fresh: bool = False  # nothing was published to the names before
    prompts: bool = False
    texts: dict[str, str] = {}


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """Answers by status; ``hasty`` are refusals without Retry-After. Latencies are seconds, of the admitted and refused.

    ``sent`` took ``seconds``, with the answers to the last ones; ``unsent`` found no connection.
    """

    sent: int
    unsent: int
    seconds: float
    statuses: dict[str, int]
    hasty: int
    admitted: list[float]
    refused: list[float]
    first_other: str = ""

    @property
    def rate(self) -> float:
        """Of those admitted, a second."""
        return len(self.admitted) / self.seconds

    def latency(self, percent: int) -> float:
        """Of those admitted, in seconds; infinite when there is none."""
        return at(self.admitted, percent)

    @classmethod
    def of(cls, run: "_Run", seconds: float) -> Self:
        return cls(
            sent=run.sent,
            unsent=run.unsent,
            seconds=seconds,
            statuses={str(status): count for status, count in run.statuses.items()},
            hasty=run.hasty,
            admitted=run.admitted,
            refused=run.refused,
            first_other=run.other,
        )


def at(latencies: list[float], percent: int) -> float:
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else float("inf")


class Client(Connection):
    """A connection that takes any answer, and publishes on from what its last publish was answered."""

    __slots__ = ("answer", "base", "revision", "status", "text")

    def __init__(self, port: int) -> None:
        super().__init__(connect(port), iter(()))
        self._socket.setblocking(False)
        self.base = self.revision = 1
        self.status = 0
        self.text = self.answer = b""

    def ask(self, text: bytes) -> None:
        self.text = text
        self._sent = perf_counter()
        # A request is far smaller than an empty socket's buffer.
        self._socket.sendall(text)

    def receive(self) -> float | None:
        """Seconds from request to answer once it is complete."""
        try:
            data = self._socket.recv(262_144)
        except BlockingIOError:
            return None
        if not data:
            raise RuntimeError("the server closed a connection")
        data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        start = data.find(b"content-length: ", 0, end)
        # A 204 has none.
        length = int(data[start + 16 : data.find(b"\r\n", start)]) if start > 0 else 0
        if end < 0 or len(data) < end + 4 + length:
            self._buffer = data
            return None
        self._buffer, self.answer, self.status = b"", data, int(data[9:12])
        return perf_counter() - self._sent


class _Run:
    def __init__(self, push: Push) -> None:
        self.push = push
        self.statuses: Counter[int] = Counter()
        self.sent = self.unsent = self.hasty = 0
        self.admitted: list[float] = []
        self.refused: list[float] = []
        self.other = ""
        self._paths = cycle(push.paths)
        for _ in range(push.first):
            next(self._paths)

    def request(self, client: Client, name: str) -> bytes:
        push = self.push
        head = f"host: bench\r\nauthorization: Bearer {push.key}\r\n"
        if push.paths:
            return f"GET {next(self._paths)} HTTP/1.1\r\n{head}\r\n".encode()
        if push.texts:
            return push.texts[name].encode()
        change: dict[str, object] = {"base_version": client.base}
        if push.prompts:
            change["prompt"] = document.body(client.base + 1)
        else:
            edit = document.edit(client.revision)
            change["edits"] = [{"old": edit.old, "new": edit.new}]
        body = json.dumps(change)
        return (
            f"PATCH {push.path}/name/{name} HTTP/1.1\r\n{head}content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def take(self, client: Client, latency: float) -> None:
        status = client.status
        self.statuses[status] += 1
        if status == 200:
            self.admitted.append(latency)
            client.base += 1
            client.revision += 1
        elif status in RETRYABLE:
            self.refused.append(latency)
            if b"retry-after: " not in client.answer.partition(b"\r\n\r\n")[0].lower():
                self.hasty += 1
        else:
            self.other = self.other or client.answer.decode(errors="replace")[:1000]


def current(job: Push, name: str) -> tuple[int, int]:
    """The version of a skill, and the revision of its text."""
    found = ask(
        Job(port=job.port, key=job.key, path="", connections=1, warmup=0, seconds=0),
        f"{job.path}/name/{name}",
    )
    return found["version"], int(found["prompt" if job.prompts else "body"].split("Revision ", 1)[1][:9])


def push(job: Push) -> Pushed:
    run = _Run(job)
    names = {}
    free: deque[Client] = deque()
    by_number: dict[int, Client] = {}
    with select.epoll() as poll:
        # Before there are connections: the service closes one that asks for nothing.
        known = {
            name: (1, 1) if job.paths or job.texts or job.fresh else current(job, name) for name in job.names
        }
        for name in job.names:
            client = Client(job.port)
            client.base, client.revision = known[name]
            names[client] = name
            free.append(client)
            by_number[client.fileno()] = client
            poll.register(client.fileno(), select.EPOLLIN)
        started = perf_counter()
        due = 0
        while True:
            now = perf_counter()
            going = now < started + job.seconds
            if not going and len(free) == len(by_number):
                break
            while going and (due < (now - started) * job.rate if job.rate else free):
                due += 1
                if free:
                    client = free.popleft()
                    client.ask(run.request(client, names[client]))
                    run.sent += 1
                else:
                    run.unsent += 1
            ready = poll.poll(0.001 if going else SILENCE)
            if not going and not ready:
                raise RuntimeError(f"no answer within {SILENCE:.0f} s")
            for number, _ in ready:
                client = by_number[number]
                latency = client.receive()
                if latency is not None:
                    run.take(client, latency)
                    free.append(client)
        took = perf_counter() - started
    for client in by_number.values():
        client.close()
    return Pushed.of(run, took)


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Push)
    sys.stdout.buffer.write(msgspec.json.encode(push(job)))


if __name__ == "__main__":
    main()
