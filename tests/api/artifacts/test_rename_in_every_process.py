"""A name that was given up is answered from no cache: not of another process, not of Redis, not on the short way of hot reads."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.invariants import check
from tests.support.service import Service

ROUNDS = 20


@pytest.fixture(scope="module")
def pair(postgres_url: str, redis_url: str) -> Iterator[tuple[Service, Service]]:
    """Two processes of a host, so that a test can say which one answers."""
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


BODIES = {"llm_skills": {"description": "d", "body": "b"}, "llm_prompts": {"prompt": "b"}}


@pytest.mark.parametrize("resource", BODIES)
def test_no_process_answers_by_the_old_name(pair: tuple[Service, Service], resource: str) -> None:
    writer, reader = pair
    project = writer.make_project().id
    with writer.client(project_id=project) as here, reader.client(writer.key, project) as there:
        here.post(f"{resource}/", json={"name": "name-0", **BODIES[resource]}).raise_for_status()
        for round_ in range(ROUNDS):
            old, new = f"{resource}/name/name-{round_}", f"{resource}/name/name-{round_ + 1}"
            # In the caches of both, of the latest and of one version.
            tags = {http.get(old).headers["etag"] for http in (here, there, here, there)}
            assert len(tags) == 1
            for http in (here, there):
                assert http.get(f"{old}?version=1").status_code == 200
            write, other = (here, there) if round_ % 2 else (there, here)
            made = write.post(f"{old}/rename", json={"new_name": f"name-{round_ + 1}"}).raise_for_status()
            for http in (other, write, other):
                for query in ("", "?version=1"):
                    for headers in ({}, {"If-None-Match": tags.copy().pop()}):
                        led = http.get(old + query, headers=headers)
                        assert led.status_code == 302, (round_, query, headers)
                        assert led.headers["location"].endswith(new + query)
                assert http.get(new).json()["name"] == f"name-{round_ + 1}"
                assert http.get(new).json()["id"] == made.json()["id"]
                refused = http.patch(old, json={"base_version": 1, **BODIES[resource]})
                assert (refused.status_code, refused.json()["renamed_to"]) == (404, f"name-{round_ + 1}")
        # A name taken by another one is that one's.
        here.post(f"{resource}/", json={"name": "name-0", **BODIES[resource]}).raise_for_status()
        for http in (there, here):
            assert http.get(f"{resource}/name/name-0").json()["latest_version"] == 1
            assert http.get(f"{resource}/name/name-1").status_code == 302


async def test_renames_creates_archives_and_publishes_of_several_processes(
    pair: tuple[Service, Service], postgres_url: str
) -> None:
    """What was acknowledged is there, and no name has two holders."""
    project = pair[0].make_project().id
    clients = [service.async_client(pair[0].key, project_id=project) for service in pair for _ in range(3)]

    async def work(number: int, http: httpx.AsyncClient) -> list[httpx.Response]:
        done = []
        for step in range(15):
            one, other = f"s-{(number + step) % 3}", f"s-{(number + 2 * step + 1) % 3}"
            requests: list[tuple[str, str, Any]] = [
                ("POST", "", {"name": one, "description": "d", "body": "b"}),
                ("POST", f"name/{one}/rename", {"new_name": other}),
                ("POST", f"name/{one}/files", {"path": f"{number}-{step}", "content": ""}),
                ("POST", f"name/{one}/archive", None),
                ("POST", f"name/{one}/restore", None),
            ]
            method, path, body = requests[(number + step) % len(requests)]
            done.append(await http.request(method, f"llm_skills/{path}", json=body))
        return done

    answers = await asyncio.gather(*(work(number, http) for number, http in enumerate(clients)))
    seen = {answer.status_code for each in answers for answer in each}
    assert seen <= {200, 201, 204, 400, 404, 409}, seen
    await asyncio.to_thread(check, postgres_url)
    for client in clients:
        await client.aclose()
