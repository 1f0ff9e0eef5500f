"""Races by hand: the order lock of the log is held while a request waits for it, and what comes first is appended meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from domain.artifacts import promoting
from domain.artifacts.kinds import KINDS
from domain.artifacts.policies import LabelPolicies
from domain.artifacts.versioned import Versioned
from domain.events import Event
from projections.declared import fold_inline
from projections.events import policies
from projections.read import contents
from projections.read.kinds import KINDS as KINDS_READ
from projections.rebuild import rebuild as rebuilding
from projections.write import names
from projections.write.artifacts import AppliedEvent
from store.ids import new_id
from store.log.log import LOCK, Commit, append_within, read_stream
from store.log.mapper import decode, to_stored
from store.log.statements import SetStatement, merge
from store.postgres.connection import Connection
from store.postgres.pool import connect
from tests.support.governing import NAME, Governed, another, governed
from tests.support.invariants import check
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


# Promotions ----------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session", params=list(KINDS))
async def ada(new_space: NewSpace, request: pytest.FixtureRequest) -> Governed:
    made = await governed(new_space, request.param)
    await made.policy(approvals=1)
    return made


async def artifact_of(other: Connection, space: Governed) -> Versioned:
    """The artifact as another process has it."""
    cls = KINDS[space.kind]
    stream = await names.holder(other, space.space.id, space.kind, NAME)
    assert stream is not None
    artifact = cls(id=stream)
    async for batch in read_stream(other, stream):
        for recorded in batch:
            artifact.evolve(decode(recorded.topic, recorded.state))
    return artifact


async def changed(other: Connection, ada: Governed, change: Callable[[Versioned], object]) -> None:
    """Another process changes the artifact: its events, and the rows that they bring."""
    artifact = await artifact_of(other, ada)
    change(artifact)
    events = artifact.collect_events()
    await append(other, ada.space, events)
    needed = {ref.digest for ref in KINDS_READ[ada.kind].needs(artifact)}
    data = await contents.read(other, needed)
    steps = [AppliedEvent(artifact, event, ada.space.id, ada.space.user.id, data) for event in events]
    folded = fold_inline(steps, KINDS_READ)
    parts = [(part.digest, part.data) for part in folded.parts]
    if parts:
        await other.execute(rebuilding.STORE, SetStatement.columns(parts))
    for statement, rows in merge([folded.writes]):
        await other.execute(statement.sql.encode(), SetStatement.columns(rows))


async def test_of_two_last_approvals_at_once_one_moves_the_label(ada: Governed) -> None:
    made = await ada.request(2)
    people = [ada.of(await another(ada.space)) for _ in range(4)]
    answers = await asyncio.gather(*(person.act(made, "approve") for person in people))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert {answer.json().get("code", "promoted") for answer in answers} == {"promoted"}
    [one] = await ada.listed()
    assert (one["status"], len(one["approvals"]), await ada.labeled()) == ("promoted", 1, 2)
    history = (await ada.named("GET", "labels/production/history")).json()["results"]
    assert [entry["version"] for entry in history] == [2, 1]


async def test_an_approval_of_another_process_comes_first(ada: Governed, other: Connection) -> None:
    await ada.policy(approvals=2)
    made = await ada.request(2)
    grace, alan = [ada.of(await another(ada.space)) for _ in range(2)]
    id = UUID(made["id"])

    def approve(artifact: Versioned) -> None:
        promoting.approve(artifact, id, by=alan.space.user.id, required=2)

    async with first(
        other, ada.space, grace.act(made, "approve"), lambda: changed(other, ada, approve)
    ) as answer:
        assert (answer.status_code, answer.json()["status"]) == (200, "promoted")
        assert len(answer.json()["approvals"]) == 2
    assert await ada.labeled() == 2


@pytest.mark.parametrize("move", ["set", "remove", "archive", "withdraw", "promote"])
async def test_what_comes_before_an_approval_decides(ada: Governed, other: Connection, move: str) -> None:
    made, rival = await ada.request(2), await ada.request(3)
    grace = ada.of(await another(ada.space))
    changes: dict[str, Callable[[Versioned], object]] = {
        "set": lambda artifact: artifact.set_label("production", 3),
        "remove": lambda artifact: artifact.remove_label("production"),
        "archive": lambda artifact: artifact.archive(),
        "withdraw": lambda artifact: promoting.withdraw(artifact, UUID(made["id"]), by=ada.space.user.id),
        "promote": lambda artifact: promoting.approve(
            artifact, UUID(rival["id"]), by=grace.space.user.id, required=1
        ),
    }
    status = "withdrawn" if move == "withdraw" else "outdated"

    async with first(
        other, ada.space, grace.act(made, "approve"), lambda: changed(other, ada, changes[move])
    ) as answer:
        assert refusal(answer) == (409, status, None)
    assert await ada.status(made) == status
    assert await ada.labeled() == {"set": 3, "promote": 3, "withdraw": 1}.get(move)


async def test_a_rename_that_comes_before_an_approval_holds_it_up_no_further(
    ada: Governed, other: Connection
) -> None:
    made = await ada.request(2)
    grace = ada.of(await another(ada.space))
    async with first(
        other,
        ada.space,
        grace.space_act(made, "approve"),
        lambda: changed(other, ada, lambda artifact: artifact.rename("helper")),
    ) as answer:
        assert (answer.status_code, answer.json()["status"], answer.json()["name"]) == (
            200,
            "promoted",
            "helper",
        )


async def test_an_approval_that_comes_first_ends_a_move(ada: Governed, other: Connection) -> None:
    """The policy is gone, so that a label may be moved directly; the promotion is approved meanwhile."""
    await ada.policy(protected=True, approvals=0)
    made = await ada.request(2)
    grace = await another(ada.space)

    def approve(artifact: Versioned) -> None:
        promoting.approve(artifact, UUID(made["id"]), by=grace.user.id, required=0)

    async with first(other, ada.space, ada.put(3), lambda: changed(other, ada, approve)) as answer:
        assert answer.status_code == 200
    history = (await ada.named("GET", "labels/production/history")).json()["results"]
    assert [entry["version"] for entry in history] == [3, 2, 1]
    assert await ada.status(made) == "promoted"


@pytest.mark.parametrize(("approvals", "status"), [(2, "open"), (1, "promoted")])
async def test_a_policy_that_comes_before_an_approval_counts(
    ada: Governed, other: Connection, approvals: int, status: str
) -> None:
    await ada.policy(approvals=3 - approvals)
    made = await ada.request(2)
    grace = ada.of(await another(ada.space))
    async with first(
        other,
        ada.space,
        grace.act(made, "approve"),
        lambda: policy(other, ada.space, "production", approvals),
    ) as answer:
        assert (answer.json()["status"], answer.json()["required"]) == (status, approvals)
    assert await ada.labeled() == (2 if status == "promoted" else 1)


@pytest.mark.parametrize("batch", [1, 1000])
async def test_the_read_models_are_what_the_log_says(
    ada: Governed, postgres_url: str, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Many moves in one batch of a rebuild, and one by one."""
    grace = ada.of(await another(ada.space))
    two, three = await ada.request(2), await ada.request(3)
    await grace.act(two, "approve")
    rejected, withdrawn = await ada.request(1), await ada.request(3, "beta")
    await grace.act(rejected, "reject", comment="No")
    await ada.act(withdrawn, "withdraw")
    await ada.policy(protected=True, approvals=0)
    again = await ada.request(3)
    await ada.put(1)
    await ada.put(2)
    await ada.request(3)
    await ada.named("POST", "archive", {})
    await ada.named("POST", "restore", {})
    left = await ada.request(3)
    assert [await ada.status(one) for one in (two, three, again, left)] == [
        "promoted",
        "outdated",
        "outdated",
        "open",
    ]
    monkeypatch.setattr(rebuilding, "BATCH", batch)
    report = await rebuilding.rebuild(postgres_url)
    assert report.equal, report
    check(postgres_url)
