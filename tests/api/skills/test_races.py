"""Races over real sockets against two API processes: bounded, and every answer is accounted for."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.invariants import Acknowledged, check
from tests.support.service import Service
from tests.support.space import file, skill

CROWD = 20


class Project:
    """A project of one test on the running service, with a connection for each of the crowd."""

    def __init__(self, service: Service) -> None:
        project_id = service.make_project().id
        self.clients = [service.async_client(project_id=project_id) for _ in range(CROWD)]

    async def all_at_once(self, *requests: tuple[str, str, Any]) -> list[httpx.Response]:
        """Each request on a connection of its own; connections are open before, so the race is close."""
        await asyncio.gather(*(client.get("llm_skills/?limit=1") for client in self.clients))
        return await asyncio.gather(
            *(
                client.request(method, f"llm_skills/{path}", json=body)
                for client, (method, path, body) in zip(self.clients, requests, strict=False)
            )
        )

    async def get(self, path: str) -> Any:
        answer = await self.clients[0].get(f"llm_skills/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self.clients[0].post(f"llm_skills/{path}", json=body)


@pytest.fixture
async def project(running_service: Service) -> Any:
    opened = Project(running_service)
    yield opened
    for client in opened.clients:
        await client.aclose()


async def test_twenty_creators_of_one_name(project: Project) -> None:
    answers = await project.all_at_once(*[("POST", "", skill("one", body=f"body {n}")) for n in range(CROWD)])

    codes = Counter(
        (answer.status_code, answer.json().get("code"), answer.json().get("attr")) for answer in answers
    )
    assert codes == {(201, None, None): 1, (400, "unique", "name"): 19}
    [winner] = [answer.json() for answer in answers if answer.status_code == 201]
    assert await project.get("name/one") == winner
    assert (await project.get(""))["count"] == 1


async def test_twenty_publishers_on_one_base(project: Project) -> None:
    await project.post("", skill())

    for base in (1, 2):
        answers = await project.all_at_once(
            *[("PATCH", "name/pdf-forms", {"base_version": base, "body": f"by {n}"}) for n in range(CROWD)]
        )
        codes = Counter((answer.status_code, answer.json().get("current_version")) for answer in answers)
        assert codes == {(200, None): 1, (409, base + 1): 19}
        [winner] = [answer.json() for answer in answers if answer.status_code == 200]
        assert await project.get("name/pdf-forms") == winner


async def test_twenty_files_are_added_without_a_base(project: Project) -> None:
    await project.post("", skill())

    answers = await project.all_at_once(
        *[("POST", "name/pdf-forms/files", file(f"f{n}", f"content {n}")) for n in range(CROWD)]
    )

    assert [answer.status_code for answer in answers] == [201] * CROWD
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, CROWD + 2))
    for answer in answers:
        assert len(answer.json()["files"]) == answer.json()["version"] - 1
    shown = await project.get("name/pdf-forms")
    assert (shown["version"], len(shown["files"])) == (CROWD + 1, CROWD)
    for n in range(CROWD):
        assert (await project.get(f"name/pdf-forms/files/f{n}"))["content"] == f"content {n}"


async def test_twenty_add_the_same_file(project: Project) -> None:
    await project.post("", skill())

    answers = await project.all_at_once(
        *[("POST", "name/pdf-forms/files", file("same", f"by {n}")) for n in range(CROWD)]
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"file_exists"}


async def test_twenty_archive_one_skill(project: Project) -> None:
    await project.post("", skill())

    answers = await project.all_at_once(*[("POST", "name/pdf-forms/archive", None)] * CROWD)

    assert Counter(answer.status_code for answer in answers) == {204: 1, 404: 19}


async def test_create_duplicate_and_archive_crosswise_on_one_name(
    project: Project, postgres_url: str
) -> None:
    """Names stay unique, versions contiguous, and whatever was acknowledged happened exactly once."""
    await project.post("", skill("source", body="source"))
    lives: dict[str, str] = {}
    archived = 0
    acknowledged = []

    for turn in range(6):
        requests = [
            ("POST", "", skill("target", body=f"created in turn {turn}")),
            ("POST", "name/source/duplicate", {"new_name": "target"}),
            ("POST", "name/target/archive", None),
            ("POST", "name/target/files", file(f"f{turn}")),
        ]
        answers = await project.all_at_once(*(requests * 5))
        for (_, path, _), answer in zip(requests * 5, answers, strict=True):
            assert answer.status_code in (200, 201, 204, 400, 404, 409), answer.text
            if answer.status_code == 400:
                assert answer.json()["code"] == "unique"
            if answer.status_code == 201 and path in ("", "name/source/duplicate"):
                assert answer.json()["version"] == 1
                lives[answer.json()["id"]] = path
            archived += answer.status_code == 204
            if answer.is_success:
                version_id = UUID(answer.json()["id"]) if answer.content else None
                acknowledged.append(Acknowledged(int(answer.headers["x-event-position"]), version_id))

    listed = await project.get("?search=target")
    assert len(lives) - archived == listed["count"] == len(listed["results"]) <= 1
    if listed["count"]:
        resolved = await project.get("resolve/name/target?limit=100")
        numbers = [line["version"] for line in resolved["versions"]]
        assert numbers == list(range(len(numbers), 0, -1))
        assert resolved["versions"][-1]["id"] in lives
        assert len(resolved["skill"]["files"]) == len(numbers) - 1
    assert (await project.get("name/source"))["version"] == 1
    await asyncio.to_thread(check, postgres_url, acknowledged)


async def test_one_idempotency_key_over_all_processes(project: Project) -> None:
    await asyncio.gather(*(client.get("llm_skills/") for client in project.clients))

    answers = await asyncio.gather(
        *(
            client.post("llm_skills/", json=skill(), headers={"Idempotency-Key": "the-one"})
            for client in project.clients
        )
    )

    assert {answer.status_code for answer in answers} <= {201, 409}
    done = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in done}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in done) == 1
    again = await project.clients[0].post("llm_skills/", json=skill(), headers={"Idempotency-Key": "the-one"})
    assert (again.status_code, again.content) == (201, done[0].content)


async def test_a_thousand_publishes_are_each_seen_at_once_by_another_process(
    running_service: Service, make_service: Any
) -> None:
    """Two services of one host share their run folder; the other one never shows what is older than an answer."""
    other = make_service(workers=1, run_dir=running_service.run_dir)
    project_id = running_service.make_project().id
    names = [f"skill-{n}" for n in range(8)]
    stale = 0

    async def follow(name: str) -> int:
        missed = 0
        async with (
            running_service.async_client(project_id=project_id) as writer,
            other.async_client(key=running_service.key, project_id=project_id) as reader,
        ):
            created = await writer.post("llm_skills/", json=skill(name))
            assert created.status_code == 201
            for base in range(1, 126):
                body = {"base_version": base, "description": f"version {base + 1}"}
                published = await writer.patch(f"llm_skills/name/{name}", json=body)
                assert published.status_code == 200, published.text
                shown = await reader.get(f"llm_skills/name/{name}")
                missed += shown.content != published.content
            return missed

    stale = sum(await asyncio.gather(*(follow(name) for name in names)))

    assert stale == 0
