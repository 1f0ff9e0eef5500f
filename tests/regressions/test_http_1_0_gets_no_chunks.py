"""Answers of unknown length went to clients of HTTP/1.0 in chunks, which they take for the answer itself."""

import pytest

from tests.support.service import MakeService
from tests.support.wire import Wire, request

ALL = ("llm_skill:write", "event:read")


def test_it_gets_all_answers_plainly(make_service: MakeService) -> None:
    service = make_service(settings={"SKALD_STREAM_HEARTBEAT": "0.2"})
    service.key = service.make_key(ALL)
    with Wire(service) as wire:
        wire.send(request(service, "GET", "events/stream", version="1.0"))
        said = wire.until(b": still here\n")
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"\r\nconnection: close" in head.lower()
    assert body == b"retry: 1000\n"

    for path in ("/healthz", "llm_skills/", "audit/?format=csv", "/nothing"):
        with Wire(service) as wire:
            wire.send(request(service, "GET", path))
            expected = wire.reply()
        with Wire(service) as wire:
            wire.send(request(service, "GET", path, "Connection: keep-alive", version="1.0"))
            reply = wire.reply()
            assert "transfer-encoding" not in reply.headers
            assert (reply.status, reply.body) == (expected.status, expected.body)
            assert wire.rest() == b""


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_it_is_told_nothing_that_it_does_not_know(make_service: MakeService, method: str) -> None:
    service = make_service()
    with Wire(service) as wire:
        head = ("Expect: 100-continue", "Content-Length: 2", "Content-Type: application/json")
        wire.send(request(service, method, "llm_skills/", *head, version="1.0") + b"{}")
        assert wire.reply(method).status == (200 if method == "HEAD" else 400)
        assert wire.rest() == b""
    with Wire(service) as wire:
        wire.send(
            request(service, "POST", "llm_skills/", "Transfer-Encoding: chunked", version="1.0")
            + b"0\r\n\r\n"
        )
        assert wire.reply().status == 400
        assert wire.rest() == b""
