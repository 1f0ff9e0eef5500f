"""A client that left while it sent its body was a 500 with a traceback; one that left later was logged as answered."""

import json
import re
import time
from functools import partial

from tests.support.servers import eventually
from tests.support.service import MakeService, Service
from tests.support.space import skill
from tests.support.wire import Wire, request


def logged(service: Service, route: str) -> list[int]:
    """The statuses of the requests to a route."""
    found = re.findall(r'"route":"[^"]*' + re.escape(route) + r'","status":([0-9]+)', service.output)
    return [int(status) for status in found]


def are_left(service: Service, count: int) -> bool:
    return service.output.count('"status":499') >= count


BODIES = (
    ("POST", "llm_skills/"),
    ("PATCH", "llm_skills/name/x"),
    ("POST", "llm_skills/import/"),
    ("POST", "/mcp"),
)
BEGINNINGS = {"Content-Length: 100": b"--x\r\n", "Transfer-Encoding: chunked": b"5\r\n--x\r\n\r\n"}


def test_while_it_sends_its_body(make_service: MakeService) -> None:
    service = make_service()
    for count, (method, path) in enumerate(BODIES, 1):
        media_type = "multipart/form-data; boundary=x" if "import" in path else "application/json"
        for framing, beginning in BEGINNINGS.items():
            with Wire(service) as wire:
                head = (f"Content-Type: {media_type}", framing, "Expect: 100-continue")
                wire.send(request(service, method, path, *head))
                # Now the request is being read.
                assert wire.reply("HEAD").status == 100
                wire.send(beginning)
                wire.reset()
        eventually(partial(are_left, service, 2 * count), f"both {method} {path} are logged")

    service.stop()
    assert set(re.findall(r'"status":([0-9]+)', service.output)) <= {"200", "499"}
    assert service.output.count('"status":499') == 2 * len(BODIES)
    assert "Traceback" not in service.output
    assert "unhandled" not in service.output


def test_while_it_waits_and_while_it_reads(make_service: MakeService) -> None:
    service = make_service()
    service.key = service.make_key(("llm_skill:write", "event:read"))
    with Wire(service) as wire:
        wire.send(request(service, "GET", "events/?wait=2"))
        time.sleep(0.3)
        wire.reset()
    with Wire(service) as wire:
        wire.send(request(service, "GET", "events/stream"))
        # Chunks of the stream have begun.
        wire.until(b"retry")
        wire.reset()
    # The one that waits is not the last on its connection.
    with Wire(service) as wire:
        wire.send(request(service, "GET", "events/stream") + request(service, "GET", "/healthz"))
        wire.until(b"retry")
        wire.reset()

    eventually(lambda: logged(service, "/events") == [499], "it is logged")
    eventually(lambda: logged(service, "/events/stream") == [499, 499], "they are logged")
    service.stop()
    assert "Traceback" not in service.output
    assert "unhandled" not in service.output


def test_one_that_stays_is_answered(make_service: MakeService) -> None:
    service = make_service()
    with Wire(service) as wire:
        wire.send(request(service, "POST", "llm_skills/", body=json.dumps(skill()).encode()))
        assert wire.reply().status == 201
    service.stop()
    assert logged(service, "/llm_skills") == [201]
