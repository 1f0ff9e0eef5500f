"""Races by hand: the order lock of the log is held while a request waits for it, and what comes first is appended meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from domain.artifacts.policies import LabelPolicies
from domain.events import Event
from projections.events import policies
from store.ids import new_id
from store.log.log import LOCK, Commit, append_within
from store.log.mapper import to_stored
from store.postgres.connection import Connection
from store.postgres.pool import connect
from tests.support.prompt_space import PromptSpace
from tests.support.space import NewSpace, Space, refusal

WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7203014 AND NOT granted"


@pytest_asyncio.fixture(loop_scope="session")
async def other(postgres_url: str) -> AsyncIterator[Connection]:
    """The connection of another writer."""
    async with await connect(postgres_url) as connection:
        yield connection


@asynccontextmanager
async def first(
    other: Connection,
    space: Space,
    request: Awaitable[httpx.Response],
    happens: Callable[[], Awaitable[None]],
) -> AsyncIterator[httpx.Response]:
    """The answer to a request that has decided already when something else is appended before it."""
    async with other.transaction():
        await other.execute(LOCK)
        task = asyncio.ensure_future(request)
        while True:
            waiting = await (await space.conn.execute(WAITING)).fetchone()
            if waiting and waiting[0]:
                break
            assert not task.done(), "the request did not come to its append"
            await asyncio.sleep(0.005)
        await happens()
    yield await task


async def policy(other: Connection, space: Space, label: str, approvals: int) -> None:
    """Another process sets a policy."""
    current, _ = await policies.load(other, space.id)
    fork: LabelPolicies = current.fork()
    fork.set(label, protected=True, approvals=approvals)
    await append(other, space, fork.pending)


async def append(other: Connection, space: Space, events: tuple[Event, ...]) -> None:
    commit = Commit(
        events=tuple(map(to_stored, events)),
        command_id=new_id(),
        project_id=space.id,
        actor_id=space.user.id,
    )
    await append_within(other, commit)


@pytest.fixture
async def admin(new_space: NewSpace) -> Space:
    return await new_space(scopes=("*",))


@pytest.mark.parametrize("move", ["set", "remove", "archive"])
async def test_a_policy_that_comes_first_holds_for_a_move(admin: Space, other: Connection, move: str) -> None:
    prompts = PromptSpace(admin)
    await prompts.create()
    await prompts.publish(1, prompt="two")
    await prompts.set_label("production", 1)
    requests = {
        "set": lambda: prompts.put("production", {"version": 2}),
        "remove": lambda: prompts.delete("production"),
        "archive": lambda: prompts.post("name/agent/archive", {}),
    }

    async with first(other, admin, requests[move](), lambda: policy(other, admin, "production", 1)) as answer:
        assert refusal(answer) == (403, "approval_required", None)
    assert (await prompts.show(label="production"))["version"] == 1


async def test_a_policy_of_another_label_holds_no_move_up(admin: Space, other: Connection) -> None:
    prompts = PromptSpace(admin)
    await prompts.create()
    async with first(
        other, admin, prompts.put("beta", {"version": 1}), lambda: policy(other, admin, "production", 1)
    ) as answer:
        assert answer.status_code == 201


async def test_two_policies_at_once_are_both_set(admin: Space, other: Connection) -> None:
    request = admin.at("PUT", "label-policies/production", json={"approvals": 2})
    async with first(other, admin, request, lambda: policy(other, admin, "beta", 1)) as answer:
        assert answer.status_code == 201
    found = (await admin.at("GET", "label-policies/")).json()["results"]
    assert [(row["label"], row["approvals"]) for row in found] == [("beta", 1), ("production", 2)]


async def test_moves_and_policies_in_one_batch(admin: Space) -> None:
    """What is sent at once goes into few appends; each move is either before the policy or refused by it."""
    prompts = PromptSpace(admin)
    names = [f"agent-{number}" for number in range(12)]
    for name in names:
        await prompts.create(name)
    answers = await asyncio.gather(
        *(prompts.put("production", {"version": 1}, name) for name in names[:6]),
        admin.at("PUT", "label-policies/production", json={"approvals": 1}),
        *(prompts.put("production", {"version": 1}, name) for name in names[6:]),
    )
    position = int(answers[6].headers["x-event-position"])
    moved = [answer for answer in (*answers[:6], *answers[7:]) if answer.status_code == 201]
    assert all(int(answer.headers["x-event-position"]) < position for answer in moved)
    refused = [answer for answer in (*answers[:6], *answers[7:]) if answer.status_code != 201]
    assert {refusal(answer)[1] for answer in refused} <= {"approval_required"}
