"""HEAD broke the connection with two tracebacks: its scope, which the server owns, was made one of a GET."""

import json
from collections.abc import Iterator

import pytest

from tests.support.service import MakeService, Service
from tests.support.space import skill
from tests.support.wire import Wire, request

ALL = ("llm_skill:write", "llm_prompt:write", "event:read")


@pytest.fixture(scope="module")
def service(running_service: Service) -> Iterator[Service]:
    key, project_id = running_service.key, running_service.project_id
    running_service.key = running_service.make_key(ALL)
    running_service.project_id = running_service.make_project().id
    with Wire(running_service) as wire:
        body = json.dumps(skill(body="# x\n" * 1000)).encode()
        wire.send(request(running_service, "POST", "llm_skills/", body=body))
        assert wire.reply().status == 201
    yield running_service
    running_service.key, running_service.project_id = key, project_id


@pytest.mark.parametrize(
    "path",
    [
        "/healthz",
        "/readyz",
        "/schema",
        "/schema/openapi.json",
        "/nothing/here",
        "llm_skills/",
        "llm_skills/name/pdf-forms",
        "llm_skills/name/pdf-forms?version=1",
        "llm_skills/name/none",
        "llm_skills/name/pdf-forms/skill-md",
        "llm_skills/name/pdf-forms/export",
        "llm_prompts/",
        "events/",
        "/mcp",
    ],
)
def test_it_has_the_status_and_the_headers(service: Service, path: str) -> None:
    with Wire(service) as wire:
        wire.send(request(service, "GET", path))
        got = wire.reply()
        wire.send(request(service, "HEAD", path))
        told = wire.reply("HEAD")
        wire.send(request(service, "GET", path))
        again = wire.reply()

    assert told.status == got.status == again.status
    for name in ("content-length", "content-type", "etag", "cache-control", "allow"):
        assert told.headers.get(name) == got.headers.get(name)


def test_without_a_key_and_pipelined_and_for_what_is_unchanged(service: Service) -> None:
    bare = b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with Wire(service) as wire:
        wire.send(bare * 3)
        answers = [wire.reply("HEAD") for _ in range(3)]
        assert {(answer.status, answer.headers["content-length"]) for answer in answers} == {(200, "15")}
        same = request(service, "HEAD", "llm_skills/name/pdf-forms", "If-None-Match: *", "Connection: close")
        wire.send(same)
        assert wire.reply("HEAD").status == 304
        assert wire.rest() == b""


def test_of_a_stream_it_ends_at_once(service: Service) -> None:
    with Wire(service) as wire:
        wire.send(request(service, "HEAD", "events/stream") + request(service, "GET", "/healthz"))
        told = wire.reply("HEAD")
        assert (told.status, told.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert wire.reply().body == b'{"status":"ok"}'


def test_nothing_is_logged_but_the_request(make_service: MakeService) -> None:
    service = make_service()
    with Wire(service) as wire:
        wire.send(
            request(service, "HEAD", "llm_skills/")
            + request(service, "HEAD", "/nothing", "Connection: close")
        )
        assert [wire.reply("HEAD").status for _ in range(2)] == [200, 404]
        assert wire.rest() == b""
    service.stop()

    assert "Traceback" not in service.output
    assert service.output.count('"method":"HEAD"') == 2
