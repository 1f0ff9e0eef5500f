"""One scrape of any process shows all of a host: what was refused, written and sent, once each."""

import re

import httpx

from tests.support.servers import eventually
from tests.support.service import MakeService, Service

LIMIT = 5


def scrape(service: Service) -> dict[str, float]:
    text = httpx.get(f"{service.base_url}/metrics").text
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in text.splitlines() if line[:1] != "#")
    }


def test_a_refusal_of_the_limit_is_counted_once(make_service: MakeService) -> None:
    service = make_service(workers=2, settings={"SKALD_RATE_LIMIT_PER_MINUTE": str(LIMIT)})
    writer = service.key
    with service.client(writer) as client:
        assert (
            client.post("llm_skills/", json={"name": "one", "description": "d", "body": "b"}).status_code
            == 201
        )
    key = service.make_key()
    with service.client(key) as client:
        # By name, which is answered without the framework once it is known, and otherwise.
        paths = ["llm_skills/name/one/"] * (LIMIT + 6) + ["llm_skills/"] * 3
        statuses = [client.get(path).status_code for path in paths]
    refused = statuses.count(429)
    # A window may end in between.
    assert refused >= 4
    counted = 'skald_rate_limited_total{whose="key",window="minute"}'
    eventually(lambda: scrape(service).get(counted) == refused, "the refusals")
    assert (
        sum(
            value
            for name, value in scrape(service).items()
            if name.startswith("skald_http_requests_total") and 'status="429"' in name
        )
        == refused
    )


def test_events_and_processes_of_all_are_in_each_scrape(
    make_service: MakeService, fresh_database_url: str
) -> None:
    service = make_service(workers=2, followers=True, database_url=fresh_database_url)
    with service.client() as client:
        for name in ("one", "two"):
            client.post(
                "llm_skills/", json={"name": name, "description": "d", "body": "b"}
            ).raise_for_status()
    eventually(lambda: scrape(service).get('skald_events_total{type="skill.created"}') == 2, "the events")
    seen = scrape(service)
    of = [re.fullmatch(r'process_cpu_seconds_total\{pid="(\d+)",role="(\w+)"\}', name) for name in seen]
    assert sorted(found[2] for found in of if found) == ["api", "api", "worker"]
    assert {int(found[1]) for found in of if found} <= set(service.pids())
    assert seen["skald_webhook_pending_deliveries"] == 0
    assert seen['skald_webhook_attempts_total{outcome="delivered"}'] == 0
