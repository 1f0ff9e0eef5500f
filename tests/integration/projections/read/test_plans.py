"""Reads cost the same in a project of 1,000 skills and in one of 20,000: every plan goes by an index."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
import pytest

from api.commands import repository
from projections.events import feed
from projections.read import by_id, past, renames, search, suggestions, tags, versions
from projections.read.versions import ORDERS, Filter, list_sql
from projections.search import find, terms
from projections.sizes import MAX_ANSWER
from projections.write import names
from store.log import log
from tests.support.plans import MODES, Mode, explain, nodes
from tests.support.servers import Addresses, address_of

SMALL, LARGE = 1_000, 20_000
PROJECT = 1
OTHERS = range(2, 22)  # with a thousand skills each

# Tables that may be read as a whole: they hold a handful of rows here, and are looked up by key where they hold many.
TINY = {
    "users",
    "organizations",
    "snapshots",
    "labels",
    "artifact_counts",
    "earlier_packages",
    "yanks",
    "checkpoints",
}

# Skills number %(first)s to %(last)s of a project, each with two versions, as appends would have left them.
FILL = """
WITH numbers AS MATERIALIZED (
    SELECT n, md5(%(project)s || '-' || n) AS hash, (SELECT coalesce(max(position), 0) FROM events) AS head,
           timestamptz '2030-01-01' + n * interval '1 second' AS at
    FROM generate_series(%(first)s::int, %(last)s::int) AS n
), skills AS MATERIALIZED (
    SELECT n, hash::uuid AS stream_id, md5(hash || 'one')::uuid AS first_id, md5(hash || 'two')::uuid AS second_id,
           head + 2 * (n - %(first)s) AS before, at, 'skill-' || substr(hash, 1, 12) AS name, hash,
           sha256(('body' || hash)::bytea) AS body, sha256(('details' || hash)::bytea) AS details
    FROM numbers
), stored AS (
    INSERT INTO contents SELECT sha256((part || hash)::bytea), (part || hash)::bytea
    FROM skills, unnest(ARRAY['body', 'details']) AS part
), events AS (
    INSERT INTO events (position, stream_id, stream_version, topic, state, recorded_at, project_id, command_id)
    SELECT before + v, stream_id, v, 'skill.published', '{}', at, %(project)s, gen_random_uuid()
    FROM skills, generate_series(1, 2) AS v
), versions AS (
    INSERT INTO versions (stream_id, number, id, stream_version, position, created_at, created_by, body, details)
    SELECT stream_id, v, CASE v WHEN 1 THEN first_id ELSE second_id END, v, before + v, at, n / 20, body, details
    FROM skills, generate_series(1, 2) AS v
), names AS (
    INSERT INTO active_names SELECT %(project)s, 'skill', name, stream_id FROM skills
), spans AS (
    INSERT INTO name_spans SELECT stream_id, %(project)s, 'skill', name, before + 1 FROM skills
), texts AS (
    INSERT INTO search_texts
    SELECT stream_id, %(project)s, 'skill', name, 'what skill ' || hash || ' does' FROM skills
), entries AS (
    INSERT INTO search_entries SELECT stream_id, 1, '', 1, NULL, %(project)s, sha256(('name' || hash)::bytea) FROM skills
), parts AS (
    INSERT INTO search_parts
    SELECT %(project)s, sha256(('name' || hash)::bytea), 0, true,
           array_to_tsvector(ARRAY['skill', hash, CASE WHEN n <= 1000 THEN 'often' ELSE 'seldom' END]), name || ' ' || hash
    FROM skills
), used AS (
    -- Of each tenth, in 2029; of each thousandth, since.
    INSERT INTO usage
    SELECT %(project)s, CASE WHEN n %% 1000 = 0 THEN at ELSE at - interval '1 year' END, stream_id, 1, 'api', stream_id, false,
           false, 1, 0, at, at
    FROM skills WHERE n %% 10 = 0
), owned AS (
    INSERT INTO owners SELECT stream_id, n / 20, %(project)s, 'skill', 1, before + 1 FROM skills
), tagged AS (
    INSERT INTO tags SELECT stream_id, tag, %(project)s, 'skill', before + 1
    FROM skills, LATERAL (VALUES ('skill'), ('tag ' || n / 20)) AS given (tag)
), yanked AS (
    INSERT INTO yanks SELECT stream_id, 1, before + 2, NULL, at, n / 20, 'wrong' FROM skills
), counts AS (
    INSERT INTO artifact_counts SELECT %(project)s, 'skill', count(*) FROM skills
    ON CONFLICT (project_id, kind) DO UPDATE SET active = artifact_counts.active + excluded.active
)
INSERT INTO artifacts (stream_id, project_id, kind, name, created_position, created_at, latest_version, latest_id,
                       latest_at, latest_by, body, details, has_problems)
