"""Node's own EventSource on the stream of events: what it dispatches, and where it goes on when it connects again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clients.conftest import HERE, home_on, packaged_node, run_node
from tests.support.service import Service

pytestmark = [pytest.mark.slow]

HEARTBEAT = 0.2
ARCHIVED = "skald.skill.archived.v1"
CREATED = "skald.skill.created.v1"


@pytest.fixture(scope="module")
def service(postgres_url: str, redis_url: str) -> Iterator[Service]:
    service = Service(postgres_url, redis_url, settings={"SKALD_STREAM_HEARTBEAT": str(HEARTBEAT)})
    try:
        yield service.start()
    finally:
        service.close()


def followed(packages: Path, **job: Any) -> dict[str, Any]:
    script = str(HERE / "event_source.mjs")
    done = run_node(
        ["--experimental-eventsource", script], {}, msgspec.json.encode(job), program=packaged_node(packages)
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def test_a_filtered_stream_goes_on_from_the_position_without_an_event(
    packages: Path, service: Service
) -> None:
    home = home_on(service)
    with home.http() as http:
        made = http.post("llm_skills/", json={"name": "pdf-forms", "description": "d", "body": "b"})
        position = int(made.raise_for_status().headers["x-event-position"])
        url = str(http.base_url.join(f"events/stream?type={ARCHIVED}"))
        found = followed(
            packages, url=url, key=home.other_key("event:read"), types=[ARCHIVED], until=["event: position"]
        )
    assert found["messages"] == []
    first, second = found["connections"]
    assert first is None
    assert int(second) >= position


def test_events_are_dispatched_once_and_silence_is_not(packages: Path, service: Service) -> None:
    home = home_on(service)
    with home.http() as http:
        positions = []
        for name in ("pdf-forms", "pdf-pages"):
            made = http.post("llm_skills/", json={"name": name, "description": "d", "body": "b"})
            positions.append(made.raise_for_status().headers["x-event-position"])
        url = str(http.base_url.join("events/stream"))
        found = followed(
            packages,
            url=url,
            key=home.other_key("event:read"),
            types=[CREATED],
            until=[f"id: {positions[1]}\n"],
        )
    assert [(kind, at) for kind, at, _ in found["messages"]] == [(CREATED, at) for at in positions]
    assert [json.loads(data)["position"] for _, _, data in found["messages"]] == [int(at) for at in positions]
    assert found["connections"] == [None, positions[1]]
