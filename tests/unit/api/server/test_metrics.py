"""What is counted, and when it can be read."""

import asyncio
from importlib.metadata import version
from platform import python_version

import pytest

from api.server.metrics import FLUSH_EVERY, LATENCY_BUCKETS, Metrics, open_metrics


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
        metrics.observe_append(commits, seconds)

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
    assert metrics.exposition().decode() == text


def test_a_scrape_says_which_release_runs(metrics: Metrics) -> None:
    assert f'skald_build_info{{python="{python_version()}",version="{version("skald")}"}} 1.0' in (
        metrics.exposition().decode()
    )