SELECT stream_id, %(project)s, 'skill', name, before + 1, at, 2, second_id, at, n / 20, body, details, n %% 1000 = 0 FROM skills
"""


OFTEN = "often"  # a word that SMALL texts have
TRIGRAMS = "SELECT indexdef FROM pg_indexes WHERE indexname = 'search_texts_trigrams'"


class Read(NamedTuple):
    """A query of the service with the values of a typical call."""

    sql: str
    values: Any


class Cost(NamedTuple):
    buffers: int
    # Texts that were looked through.
    texts: int
    scanned: frozenset[str]
    # Of the step that gave the most, each time that it was gone through.
    rows: int
    plan: str


Costs = dict[tuple[str, Mode], Cost]


class Measured(NamedTuple):
    """The cost of every read, planned for its values and planned for any. ``unknown``: as ``small``, without statistics."""

    unknown: Costs
    small: Costs
    large: Costs


def reads(conn: psycopg.Connection[Any]) -> dict[str, Read]:
    row = conn.execute(
        "SELECT stream_id, name, latest_id FROM artifacts WHERE project_id = 1 ORDER BY latest_at LIMIT 1"
    ).fetchone()
    assert row is not None
    stream, name, version_id = row
    bare = {"project": PROJECT, "kind": "skill", "author": None, "label": None}
    page = {
        **bare,
        "limit": 100,
        "offset": 0,
        "labels": False,
        "body": False,
        "max_bytes": MAX_ANSWER,
    }
    everything = Filter(authored=False, found=False, labeled=False)
    found = Filter(authored=False, found=True, labeled=False)
    mine = Filter(authored=True, found=False, labeled=False)
    owned = Filter(authored=False, found=False, labeled=False, owned=True)
    tagged = Filter(authored=False, found=False, labeled=False, tagged=True)
    faulty = Filter(authored=False, found=False, labeled=False, with_problems=True)
    unused = Filter(authored=False, found=False, labeled=False, unused=True)
    since = {**page, "unused_since": datetime(2030, 1, 1, tzinfo=UTC)}
    typed = name[:-1] + "x"
    heads, rest = suggestions.edits(typed)
    unknown = {
        "project": PROJECT,
        "kind": "skill",
        "name": typed,
        "edits": sorted(heads),
        "rest": rest,
        "starts": suggestions.starts(typed),
    }
    sample = conn.execute(search.SAMPLE, bare).fetchall()

    def searched(text: str, order: str = versions.DEFAULT_ORDER, project: int = PROJECT) -> Read:
        values = {**page, **search.parameters(text, sample), "project": project}
        return Read(list_sql(found, order), values)

    def texts_with(text: str) -> Read:
        query = find.Query(project_id=PROJECT, text=text, terms=terms.parse(text), kinds=("skill", "prompt"))
        return Read(find.LATEST, find.literal(query, 20))

    return {
        **{
            f"list by {order}": Read(list_sql(everything, order), page)
            for order in ORDERS
            # A version that is yanked above the latest one counts, which no index of artifacts knows.
            if not order.endswith("version_count")
        },
        "search by name": searched(name),
        "search by the end of a name": searched(name[6:]),
        "search by description": searched(f"what skill {name[6:]}"),
        "search by three characters": searched("zzz", "name"),
        "search by two characters in another project": searched("zz", project=OTHERS[0]),
        "sample of a search": Read(search.SAMPLE, bare),
        "list by author": Read(list_sql(mine, versions.DEFAULT_ORDER), {**page, "author": 7, "limit": 20}),
        "list by owner": Read(
            list_sql(owned, versions.DEFAULT_ORDER), {**page, "owner": 7, "tags": [], "limit": 20}
        ),
        "list by tags": Read(
            list_sql(tagged, versions.DEFAULT_ORDER), {**page, "tags": ["tag 7"], "limit": 20}
        ),
        "list with problems": Read(list_sql(faulty, versions.DEFAULT_ORDER), {**page, "limit": 1}),
        **{
            f"list unused by {order}": Read(list_sql(unused, order), since)
            for order in ORDERS
            if not order.endswith("version_count")
        },
        **{
            f"texts with {len(text.split())} words": texts_with(text)
            for text in (stream.hex, f"often {stream.hex}")
        },
        f"texts with {OFTEN}": texts_with(OFTEN),
        "first tags in use": Read(tags.IN_USE, {**bare, "limit": 10}),
        "get latest": Read(versions.FIND_LATEST, (PROJECT, "skill", name)),
        "get a version": Read(versions.FIND_NUMBERED, (1, PROJECT, "skill", name)),
        "get by label": Read(versions.FIND_LABELED, ("production", PROJECT, "skill", name)),
        "get latest, among others": Read(
            versions.FIND_ALL, ([PROJECT], ["skill"], [name], [None], [None], 1)
        ),
        "get a version, among others": Read(
            versions.FIND_ALL, ([PROJECT], ["skill"], [name], [1], [None], 1)
        ),
        "get as of a position": Read(past.BY_STREAM, {"stream": stream, "at": 1, "number": None}),
        "name of an id": Read(versions.NAME_OF_ID, (version_id, PROJECT, "skill")),
        "number of an id": Read(versions.NUMBER_OF_ID, (version_id, stream)),
        "newest numbers": Read(versions.NEWEST_NUMBERS, (stream,)),
        "resolve": Read(versions.LINES, (stream, versions.MAX_VERSION, 51, 0)),
        "holder of a name": Read(names.HOLDER, (PROJECT, "skill", name)),
        "where an earlier name leads": Read(renames.RENAMED_TO, {**bare, "name": name, "at": renames.NOW}),
        "skill by its id": Read(by_id.ONE, (stream, PROJECT)),
        "skills from the first": Read(by_id.SKILLS[True], {**page, "after": 0, "limit": 20}),
        "skills from the last": Read(by_id.SKILLS[False], {**page, "after": by_id.MAX_POSITION, "limit": 20}),
        "version by its number": Read(by_id.NUMBERED, {"stream": stream, "number": 1}),
        "version by its id": Read(by_id.WITH_ID, {"stream": stream, "id": version_id}),
        "versions from the last": Read(
            by_id.VERSIONS[False], {**page, "stream": stream, "after": versions.MAX_VERSION, "limit": 20}
        ),
        "close names": Read(suggestions.CLOSE_AMONG_MANY, unknown),
        "close names of then": Read(suggestions.CLOSE_AMONG_MANY_THEN, {**unknown, "at": 1_000}),
        "whether names are many": Read(suggestions.IS_LARGE, bare),
        "whether names were many": Read(suggestions.WERE_LARGE, bare),
        "load": Read(repository.FIND, ("s", PROJECT, "skill", name)),
        "stream": Read(log.SELECT_STREAM, (stream, 0, 500, log.MAX_BATCH)),
        "follow": Read(log.SELECT_AFTER, (100, 500, log.MAX_BATCH)),
        "follow, with names": Read(feed.AFTER, (100, 500, log.MAX_BATCH)),
        "head": Read(log.SELECT_HEAD, ()),
    }


def cost(database_url: str, read: Read, mode: Mode) -> Cost:
    """What one execution touches, when nothing has to be looked up for the plan any more."""
    plan = explain(database_url, read.sql, read.values, mode)
    scanned = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
    lines = [
        f"{node['Node Type']} {node.get('Index Name', node.get('Relation Name', ''))} {node['Actual Rows']}"
        for node in nodes(plan)
    ]
    texts = [node for node in nodes(plan) if node.get("Relation Name") == "search_texts"]
    return Cost(
        plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
        sum(int(node["Actual Rows"]) + node.get("Rows Removed by Filter", 0) for node in texts),
        frozenset(scanned - TINY),
        max(int(node["Actual Rows"] * node["Actual Loops"]) for node in nodes(plan)),
        "\n".join(lines),
    )


def measure(database_url: str) -> Costs:
    with psycopg.connect(database_url) as conn:
        wanted = reads(conn)
    return {(title, mode): cost(database_url, read, mode) for mode in MODES for title, read in wanted.items()}


@pytest.fixture(scope="module")
def costs(shared_servers: Addresses, migrated_template: str) -> Iterator[Measured]:
    """A project of either size, among the same others."""
    name = f"plans_{os.getpid()}"
    with psycopg.connect(shared_servers.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}".encode())
        url = address_of(shared_servers.database_url, name)
        with psycopg.connect(url, autocommit=True) as conn:
            [(index,)] = conn.execute(TRIGRAMS).fetchall()

            def fill(first: int, last: int) -> None:
                # Built in one go: row by row it takes longer than all the rest.
                conn.execute("DROP INDEX search_texts_trigrams")
                for project in OTHERS if first == 1 else ():
                    conn.execute(FILL, {"project": project, "first": 1, "last": SMALL})
                conn.execute(FILL, {"project": PROJECT, "first": first, "last": last})
                conn.execute(index)

            fill(1, SMALL)
            unknown = measure(url)
            conn.execute("VACUUM ANALYZE")
            small = measure(url)
            fill(SMALL + 1, LARGE)
            conn.execute("VACUUM ANALYZE")
            large = measure(url)
        # The database goes with the server: to drop one waits for every backend.
        yield Measured(unknown, small, large)


def test_no_table_is_read_as_a_whole(costs: Measured) -> None:
    scans = {key: found.scanned for key, found in costs.large.items() if found.scanned}
    assert not scans, "\n\n".join(f"{key}\n{costs.large[key].plan}" for key in scans)


def test_the_cost_does_not_grow_with_the_project(costs: Measured) -> None:
    grown = [key for key in costs.small if has_grown(costs.small[key], costs.large[key])]
    assert not grown, told(costs.small, costs.large, grown)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("title", "texts"), [("by name", 2), ("by description", 2), ("by three characters", 0)]
)
def test_a_search_does_not_wait_for_statistics(costs: Measured, title: str, texts: int, mode: Mode) -> None:
    key: tuple[str, Mode] = f"search {title}", mode
    assert not has_grown(costs.small[key], costs.unknown[key]), told(costs.small, costs.unknown, [key])
    assert max(found[key].texts for found in costs) <= texts, told(costs.small, costs.unknown, [key])


def test_a_search_does_not_walk_through_what_all_texts_have(costs: Measured) -> None:
    whole = costs.large["search by name", "force_custom_plan"]
    end = costs.large["search by the end of a name", "force_custom_plan"]
    assert whole.buffers <= 1.5 * end.buffers, f"{whole}\n\n{end}"


@pytest.mark.parametrize("mode", MODES)
def test_a_search_in_texts_goes_once_through_each_step(costs: Measured, mode: Mode) -> None:
    key: tuple[str, Mode] = f"texts with {OFTEN}", mode
    for found in costs:
        assert found[key].rows <= 2 * SMALL, found[key].plan


def has_grown(before: Cost, after: Cost) -> bool:
    return after.buffers > 1.5 * before.buffers + 30


def told(before: Costs, after: Costs, keys: Sequence[tuple[str, Mode]]) -> str:
    return "\n\n".join(
        f"{key}: {before[key].buffers} buffers, then {after[key].buffers}\n{after[key].plan}" for key in keys
    )
