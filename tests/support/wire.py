"""Requests as bytes on a socket, and the answers to them one by one."""

import socket
from typing import NamedTuple

from tests.support.service import Service

WITHIN = 20.0  # seconds; a connection that should be closed and is not fails a test so


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A connection with a service. Use it in a ``with``."""

    def __init__(self, service: Service, *, within: float = WITHIN) -> None:
        self._connection = socket.create_connection(("127.0.0.1", service.port), timeout=within)
        self._received = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def reply(self, method: str = "GET") -> Reply:
        """The next answer, which is one to ``method``."""
        top = self.until(b"\r\n\r\n")
        status, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        number = int(status.split()[1])
        if method == "HEAD" or number in (204, 304):
            return Reply(number, headers, b"")
        if "content-length" in headers:
            return Reply(number, headers, self._take(int(headers["content-length"])))
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.until(b"\r\n"), 16):
                body += self._take(size)
                self._take(2)
            self._take(2)
            return Reply(number, headers, body)
        return Reply(number, headers, self.rest())

    def rest(self) -> bytes:
        """All that comes until the service closes the connection."""
        while self._more():
            pass
        rest, self._received = self._received, b""
        return rest

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        self._connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave without a word, as a client that dies."""
        linger = b"\1\0\0\0\0\0\0\0"
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._connection.close()

    def until(self, end: bytes) -> bytes:
        """What comes before ``end``, which is taken, too."""
        while end not in self._received:
            if not self._more():
                raise ConnectionError(f"closed after {self._received!r}")
        found, _, self._received = self._received.partition(end)
        return found

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            if not self._more():
                raise ConnectionError(f"closed after {self._received!r}")
        found, self._received = self._received[:size], self._received[size:]
        return found

    def _more(self) -> bool:
        part = self._connection.recv(65536)
        self._received += part
        return bool(part)


def request(
    service: Service, method: str, path: str, *head: str, body: bytes = b"", version: str = "1.1"
) -> bytes:
    """A request with the service's key; a ``path`` without a slash before it is one of its project."""
    target = path if path.startswith("/") else f"/api/projects/{service.project_id}/{path}"
    lines = [f"{method} {target} HTTP/{version}", "Host: skald.test", f"Authorization: Bearer {service.key}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *head, "", ""]).encode("latin-1") + body
