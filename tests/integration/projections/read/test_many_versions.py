"""A long history: its newest and oldest version, and any page of it, are found by index, and a cold start has a snapshot."""

import re

import httpx
import psycopg
import pytest
from psycopg import sql

from api.commands.repository import SNAPSHOT_EVERY
from projections.read import versions
from tests.support.service import MakeService, Service

VERSIONS = 1_200
NAME = "long"


@pytest.fixture(scope="module")
def project(running_service: Service) -> tuple[Service, int]:
    """A project with one prompt of many versions."""
    number = running_service.make_project().id
    with running_service.client(project_id=number) as http:
        http.post("llm_prompts/", json={"name": NAME, "prompt": "version 1"}).raise_for_status()
        for base in range(1, VERSIONS):
            change = {"prompt": f"version {base + 1}", "base_version": base}
            http.patch(f"llm_prompts/name/{NAME}", json=change).raise_for_status()
        http.put(f"llm_prompts/name/{NAME}/labels/first", json={"version": 1}).raise_for_status()
    return running_service, number


def test_every_page_is_right(project: tuple[Service, int]) -> None:
    service, number = project
    with service.client(project_id=number) as http:
        assert http.get(f"llm_prompts/name/{NAME}").json()["prompt"] == f"version {VERSIONS}"
        assert http.get(f"llm_prompts/name/{NAME}?version=7").json()["prompt"] == "version 7"
        assert http.get(f"llm_prompts/name/{NAME}?label=first").json()["prompt"] == "version 1"
        missing = http.get(f"llm_prompts/name/{NAME}?version={VERSIONS + 1}").json()
        assert missing["available_versions"] == list(range(VERSIONS, VERSIONS - 20, -1))

        found: list[int] = []
        query = "limit=100"
        while True:
            page = http.get(f"llm_prompts/resolve/name/{NAME}?{query}").json()
            found += [line["version"] for line in page["versions"]]
            if not page["has_more"]:
                break
            query = f"limit=100&before_version={found[-1]}"
        assert found == list(range(VERSIONS, 0, -1))
        deep = http.get(f"llm_prompts/resolve/name/{NAME}?limit=3&offset={VERSIONS - 2}").json()
        assert ([line["version"] for line in deep["versions"]], deep["has_more"]) == ([2, 1], False)


@pytest.mark.parametrize(("statement", "parameters"), [
    (versions.FIND_ALL, (["project"], ["prompt"], [NAME], [None], [None], 1)),
    (versions.FIND_ALL, (["project"], ["prompt"], [NAME], [7], [None], 1)),
    (versions.FIND_ALL, (["project"], ["prompt"], [NAME], [None], ["first"], 1)),
    (versions.FIND_LATEST, ("project", "prompt", NAME)),
    (versions.FIND_NUMBERED, (7, "project", "prompt", NAME)),
    (versions.FIND_LABELED, ("first", "project", "prompt", NAME)),
    (versions.LINES, ("stream", VERSIONS // 2, 51, 0)),
    (versions.NEWEST_NUMBERS, ("stream",)),
])  # fmt: skip
def test_no_read_looks_at_the_whole_history(
    project: tuple[Service, int], postgres_url: str, statement: str, parameters: tuple[object, ...]
) -> None:
    with psycopg.connect(postgres_url) as conn:
        conn.execute("ANALYZE versions, artifacts, labels, contents, active_names")
        row = conn.execute(
            "SELECT stream_id FROM active_names WHERE project_id = %s AND name = %s", (project[1], NAME)
        ).fetchone()
        assert row is not None
        known = {"project": project[1], "['project']": [project[1]], "stream": row[0]}
        given = [known.get(str(value), value) for value in parameters]
        query = sql.SQL("EXPLAIN (ANALYZE, FORMAT TEXT) ") + sql.SQL(statement)
        plan = "\n".join(line for (line,) in conn.execute(query, given).fetchall())
    assert "Seq Scan on versions" not in plan, plan
    assert re.search("versions_(pkey|id)", plan), plan
    touched = [
        int(line.split("rows=")[-1].split()[0].split(".")[0])
        for line in plan.splitlines()
        if "actual" in line
    ]
    assert max(touched) <= 51, plan


def test_a_cold_process_starts_from_a_snapshot(
    project: tuple[Service, int], make_service: MakeService, postgres_url: str
) -> None:
    def publish(http: httpx.Client, base: int) -> None:
        change = {"prompt": f"version {base + 1}", "base_version": base}
        http.patch(f"llm_prompts/name/{NAME}", json=change).raise_for_status()

    with make_service().client(project[0].key, project[1]) as http:
        latest = http.get(f"llm_prompts/name/{NAME}").json()["version"]
        publish(http, latest)
    with psycopg.connect(postgres_url) as conn:
        row = conn.execute(
            """SELECT snapshots.stream_version, snapshots.schema FROM snapshots
               JOIN active_names USING (stream_id) WHERE project_id = %s AND name = %s""",
            (project[1], NAME),
        ).fetchone()
    assert row is not None, f"no snapshot after {VERSIONS} events; one is due after {SNAPSHOT_EVERY}"
    assert row[0] > VERSIONS - SNAPSHOT_EVERY
    assert row[1].startswith("prompt:")
    # The next process starts from it, and knows the labels that were set before it.
    with make_service().client(project[0].key, project[1]) as http:
        publish(http, latest + 1)
        moved = http.put(f"llm_prompts/name/{NAME}/labels/first", json={"version": 2})
        assert moved.status_code == 200
        shown = http.get(f"llm_prompts/name/{NAME}").json()
        assert (shown["version"], shown["prompt"]) == (latest + 2, f"version {latest + 2}")
