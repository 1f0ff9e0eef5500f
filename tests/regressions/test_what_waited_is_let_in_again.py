"""A long poll whose key was revoked meanwhile answered with later events, and downloads went on to their end.

What has waited is let in once more before each part of its answer; the connection of half an answer is cut.
"""

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from api.http import stream
from api.mcp.internal import InternalClient
from store.tables import identity
from store.tables import shares as stored_shares
from tests.support.messages import meet
from tests.support.space import NewSpace, Space, refusal

SCOPES = ("llm_skill:write", "llm_prompt:write", "event:read")
FETCH = b"0012command=fetch\n0001000fno-progress0032want %b\n0009done\n0000"


@pytest_asyncio.fixture(loop_scope="session")
async def project(new_space: NewSpace) -> Space:
    return await new_space(scopes=SCOPES)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the connection of the client is cut."""
    event = asyncio.Event()
    monkeypatch.setattr(stream, "cut", lambda client: event.set())
    return event


async def until_refused(space: Space, path: str) -> None:
    """What another process revokes is known here when the log has been followed to there."""
    async with asyncio.timeout(10):
        while (await space.at("GET", path)).status_code == 200:
            await asyncio.sleep(0.01)


async def revoke(space: Space) -> None:
    for key in await identity.list_keys(space.conn):
        if space.key.startswith(key.prefix):
            await identity.revoke_key(space.conn, key.id)
    await until_refused(space, "llm_skills/")


async def write_as_another(space: Space) -> None:
    _, key = await identity.create_key(
        space.conn, email=space.user.email, scopes=["llm_skill:write"], project_ids=[space.id]
    )
    headers = {"authorization": f"Bearer {key}"}
    answer = await space.client.post(
        f"/api/projects/{space.id}/llm_skills/",
        json={"name": "later", "description": "d", "body": "b"},
        headers=headers,
    )
    assert answer.status_code == 201


@pytest.mark.parametrize("something_happens", [True, False])
async def test_a_long_poll(project: Space, something_happens: bool) -> None:
    wait = 20 if something_happens else 1
    waiting = asyncio.create_task(project.at("GET", f"events/?after={await project.head()}&wait={wait}"))
    await asyncio.sleep(0.2)
    assert not waiting.done()

    await revoke(project)
    if something_happens:
        await write_as_another(project)

    assert refusal(await asyncio.wait_for(waiting, 10)) == (401, "authentication_failed", None)


def is_whole(messages: list[dict[str, Any]]) -> bool:
    return not messages[-1].get("more_body", False)


@pytest.mark.parametrize("shape", ["ndjson", "csv"])
async def test_a_download_of_the_audit(
    project: Space, cut: asyncio.Event, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.events.audit.BATCH", 1)
    for name in ("a", "b", "c"):
        await project.create(name)

    async def taken(part: bytes) -> None:
        if b"skill/a" in part:
            await revoke(project)

    messages = await meet(project, f"audit/?format={shape}", taken, gone=cut)
    assert b"skill/b" not in b"".join(message.get("body", b"") for message in messages)
    assert not is_whole(messages)
    assert cut.is_set()


async def test_an_export(project: Space, cut: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.zips.WHOLE", 0)
    await project.create("a", files=[{"path": f"{letter}.txt", "content": letter} for letter in "xyz"])

    async def taken(part: bytes) -> None:
        await revoke(project)

    messages = await meet(project, "llm_skills/name/a/export", taken, gone=cut)
    assert len([message for message in messages if message.get("body")]) == 1
    assert not is_whole(messages)
    assert cut.is_set()


async def test_a_clone(project: Space, cut: asyncio.Event) -> None:
    await project.create("a")
    refs = await project.get("marketplace.git/info/refs?service=git-upload-pack")
    commit = next(line for line in refs.text.split("\n") if "HEAD" in line or "refs/heads" in line)
    oid = commit.replace("0000", "", 1)[4:44] if commit.startswith("0000") else commit[4:44]

    async def taken(part: bytes) -> None:
        await revoke(project)

    messages = await meet(
        project,
        "llm_skills/marketplace.git/git-upload-pack",
        taken,
        gone=cut,
        method="POST",
        body=FETCH % oid.encode(),
        headers=(
            (b"content-type", b"application/x-git-upload-pack-request"),
            (b"git-protocol", b"version=2"),
        ),
    )
    assert b"PACK" not in b"".join(message.get("body", b"") for message in messages)
    assert not is_whole(messages)
    assert cut.is_set()


async def test_an_archive_of_a_share(
    project: Space, cut: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.zips.WHOLE", 0)
    await project.create("a", files=[{"path": f"{letter}.txt", "content": letter} for letter in "xyz"])
    share = await project.ok(201, await project.post("shares/", {"label": "x"}))

    async def taken(part: bytes) -> None:
        await stored_shares.revoke(project.conn, share["id"])
        await until_refused(project, path)

    path = share["url"].removeprefix("http://skald.test") + "/.well-known/agent-skills/a.zip"
    messages = await meet(project, path, taken, gone=cut)
    assert len([message for message in messages if message.get("body")]) == 1
    assert not is_whole(messages)
    assert cut.is_set()


async def test_an_mcp_message_that_asks_for_many_things(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        await project.create(name)
    asked: list[int] = []
    ask = InternalClient._ask

    async def then_revoke(self: InternalClient, *args: Any) -> Any:
        answer = await ask(self, *args)
        asked.append(answer.status)
        if len(asked) == 1:
            await revoke(project)
        return answer

    monkeypatch.setattr(InternalClient, "_ask", then_revoke)
    answer = await project.at(
        "POST",
        "mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "skills/list", "params": {}},
        headers={"accept": "application/json, text/event-stream"},
    )
    assert answer.status_code == 200
    assert asked == [200], "the list was read, and no skill after it"
