"""A name that one process has changed is answered by the others without asking Redis or the database."""

import re
from collections.abc import Iterable
from time import sleep
from typing import Any

import httpx
import pytest

from api.cache import log_follower as follower
from api.cache.positions import StreamPositions
from api.cache.reader import RepresentationCache
from api.server.metrics import FLUSH_EVERY
from benchmarks.load import exchange, get
from benchmarks.places import spread
from projections.read.versions import Version
from tests.support.service import MakeService
from tests.support.space import Space, skill

MISSES = re.compile(r'^skald_cache_requests_total\{cache="process",result="miss"\} (\S+)$', re.MULTILINE)


def test_the_other_process_has_what_was_written(make_service: MakeService) -> None:
    service = make_service(workers=2)
    project = service.make_project().id
    key = service.make_key(project_ids=[project])
    path = f"/api/projects/{project}/llm_skills/name/pdf-forms"
    with service.client(key, project) as client:
        assert client.post("llm_skills/", json=skill()).status_code == 201

        def misses() -> float:
            # They are written ten times a second.
            sleep(2 * FLUSH_EVERY)
            found = MISSES.search(httpx.get(f"{service.base_url}/metrics").text)
            assert found is not None
            return float(found[1])

        sockets = [one for each in spread(service.port, service.api_pids(), 1) for one in each]
        for one in sockets:
            assert exchange(one, get(path, key))[0] == 200
        before = misses()
        for version in range(2, 12):
            change = {"base_version": version - 1, "body": f"# Version {version}\n"}
            answered = client.patch("llm_skills/name/pdf-forms", json=change)
            assert answered.status_code == 200
            for one in sockets:
                status, _, body = exchange(one, get(path, key))
                assert (status, body) == (200, answered.content)
        assert misses() == before
        # What nobody wrote as a whole is not there: everybody has to look.
        assert client.post("llm_skills/name/pdf-forms/archive").status_code == 204
        for one in sockets:
            assert exchange(one, get(path, key))[0] == 404
            one.close()


async def test_a_version_is_shown_before_it_is_marked(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two nobody would find it, and all who read the name would ask the database at once."""
    monkeypatch.setattr(follower, "LOOK_EVERY", 0.2)
    order: list[tuple[str, int]] = []
    store_written, advance = RepresentationCache.store_written, StreamPositions.advance

    def shown(
        self: RepresentationCache, project_id: int, kind: str, version: Version, position: int, **options: Any
    ) -> tuple[bytes, bytes]:
        answer = store_written(self, project_id, kind, version, position, **options)
        order.append(("shown", position))
        return answer

    def marked(self: StreamPositions, positions: Iterable[tuple[int, int]]) -> None:
        several = list(positions)
        order.extend(("marked", position) for _, position in several)
        advance(self, several)

    monkeypatch.setattr(RepresentationCache, "store_written", shown)
    monkeypatch.setattr(StreamPositions, "advance", marked)
    await space.create()
    start = await space.head()
    await space.publish("pdf-forms", 1, body="two\n")
    await space.ok(201, await space.post("name/pdf-forms/files/", json={"path": "a.txt", "content": "a"}))
    await space.ok(201, await space.post("name/pdf-forms/duplicate", json={"new_name": "copy"}))
    for position in range(start, start + 4):
        assert order.index(("shown", position)) < order.index(("marked", position))
        assert order.count(("shown", position)) == 1


async def test_an_answer_that_cannot_be_made_is_an_error_for_its_caller_alone(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    await space.create()

    def broken(*_: object) -> tuple[bytes, bytes]:
        raise RuntimeError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(RepresentationCache, "store_written", broken)
        assert (await space.patch("pdf-forms", {"base_version": 1, "body": "two\n"})).status_code == 500
    # It is in the log all the same, and the next one follows it.
    assert (await space.show())["version"] == 2
    assert (await space.publish("pdf-forms", 2, body="three\n"))["version"] == 3
