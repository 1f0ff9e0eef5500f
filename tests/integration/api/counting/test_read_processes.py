"""Totals equal what was read: over two API processes, one that ends and is replaced, and a stop of all."""

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg

from tests.support.servers import eventually
from tests.support.service import MakeService, Service

CLIENTS, EACH = 8, 25
NAMES = ("one", "two")


def read(service: Service, key: str, etag: str, number: int) -> tuple[int, int]:
    """What one client was answered: 200s and 304s, on connections of its own."""
    whole = unchanged = 0
    for turn in range(EACH):
        headers = {"If-None-Match": etag} if turn % 5 == 0 else {}
        with service.client(key, headers=headers) as client:
            answer = client.get(f"llm_skills/name/{NAMES[number % 2 and 1]}")
        assert answer.status_code in (200, 304), answer.text
        whole += answer.status_code == 200
        unchanged += answer.status_code == 304
    return whole, unchanged


def load(service: Service, keys: list[str], etag: str) -> tuple[int, int]:
    with ThreadPoolExecutor(CLIENTS) as threads:
        found = list(threads.map(lambda n: read(service, keys[n % 2], etag, n), range(CLIENTS)))
    return sum(one[0] for one in found), sum(one[1] for one in found)


def counted(service: Service) -> tuple[int, int, int]:
    """The reads, the revalidated ones and the readers of the project, as its database has them."""
    with psycopg.connect(service.database_url) as conn:
        row = conn.execute(
            "SELECT coalesce(sum(reads), 0)::int, coalesce(sum(revalidated), 0)::int, count(DISTINCT reader)::int "
            "FROM usage WHERE project_id = %s",
            (service.project_id,),
        ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def test_totals_equal_what_was_read(make_service: MakeService) -> None:
    service = make_service(workers=2)
    keys = [service.make_key(project_ids=[service.project_id]) for _ in range(2)]
    with service.client() as client:
        for name in NAMES:
            made = {"name": name, "description": "d", "body": "# b"}
            client.post("llm_skills/", json=made).raise_for_status()
    # A client of each process, so that both have the names in their caches; these are reads as well.
    with service.client(keys[0]) as client:
        etag = client.get("llm_skills/name/one").headers["etag"]
    reads, revalidated = load(service, keys, etag)
    reads += 1

    # One process ends; its master replaces it.
    gone = service.api_pids()[0]
    os.kill(gone, signal.SIGTERM)
    eventually(lambda: gone not in service.api_pids() and len(service.api_pids()) == 2, "another process")
    eventually(service.is_ready, "it serves")
    more = load(service, keys, etag)
    service.stop()
    assert counted(service) == (reads + more[0], revalidated + more[1], 2)

    service.start()
    last = load(service, keys, etag)
    watcher = service.make_key(("usage:read",))
    expected = (reads + more[0] + last[0], revalidated + more[1] + last[1], 2)
    eventually(lambda: counted(service) == expected, "all are counted", timeout=30)
    with service.client(watcher) as client:
        rows = client.get("usage/").raise_for_status().json()["results"]
    assert sorted(row["name"] for row in rows) == sorted(NAMES)
    assert sum(row["reads"] for row in rows) == expected[0]
    metrics = httpx.get(f"{service.base_url}/metrics").text
    shown = re.findall(r'skald_reads_total\{door="api",kind="skill",result="read"\} ([0-9.]+)', metrics)
    assert [float(number) for number in shown] == [expected[0]]
    assert not any(f'"{name}"' in metrics for name in NAMES), "no names"
    service.stop()
