"""Reads by name that PostgreSQL answers many at once: each as if it had been alone, and never older than its question."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from api.cache.lookups import MAX_BATCH, MAX_CONCURRENT, MIN_BATCH, Lookups
from api.cache.reads import Reads
from domain.artifacts.prompts import Prompt
from projections.read import versions
from projections.read.versions import Found, Lookup
from store.log.log import append
from store.postgres.connection import Connection
from store.postgres.pool import Pool, connect, open_pool
from tests.support.histories import commit_of, created, published


class Statements:
    """Notes what is asked in one statement, and can hold answers back after PostgreSQL gave them."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.holding = 0
        self.held: set[str] = set()
        self.opened = asyncio.Event()
        self._find_all = versions.find_all

    async def find_all(self, conn: Connection, asked: Sequence[Lookup]) -> list[Found]:
        names = [one.name for one in asked]
        self.asked.append(names)
        found = await self._find_all(conn, asked)
        if self.held & set(names):
            self.holding += 1
            await self.opened.wait()
        return found

    async def until_holding(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.holding < count:
                await asyncio.sleep(0.005)


@pytest.fixture
async def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    statements = Statements()
    monkeypatch.setattr(versions, "find_all", statements.find_all)
    return statements


@pytest.fixture
async def writer(fresh_database_url: str) -> AsyncIterator[Connection]:
    async with await connect(fresh_database_url) as conn:
        yield conn


@pytest.fixture
async def pool(fresh_database_url: str, writer: Connection) -> AsyncIterator[Pool]:
    await append(writer, [created(name_of(number))[1] for number in range(2 * MAX_BATCH)])
    pool = await open_pool(fresh_database_url, size=MAX_CONCURRENT + 1, timeout=1.0)
    yield pool
    await pool.close()


@pytest.fixture
def reads(pool: Pool, statements: Statements) -> Lookups:
    return Lookups(pool, Reads(pool))


def name_of(number: int) -> str:
    return f"skill-{number}"


def skill(name: str, pick: versions.Pick = None) -> Lookup:
    return Lookup(1, "skill", name, pick)


def number_in(found: Found) -> int | None:
    """Which version was found; None for no name or no version."""
    return None if found is None or found[1] is None else found[1].number


async def test_what_is_asked_at_once_is_one_statement(reads: Lookups, statements: Statements) -> None:
    names = [name_of(number) for number in range(MIN_BATCH)]

    found = await asyncio.gather(*(reads.find(skill(name)) for name in names))

    assert [one[1].name for one in found if one is not None and one[1] is not None] == names
    assert statements.asked == [names]


async def test_more_is_asked_in_halves_on_two_connections(reads: Lookups, statements: Statements) -> None:
    names = [name_of(number) for number in range(2 * MIN_BATCH + 4)]
    half = len(names) // 2
    statements.held = {names[0], names[half]}

    asking = asyncio.gather(*(reads.find(skill(name)) for name in names))
    await statements.until_holding(2)

    assert statements.asked == [names[:half], names[half:]]
    statements.opened.set()
    assert [number_in(one) for one in await asking] == [1] * len(names)


async def test_more_than_fits_is_asked_abreast(reads: Lookups, statements: Statements) -> None:
    statements.held = {name_of(0)}
    slow = asyncio.create_task(reads.find(skill(name_of(0))))
    await statements.until_holding(1)

    # One statement that takes long holds up nobody but those in it.
    async with asyncio.timeout(5):
        others = await asyncio.gather(*(reads.find(skill(name_of(n))) for n in range(1, 2 * MAX_BATCH)))

    assert not slow.done()
    assert [number_in(one) for one in others] == [1] * (2 * MAX_BATCH - 1)
    sizes = [len(asked) for asked in statements.asked]
    assert sizes[:2] == [1, MAX_BATCH]
    # The rest together, or in halves, as soon as a connection is there.
    assert sum(sizes) == 2 * MAX_BATCH
    assert len(sizes) <= 5
    statements.opened.set()
    assert number_in(await slow) == 1


async def test_equal_questions_are_asked_once(reads: Lookups, statements: Statements) -> None:
    found = await asyncio.gather(*(reads.find(skill(name_of(7))) for _ in range(30)))

    assert [number_in(one) for one in found] == [1] * 30
    assert statements.asked == [[name_of(7)]]


async def test_a_read_after_a_write_joins_no_statement_that_was_sent_before(
    reads: Lookups, statements: Statements, writer: Connection
) -> None:
    one, first = created("written")
    await append(writer, [first])
    statements.held = {"written"}
    early = asyncio.create_task(reads.find(skill("written")))
    await statements.until_holding(1)

    _, second = published(one)
    await append(writer, [second])
    late = asyncio.create_task(reads.find(skill("written")))
    await statements.until_holding(2)
    statements.opened.set()

    assert (number_in(await early), number_in(await late)) == (1, 2)


async def test_a_read_that_waits_for_its_turn_sees_what_was_written_meanwhile(
    reads: Lookups, statements: Statements, writer: Connection
) -> None:
    one, first = created("written")
    await append(writer, [first])
    statements.held = {name_of(number) for number in range(MAX_CONCURRENT)}
    busy = []
    for number in range(MAX_CONCURRENT):
        busy.append(asyncio.create_task(reads.find(skill(name_of(number)))))
        await statements.until_holding(number + 1)
    early = asyncio.create_task(reads.find(skill("written")))
    await asyncio.sleep(0.05)

    _, second = published(one)
    await append(writer, [second])
    late = asyncio.create_task(reads.find(skill("written")))
    await asyncio.sleep(0.05)
    assert len(statements.asked) == MAX_CONCURRENT
    statements.opened.set()

    assert (number_in(await early), number_in(await late)) == (2, 2)
    assert statements.asked[MAX_CONCURRENT:] == [["written"]]
    await asyncio.gather(*busy)


async def test_the_position_is_that_of_the_snapshot(reads: Lookups, writer: Connection) -> None:
    one, first = created("written")
    [before] = await append(writer, [first])
    found = await reads.find(skill("written"))
    [after] = await append(writer, [published(one)[1]])
    later = await reads.find(skill("written"))

    assert found is not None
    assert later is not None
    assert found[1] is not None
    assert later[1] is not None
    assert (found[1].as_of, later[1].as_of) == (before.last, after.last)


async def test_a_reader_that_leaves_takes_no_other_along(reads: Lookups, statements: Statements) -> None:
    statements.held = {name_of(1)}
    same = [asyncio.create_task(reads.find(skill(name_of(1)))) for _ in range(3)]
    neighbour = asyncio.create_task(reads.find(skill(name_of(2))))
    await statements.until_holding(1)
    same[0].cancel()
    await asyncio.sleep(0.05)
    statements.opened.set()

    assert [number_in(await task) for task in (*same[1:], neighbour)] == [1, 1, 1]
    assert same[0].cancelled()
    assert statements.asked == [[name_of(1), name_of(2)]]


async def test_what_nobody_waits_for_any_longer_is_not_asked(reads: Lookups, statements: Statements) -> None:
    gone = asyncio.create_task(reads.find(skill(name_of(1))))
    stays = asyncio.create_task(reads.find(skill(name_of(2))))
    await asyncio.sleep(0)
    gone.cancel()

    assert number_in(await stays) == 1
    assert statements.asked == [[name_of(2)]]


async def test_a_name_that_cannot_be_sent_fails_for_itself(reads: Lookups) -> None:
    names = [name_of(0), "with\0nul", "\ud800", name_of(1), "unknown"]

    found = await asyncio.gather(*(reads.find(skill(name)) for name in names), return_exceptions=True)

    assert isinstance(found[2], UnicodeEncodeError)
    others = [one for one in found if not isinstance(one, BaseException)]
    assert [number_in(one) for one in others] == [1, None, 1, None]
    assert (others[1], others[3]) == (None, None)


async def test_every_way_to_pick_a_version_has_its_answer_in_one_statement(
    reads: Lookups, statements: Statements, writer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads._coalescer, "_min_batch", MAX_BATCH)
    one, first = created("long")
    await append(writer, [first])
    for number in range(2, 4):
        one, commit = published(one, f"# Version {number}\n")
        await append(writer, [commit])
    gone, first = created("gone")
    await append(writer, [first])
    gone.archive()
    await append(writer, [commit_of(gone)])
    picks: dict[versions.Pick, int | None] = {None: 3, 1: 1, 3: 3, 4: None, 2**70: None, "no label": None}

    found = await asyncio.gather(
        *(reads.find(skill("long", pick)) for pick in picks), reads.find(skill("gone"))
    )

    assert [number_in(answer) for answer in found[:-1]] == list(picks.values())
    # The name is known, whatever version is asked for.
    assert {answer[0] for answer in found[:-1] if answer is not None} == {one.id}
    assert found[-1] is None
    assert len(statements.asked) == 1


async def test_a_lost_connection_is_told_to_all_and_the_next_read_has_another(
    reads: Lookups, writer: Connection, fresh_database_url: str
) -> None:
    # It waits for the lock, so that the statement is under way when its backend ends.
    async with writer.transaction(), await connect(fresh_database_url) as other:
        await writer.execute("LOCK TABLE active_names IN ACCESS EXCLUSIVE MODE")
        waiting = [asyncio.create_task(reads.find(skill(name_of(number % 2)))) for number in range(4)]
        # On a connection without a transaction: within one, the backends of its first look are all that it ever sees.
        ended = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()"""
        async with asyncio.timeout(5):
            while not (await (await other.execute(ended)).fetchall()):
                await asyncio.sleep(0.01)
        found = await asyncio.gather(*waiting, return_exceptions=True)

    assert [isinstance(one, psycopg.OperationalError) for one in found] == [True] * 4
    assert number_in(await reads.find(skill(name_of(0)))) == 1


async def test_without_a_free_connection_all_hear_of_it_in_time(reads: Lookups, pool: Pool) -> None:
    taken = [await pool.getconn() for _ in range(MAX_CONCURRENT + 1)]
    found = await asyncio.gather(
        *(reads.find(skill(name_of(number))) for number in range(2 * MAX_BATCH)), return_exceptions=True
    )
    assert {type(one) for one in found} == {PoolTimeout}

    for conn in taken:
        await pool.putconn(conn)
    assert number_in(await reads.find(skill(name_of(0)))) == 1


async def test_reads_in_any_order_and_number_are_all_answered(
    reads: Lookups, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads._coalescer, "_max_batch", 3)

    async def one_after_the_other(first: int) -> list[int | None]:
        numbers = [(first * 7 + step * 5) % (2 * MAX_BATCH + 3) for step in range(40)]
        found = [await reads.find(skill(name_of(number))) for number in numbers]
        assert [number_in(one) == 1 for one in found] == [number < 2 * MAX_BATCH for number in numbers]
        return [number_in(one) for one in found]

    async with asyncio.timeout(30):
        await asyncio.gather(*(one_after_the_other(first) for first in range(32)))
    assert max(map(len, statements.asked)) <= 3


async def test_every_way_to_pick_a_version_has_the_same_answer_alone(
    reads: Lookups, statements: Statements, writer: Connection
) -> None:
    one, first = created("long")
    await append(writer, [first])
    for number in range(2, 4):
        one, commit = published(one, f"# Version {number}\n")
        await append(writer, [commit])
    two, contents = Prompt.create(id=uuid4(), version_id=uuid4(), name="labeled", prompt=b'"One"')
    two.set_label("first", 1)
    await append(writer, [commit_of(two, contents)])
    gone, first = created("gone")
    await append(writer, [first])
    gone.archive()
    await append(writer, [commit_of(gone)])
    asked = [skill("long", pick) for pick in (None, 1, 3, 4, 0, -1, 2**70, "no label")]
    asked += [Lookup(1, "prompt", "labeled", pick) for pick in (None, 1, "first", "second", "a\0b")]
    asked += [skill("gone"), skill("gone", 1), skill("unknown"), skill("a\0b"), Lookup(2, "skill", "long")]

    found = [await reads.find(one) for one in asked]

    assert [len(names) for names in statements.asked] == [1] * len(asked)
    assert found == await versions.find_all(writer, asked)
    assert found == [await versions.find(writer, one) for one in asked]
    assert [number_in(one) for one in found] == [3, 1, 3, *[None] * 5, 1, 1, 1, *[None] * 7]


@pytest.mark.parametrize(
    ("together", "values"),
    [
        (1, "7, 1, 'skill', 'long'"),
        (2, "ARRAY[1, 1], ARRAY['skill', 'skill'], ARRAY['long', 'long'], ARRAY[7, 7], ARRAY[NULL, NULL], 2"),
    ],
)
async def test_the_plan_is_made_once_and_finds_a_version_by_its_number(
    pool: Pool, writer: Connection, together: int, values: str
) -> None:
    # All that the planner has to go by are streams of one version: any of their indexes finds that at once.
    await writer.execute("ANALYZE")
    one, first = created("long")
    await append(writer, [first])
    for number in range(2, 30):
        one, commit = published(one, f"# Version {number}\n")
        await append(writer, [commit])

    for number in range(12):
        found = await versions.find_all(writer, [skill("long", 1 + number)] * together)
        assert [number_in(one) for one in found] == [1 + number] * together

    statements = "SELECT name, generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%AS picked%'"
    [(name, kept, made)] = await (await writer.execute(statements, prepare=False)).fetchall()
    assert kept >= 7, f"planned {made} times for its values"
    explained = await writer.execute(f"EXPLAIN EXECUTE {name} ({values})".encode(), prepare=False)
    plan = "\n".join(line for (line,) in await explained.fetchall())
    assert "versions_pkey" in plan, plan
    assert "versions_by_position" not in plan, plan


async def test_what_is_asked_of_a_replica_was_asked_before_the_end_of_the_log_was(
    pool: Pool, fresh_database_url: str, statements: Statements
) -> None:
    """Else an answer might lack what was acknowledged between the two."""
    replicas = await open_pool(fresh_database_url, size=1)
    lookups = Lookups(pool, Reads(pool, replicas))
    try:
        async with await connect(fresh_database_url) as conn, conn.transaction():
            await conn.execute("LOCK events IN ACCESS EXCLUSIVE MODE")
            early = asyncio.create_task(lookups.find(Lookup(1, "llm_skill", name_of(0))))
            await waiting_for_lock(conn, 1)
            late = asyncio.create_task(lookups.find(Lookup(1, "llm_skill", name_of(1))))
            await waiting_for_lock(conn, 2)
        async with asyncio.timeout(5):
            await asyncio.gather(early, late)
    finally:
        await replicas.close()
    assert sorted(statements.asked) == [[name_of(0)], [name_of(1)]]


async def waiting_for_lock(conn: Connection, count: int) -> None:
    async with asyncio.timeout(5):
        while True:
            cursor = await conn.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass"
            )
            if await cursor.fetchone() == (count,):
                return
            await asyncio.sleep(0.005)
