"""What is used of others that they may change in any minor release: each is pinned by one, and fails here when it has moved."""

import inspect
import tomllib
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from litestar import Litestar
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.server.metrics import open_metrics

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("package", ["litestar", "uvicorn", "prometheus-client", "eventsourcing"])
def test_their_packages_are_pinned_by_minor_release(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [pin] = [line for line in project["dependencies"] if line.startswith(package)]
    assert pin.startswith(f"{package}==")
    assert pin.endswith(".*")


def test_httpx_is_pinned_by_minor_release() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "httpx>=0.28.1,<0.29" in project["dependencies"]


def test_litestar_takes_its_default_plugins_from_one_static_method() -> None:
    assert isinstance(inspect.getattr_static(Litestar, "_get_default_plugins"), staticmethod)
    assert list(inspect.signature(Litestar._get_default_plugins).parameters) == ["plugins"]


def test_the_protocol_of_uvicorn_has_the_parts_that_ours_extends() -> None:
    for name in (
        "connection_made",
        "connection_lost",
        "data_received",
        "eof_received",
        "on_message_begin",
        "on_url",
        "on_header",
        "on_headers_complete",
        "on_body",
        "on_message_complete",
        "on_response_complete",
        "shutdown",
    ):
        assert callable(getattr(HttpToolsProtocol, name)), name
    cycle = set(inspect.signature(RequestResponseCycle).parameters)
    assert cycle == {
        "scope",
        "transport",
        "flow",
        "logger",
        "access_logger",
        "access_log",
        "default_headers",
        "message_event",
        "expect_100_continue",
        "keep_alive",
        "on_response",
    }
    assert STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"


def test_a_histogram_of_prometheus_keeps_a_sum_and_counts_by_bucket(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # The first import of the library decides whether processes share their values, so it is the service's own.
    open_metrics(tmp_path_factory.mktemp("run") / "metrics")
    from prometheus_client import CollectorRegistry, Histogram

    histogram: Any = Histogram("h", "For this test.", registry=CollectorRegistry(), buckets=(1.0, 2.0))
    histogram._sum.inc(3.0)
    histogram._buckets[0].inc(2)
    assert (histogram._sum.get(), [bucket.get() for bucket in histogram._buckets]) == (3.0, [2.0, 0.0, 0.0])


def test_a_transport_of_httpx_has_one_pool_of_httpcore() -> None:
    transport: Any = httpx.AsyncHTTPTransport(trust_env=False)
    assert type(transport._pool) is httpcore.AsyncConnectionPool
