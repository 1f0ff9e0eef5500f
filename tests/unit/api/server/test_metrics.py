"""What is counted, and when it can be read."""

import asyncio
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent

from api.server import metrics as measuring
from api.server import processes
from api.server.metrics import FLUSH_EVERY, LATENCY_BUCKETS, Metrics, open_metrics
from store.log.log import Commit
from store.tables.webhooks import Totals

COMMIT = Commit(
    events=(
        StoredEvent(UUID(int=1), 1, "skill.created", b"{}"),
        StoredEvent(UUID(int=1), 2, "skill.published", b"{}"),
    ),
    command_id=UUID(int=2),
)


@pytest.fixture
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Metrics:
    return open_metrics(tmp_path_factory.mktemp("run") / "metrics")


def lines(text: bytes, route: str) -> list[str]:
    """The samples of a route, without names and labels."""
    found = [
        line for line in text.decode().splitlines() if f'route="{route}"' in line and "_created" not in line
    ]
    return [line.rpartition(" ")[2] for line in found if line.startswith("skald_http_request_seconds")]


def test_times_fall_into_the_buckets_that_the_library_puts_them_in(metrics: Metrics) -> None:
    for seconds in (0.0, 0.0005, 0.0006, 0.01, 0.3, 10.0, 11.0):
        metrics.observe_request("GET", "/times", 200, seconds)
        metrics.seconds.labels("/plain").observe(seconds)

    text = metrics.exposition()
    assert lines(text, "/times") == lines(text, "/plain")
    assert len(lines(text, "/times")) == len(LATENCY_BUCKETS) + 3


def test_appends_are_counted_with_the_sizes_and_times_of_their_batches(metrics: Metrics) -> None:
    before = samples(metrics)
    for commits, seconds in ((1, 0.002), (3, 0.002), (200, 20.0)):
        metrics.observe_append([COMMIT] * commits, seconds)

    grown = {name: value - before.get(name, 0.0) for name, value in samples(metrics).items()}
    assert grown["skald_appends_total"] == grown["skald_append_batch_size_sum"] == 204
    assert grown["skald_append_batch_size_count"] == grown["skald_append_seconds_count"] == 3
    assert grown['skald_append_batch_size_bucket{le="1.0"}'] == 1
    assert grown['skald_append_batch_size_bucket{le="4.0"}'] == 2
    assert grown['skald_append_seconds_bucket{le="0.0025"}'] == 2
    assert round(grown["skald_append_seconds_sum"], 3) == 20.004
    # Nothing is counted twice.
    assert samples(metrics)["skald_appends_total"] == before.get("skald_appends_total", 0.0) + 204


def samples(metrics: Metrics) -> dict[str, float]:
    """What a scrape says of appends."""
    text = metrics.exposition().decode()
    found = [line.rpartition(" ") for line in text.splitlines() if line.startswith("skald_append")]
    return {name: float(value) for name, _, value in found}


async def test_what_was_observed_is_written_soon_and_once(metrics: Metrics) -> None:
    for _ in range(3):
        metrics.observe_request("GET", "/soon", 200, 0.001)
        metrics.observe_cache("soon", "hit")
    await asyncio.sleep(3 * FLUSH_EVERY)
    metrics.observe_request("GET", "/soon", 200, 0.001)

    text = metrics.exposition().decode()
    assert 'skald_http_requests_total{method="GET",route="/soon",status="200"} 4.0' in text
    assert 'skald_cache_requests_total{cache="soon",result="hit"} 3.0' in text
    again = metrics.exposition().decode()
    assert [line for line in again.splitlines() if '"/soon"' in line or '"soon"' in line] == [
        line for line in text.splitlines() if '"/soon"' in line or '"soon"' in line
    ]


def test_a_scrape_says_which_release_runs(metrics: Metrics) -> None:
    assert f'skald_build_info{{python="{python_version()}",version="{version("skald")}"}} 1.0' in (
        metrics.exposition().decode()
    )


def value(metrics: Metrics, sample: str, webhooks: Totals | None = None) -> float:
    """A sample by its name and labels, 0 while it is not there."""
    found = [
        line
        for line in metrics.exposition(webhooks=webhooks).decode().splitlines()
        if line.startswith(f"{sample} ")
    ]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def test_events_are_counted_by_type(metrics: Metrics) -> None:
    before = value(metrics, 'skald_events_total{type="skill.published"}')
    metrics.observe_append([COMMIT, COMMIT], 0.001)
    assert value(metrics, 'skald_events_total{type="skill.published"}') == before + 2


def test_refusals_are_counted_by_whose_limit_it_is(metrics: Metrics) -> None:
    before = value(metrics, 'skald_rate_limited_total{whose="key",window="hour"}')
    metrics.observe_rate_limited("key", "hour")
    assert value(metrics, 'skald_rate_limited_total{whose="key",window="hour"}') == before + 1


async def test_requests_in_flight_are_shown_without_a_request_that_ends(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "IN_FLIGHT_EVERY", 0.01)
    task = asyncio.create_task(metrics.keep_in_flight(lambda: 7))
    await asyncio.sleep(0.05)
    task.cancel()
    assert value(metrics, "skald_http_requests_in_flight") == 7


def test_what_came_of_webhooks_is_of_the_database(metrics: Metrics) -> None:
    found = Totals({"delivered": 5, "retry": 2, "failed": 0}, pending=3)
    assert value(metrics, 'skald_webhook_attempts_total{outcome="delivered"}', found) == 5
    assert value(metrics, "skald_webhook_pending_deliveries", found) == 3
    assert "skald_webhook" not in metrics.exposition().decode()


def test_each_process_has_its_figures_until_it_ends(metrics: Metrics, tmp_path: Path) -> None:
    mine = f'{{pid="{os.getpid()}",role="api"}}'
    assert value(metrics, f"process_cpu_seconds_total{mine}") > 0
    assert value(metrics, f"process_resident_memory_bytes{mine}") > 10**6
    assert value(metrics, f"process_open_fds{mine}") > 2
    assert value(metrics, f"process_start_time_seconds{mine}") > 1.6e9

    script = "import sys; from pathlib import Path; from api.server.processes import announce; announce(Path(sys.argv[1]), 'worker')"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    # One that has ended, and one whose number another process has by now.
    (tmp_path / f"api-{os.getpid()}-1").touch()
    assert len(list(tmp_path.iterdir())) == 2
    assert list(processes.living(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
    processes.announce(tmp_path, "api")
    [found] = processes.living(tmp_path)
    assert (found.role, found.pid) == ("api", os.getpid())
    # No room for the file: the process starts all the same.
    processes.announce(Path("/proc/nowhere"), "api")
