"""Prompts read and written through several API processes at once: nothing stale, nothing lost, nobody wins twice."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.support import invariants
from tests.support.service import MakeService, Service

MOVES = 200
RACERS = 20
CALM = httpx.Limits(max_connections=RACERS, max_keepalive_connections=RACERS)


@pytest.fixture(scope="module")
def pair(postgres_url: str, redis_url: str) -> Iterator[tuple[Service, Service]]:
    """Two services, so that a test can say which process answers; they share what the processes of a host share."""
    first = Service(postgres_url, redis_url, followers=True)
    try:
        first.start()
        second = Service(postgres_url, redis_url, run_dir=first.run_dir)
        try:
            yield first, second.start()
        finally:
            second.close()
    finally:
        first.close()


def test_a_moved_label_is_seen_at_once_by_every_process(pair: tuple[Service, Service]) -> None:
    writer, reader = pair
    project = writer.make_project().id
    with writer.client(project_id=project) as here, reader.client(writer.key, project) as there:
        here.post("llm_prompts/", json={"name": "agent", "prompt": "v1"}).raise_for_status()
        for base in range(1, 5):
            change = {"prompt": f"v{base + 1}", "base_version": base}
            here.patch("llm_prompts/name/agent", json=change).raise_for_status()
        for move in range(MOVES):
            version = 1 + move * 3 % 5
            label = f"label-{move % 2}"
            # Who wrote last time reads this time.
            write, read = (here, there) if move % 3 else (there, here)
            if move % 25 == 24:
                write.delete(f"llm_prompts/name/agent/labels/{label}").raise_for_status()
                assert read.get(f"llm_prompts/name/agent?label={label}").status_code == 404
                assert write.get(f"llm_prompts/name/agent?label={label}").status_code == 404
                continue
            address = f"llm_prompts/name/agent/labels/{label}"
            write.put(address, json={"version": version}).raise_for_status()
            for http in (read, write, read):
                seen = http.get(f"llm_prompts/name/agent?label={label}").json()
                assert (seen["version"], seen["prompt"]) == (version, f"v{version}"), (
                    f"stale after move {move}"
                )
            assert label in read.get(f"llm_prompts/name/agent?version={version}").json()["labels"]
            assert (label in read.get("llm_prompts/name/agent").json()["labels"]) is (version == 5)


def test_a_moved_label_of_a_skill_is_seen_at_once_by_every_process(pair: tuple[Service, Service]) -> None:
    project = pair[0].make_project().id
    with pair[0].client(project_id=project) as here, pair[1].client(pair[0].key, project) as there:
        skill = {"name": "pdf", "description": "d", "body": "v1"}
        here.post("llm_skills/", json=skill).raise_for_status()
        for base in range(1, 3):
            change = {"body": f"v{base + 1}", "base_version": base}
            here.patch("llm_skills/name/pdf", json=change).raise_for_status()
        for move in range(MOVES // 4):
            version, (write, read) = 1 + move % 3, (here, there) if move % 2 else (there, here)
            write.put("llm_skills/name/pdf/labels/live", json={"version": version}).raise_for_status()
            for http in (read, write, read):
                seen = http.get("llm_skills/name/pdf?label=live").json()
                assert (seen["body"], seen["labels"]) == (f"v{version}", ["live"]), f"stale after move {move}"
            assert ("live" in read.get("llm_skills/name/pdf").json()["labels"]) is (version == 3)
        here.delete("llm_skills/name/pdf/labels/live").raise_for_status()
        assert there.get("llm_skills/name/pdf?label=live").status_code == 404


def test_a_new_prompt_under_the_old_name_never_shows_the_old(pair: tuple[Service, Service]) -> None:
    here, there = pair[0], pair[1]
    project = here.make_project().id
    with here.client(project_id=project) as one, there.client(here.key, project) as two:
        for life in range(40):
            writer, reader = (one, two) if life % 2 else (two, one)
            text = f"life {life}"
            writer.post("llm_prompts/", json={"name": "agent", "prompt": text}).raise_for_status()
            writer.put("llm_prompts/name/agent/labels/live", json={"version": 1}).raise_for_status()
            for query in ("", "?version=1", "?label=live"):
                for http in (reader, writer, reader):
                    assert http.get(f"llm_prompts/name/agent{query}").json()["prompt"] == text
            archived = writer.post("llm_prompts/name/agent/archive").raise_for_status()
            assert (archived.json()["prompt"], archived.json()["labels"]) == (text, [])
            for query in ("", "?version=1", "?label=live"):
                assert reader.get(f"llm_prompts/name/agent{query}").status_code == 404


async def all_at_once(
    pair: tuple[Service, Service], project: int, requests: list[tuple[str, str, Any]]
) -> list[httpx.Response]:
    """The requests start together, every other one at the other process."""
    clients = [service.async_client(pair[0].key, project, limits=CALM) for service in pair]
    try:
        return list(
            await asyncio.gather(
                *(
                    clients[number % 2].request(method, f"llm_prompts/{path}", json=body)
                    for number, (method, path, body) in enumerate(requests)
                )
            )
        )
    finally:
        for client in clients:
            await client.aclose()


async def test_twenty_creators_of_one_name(pair: tuple[Service, Service]) -> None:
    project = pair[0].make_project().id

    answers = await all_at_once(
        pair, project, [("POST", "", {"name": "agent", "prompt": number}) for number in range(RACERS)]
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 400: RACERS - 1}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 400} == {"unique"}
    [winner] = [answer.json() for answer in answers if answer.status_code == 201]
    with pair[0].client(project_id=project) as http:
        assert http.get("llm_prompts/name/agent").json()["prompt"] == winner["prompt"]


async def test_twenty_publishers_on_one_base(pair: tuple[Service, Service]) -> None:
    project = pair[0].make_project().id
    with pair[0].client(project_id=project) as http:
        http.post("llm_prompts/", json={"name": "agent", "prompt": "one"}).raise_for_status()

    for base in (1, 2):
        answers = await all_at_once(
            pair,
            project,
            [("PATCH", "name/agent", {"prompt": number, "base_version": base}) for number in range(RACERS)],
        )
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: RACERS - 1}
        lost = [answer.json() for answer in answers if answer.status_code == 409]
        assert all((body["code"], body["current_version"]) == ("version_conflict", base + 1) for body in lost)


async def test_labels_publishes_and_archives_crosswise(
    pair: tuple[Service, Service], postgres_url: str
) -> None:
    project = pair[0].make_project().id
    allowed = {
        "POST": {200, 201, 400, 404},
        "PATCH": {200, 404, 409},
        "PUT": {200, 201, 404},
        "DELETE": {204, 404},
        "GET": {200, 404},
    }
    acknowledged = []
    for turn in range(6):
        requests: list[tuple[str, str, Any]] = [("POST", "", {"name": "agent", "prompt": f"life {turn}"})]
        for number in range(6):
            requests += [
                ("PATCH", "name/agent", {"prompt": f"{turn}.{number}", "base_version": 1}),
                ("PUT", "name/agent/labels/live", {"version": 1 + number % 2}),
                ("GET", "name/agent?label=live", None),
            ]
        requests += [
            ("DELETE", "name/agent/labels/live", None),
            ("POST", "name/agent/archive", None),
            ("POST", "name/agent/duplicate", {"new_name": f"copy-{turn}"}),
            ("POST", "", {"name": "agent", "prompt": "again"}),
        ]
        if turn % 2:
            requests.reverse()
        for (method, path, _), answer in zip(
            requests, await all_at_once(pair, project, requests), strict=True
        ):
            assert answer.status_code in allowed[method], (method, path, answer.text)
            if "x-event-position" in answer.headers and method in ("PATCH", "POST"):
                version = None if path.endswith("archive") else answer.json()["id"]
                acknowledged.append((int(answer.headers["x-event-position"]), version))

    positions = [position for position, _ in acknowledged]
    assert len(set(positions)) == len(positions)
    with psycopg.connect(postgres_url) as conn:
        found: dict[int, str] = dict(
            conn.execute(
                """SELECT position, id::text FROM versions WHERE position = ANY(%s)""", (positions,)
            ).fetchall()
        )
    assert all(found[position] == version for position, version in acknowledged if version is not None)
    invariants.check(postgres_url)
    with pair[0].client(project_id=project) as one, pair[1].client(pair[0].key, project) as two:
        for path in ("llm_prompts/?order_by=name", "llm_prompts/?label=live"):
            assert one.get(path).json()["results"] == two.get(path).json()["results"]


def test_labels_survive_without_redis(make_service: MakeService) -> None:
    service = make_service(redis_url=None)
    with service.client() as http:
        http.post("llm_prompts/", json={"name": "agent", "prompt": "one"}).raise_for_status()
        http.put("llm_prompts/name/agent/labels/live", json={"version": 1}).raise_for_status()
        for _ in range(3):
            assert http.get("llm_prompts/name/agent?label=live").json()["label"] == "live"
