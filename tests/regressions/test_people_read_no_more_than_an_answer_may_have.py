"""The commands of people read an answer of any size, packed or not: whatever answers at the address filled their memory."""

import gzip
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cli.client import remote as client
from cli.client.profile import Target
from cli.client.remote import Remote, RemoteFailure

LIMIT = 1_000_000
BOMB = gzip.compress(bytes(200_000_000))

Answer = tuple[dict[str, str], bytes]


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Remote, Callable[[Answer], None]]]:
    """A client of a service that answers with what it is given."""
    monkeypatch.setattr(client, "MAX_LIST", LIMIT)
    given: list[Answer] = []

    class Hostile(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers, body = given[0]
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Not into the output of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = Target(url=f"http://127.0.0.1:{server.server_port}", key="sk_x", project="1")
    with Remote(target) as found:
        yield found, given.append
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, bytes(50_000_000)),
        ({"content-encoding": "gzip"}, BOMB),
        ({"content-encoding": "GZIP"}, BOMB),
        ({"content-encoding": "gzip, gzip, gzip"}, gzip.compress(gzip.compress(BOMB))),
        ({"content-encoding": "deflate"}, BOMB),
        ({"content-encoding": "gzip"}, b"no gzip at all"),
    ],
)
def test_what_is_too_much_or_strangely_packed_is_refused(
    remote: tuple[Remote, Callable[[Answer], None]], headers: dict[str, str], body: bytes
) -> None:
    service, give = remote
    give((headers, body))
    tracemalloc.start()
    with pytest.raises(RemoteFailure) as failed:
        service.request("GET", "/", max_bytes=LIMIT)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert failed.value.code == "not_skald"
    assert most < 10 * LIMIT, "what is refused was never held"


def test_what_fits_is_read_packed_or_not(remote: tuple[Remote, Callable[[Answer], None]]) -> None:
    service, give = remote
    body = b'{"a":"' + b"x" * (LIMIT - 8) + b'"}'
    give(({"content-encoding": "gzip"}, gzip.compress(body)))
    answer = service.request("GET", "/", max_bytes=LIMIT)
    assert answer.content == body
    assert service.decoded(answer, dict[str, str]).keys() == {"a"}


def test_a_list_without_an_end_is_given_up(remote: tuple[Remote, Callable[[Answer], None]]) -> None:
    service, give = remote
    row = b'{"name":"%s"}' % (b"x" * 1000)
    give(({}, b'{"count":1000000000,"results":[' + b",".join([row] * 100) + b"]}"))
    with pytest.raises(RemoteFailure) as failed:
        list(service.pages("/", shape=dict[str, str]))
    assert failed.value.code == "not_skald"
