"""Heads of requests as an attacker writes them: never a 5xx, never a traceback, and what could be two requests is refused."""

import json
import random
import re
from collections.abc import Iterator

import pytest

from tests.support.service import MakeService, Service
from tests.support.wire import Wire

SEED = 15
CASES = 600
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

AMBIGUOUS = {
    "both lengths": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, turned": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nabcde",
    "a signed length": POST + b"Content-Length: +5\r\n\r\nabcde",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nabcde",
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nabcde",
    "an empty length": POST + b"Content-Length:\r\n\r\n",
    "an endless length": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked before the last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "nearly chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "no coding": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a tab before the coding": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\nX: y\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "two equal hosts": b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "no host at all": b'GET /healthz HTTP/1.1\r\nHost: x/"><\r\n\r\n',
    "folded": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a NUL in a name": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
    "a NUL in a value": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
    "a NUL in the target": b"GET /healthz\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "bare carriage returns": b"GET /healthz HTTP/1.1\rHost: x\r\r",
    "no name": b"GET /healthz HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
    "no colon": b"GET /healthz HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n",
    "the first version": b"GET /healthz\r\n\r\n",
    "the version before the first": b"GET /healthz HTTP/0.9\r\nHost: x\r\n\r\n",
    "the next version": b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
    "its preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /healthz HTTP/9\r\nHost: x\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the target": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "no such method": b"FOO /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a small method": b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
}
CHUNKS = {
    "a negative size": b"-5\r\nabcde\r\n0\r\n\r\n",
    "no number": b"x\r\nabcde\r\n0\r\n\r\n",
    "too long for a number": b"f" * 20 + b"\r\n",
    "a space behind the size": b"5 \r\nabcde\r\n0\r\n\r\n",
    "a prefix": b"0x5\r\nabcde\r\n0\r\n\r\n",
    "more than its size": b"3\r\nabcde\r\n0\r\n\r\n",
    "bare line feeds": b"5\nabcde\n0\n\n",
    "an extension that ends by a line feed": b"5;a=b\nabcde\r\n0\r\n\r\n",
    "a folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
}
FINE = {
    "a whole address": b"GET http://x:80/healthz HTTP/1.1\r\nHost: y\r\n\r\n",
    "an empty host": b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
    "an address of version 6": b"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "empty lines": b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "an old version": b"GET /healthz HTTP/1.0\r\n\r\n",
    "the whole service": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "another protocol": b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a query of bytes": b"GET /healthz?%00%ff=%zz&&=&a HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.fixture(scope="module")
def service(postgres_url: str, redis_url: str) -> Iterator[Service]:
    service = Service(postgres_url, redis_url)
    try:
        yield service.start()
    finally:
        service.close()


def said(service: Service, data: bytes) -> bytes:
    """All that is answered; what is not complete is given up by the client."""
    with Wire(service) as wire:
        try:
            wire.send(data)
            wire.finish()
            return wire.rest()
        except ConnectionError:
            # A connection that is closed while more comes may be reset.
            return b""


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_is_ambiguous_is_refused_and_ends_the_connection(service: Service, name: str) -> None:
    with Wire(service) as wire:
        wire.send(AMBIGUOUS[name] + SMUGGLED)
        reply = wire.reply()
        assert (reply.status, reply.headers["connection"]) == (400, "close")
        assert json.loads(reply.body).keys() == {"type", "code", "detail", "attr"}
        assert wire.rest() == b""
    assert "Traceback" not in service.output


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize(
    "path", ["POST /api/projects/1/llm_skills/", "PATCH /api/projects/1/llm_skills/name/x", "POST /mcp"]
)
def test_broken_chunks_are_refused_and_end_the_connection(service: Service, path: str, name: str) -> None:
    head = (
        f"{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    with Wire(service) as wire:
        wire.send(head + CHUNKS[name] + SMUGGLED)
        reply = wire.reply()
        assert (reply.status, reply.headers["connection"]) == (400, "close")
        assert json.loads(reply.body)["code"] == "malformed_request"
        assert wire.rest() == b""


@pytest.mark.parametrize("name", FINE)
def test_what_is_odd_but_clear_is_answered(service: Service, name: str) -> None:
    with Wire(service) as wire:
        wire.send(FINE[name])
        assert wire.reply().status in (200, 204)


def mutated(random: random.Random) -> bytes:
    """One of the heads above, or two, with some bytes changed, doubled, left out or put in."""
    heads = [
        *AMBIGUOUS.values(),
        *FINE.values(),
        *(POST + b"Transfer-Encoding: chunked\r\n\r\n" + one for one in CHUNKS.values()),
    ]
    data = bytearray(b"".join(random.choices(heads, k=random.randint(1, 3))))
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(data))
        match random.randrange(6):
            case 0:
                data[at] = random.randrange(256)
            case 1:
                del data[at : at + random.randint(1, 20)]
            case 2:
                data[at:at] = data[at : at + random.randint(1, 40)]
            case 3:
                data[at:at] = random.choice(
                    [b"\0", b"\r\n", b"\n", b" ", b"\t", b":", b"\xff", b"%00", b"*", b"//", b"a" * 70_000]
                )
            case 4:
                lines = bytes(data).split(b"\r\n")
                random.shuffle(lines)
                data = bytearray(b"\r\n".join(lines))
            case _:
                data[at:at] = random.choice(
                    [
                        b"Content-Length: 3\r\n",
                        b"Transfer-Encoding: chunked\r\n",
                        b"Host: z\r\n",
                        b"Expect: 100-continue\r\n",
                        b"Content-Encoding: gzip\r\n",
                    ]
                )
        if not data:
            return b"\0"
    return bytes(data)


def test_nothing_that_is_sent_is_a_failure(make_service: MakeService) -> None:
    service = make_service()
    pick = random.Random(SEED)
    for _ in range(CASES):
        data = mutated(pick)
        statuses = re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", said(service, data))
        assert not [status for status in statuses if status.startswith(b"5")], (data, statuses)

    assert service.is_ready()
    assert len(service.api_pids()) == 1
    service.stop()
    assert "Traceback" not in service.output
    assert "unhandled" not in service.output
