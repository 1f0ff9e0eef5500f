"""Traces as a collector gets them by OTLP over HTTP, and the trace of a request in its log line and its events."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.servers import eventually
from tests.support.service import MakeService, Service

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WITHIN = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
SKILL = {"name": "secret-name", "description": "d", "body": "b"}


class Collector:
    """The spans that were sent to it, by name, and the resources that sent them."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.received = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.received += body
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append(
                        {each.key: each.value.string_value for each in group.resource.attributes}
                    )
                    collector.spans += [span for scope in group.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def lines(service: Service, **having: Any) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in service.output.splitlines() if line.startswith("{")]
    return [line for line in found if having.items() <= line.items()]


def correlations(service: Service, key: str) -> list[str]:
    with service.client(key) as client:
        return [event["correlationid"] for event in client.get("events/").json()["results"]]


def test_a_request_without_the_sdk_carries_its_trace_into_logs_and_events(make_service: MakeService) -> None:
    service = make_service()
    with service.client() as client:
        client.post("llm_skills/", json=SKILL, headers=WITHIN).raise_for_status()
        # By name: once through the framework, then answered at once.
        for _ in range(2):
            client.get("llm_skills/name/secret-name/", headers=WITHIN).raise_for_status()
        client.patch("llm_skills/name/secret-name/", json={"body": "2", "base_version": 1}).raise_for_status()
    eventually(lambda: len(lines(service, method="PATCH")) == 1, "the line of what came last")
    assert len(lines(service, trace_id=TRACE)) == 3
    [published] = lines(service, method="PATCH")
    assert "trace_id" not in published
    found = correlations(service, service.make_key(("event:read",)))
    assert found[0] == TRACE
    assert found[-1] == published["request_id"]


def test_the_collector_gets_a_span_for_each_request_and_one_for_its_append(
    make_service: MakeService, collector: Collector
) -> None:
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
    }
    service = make_service(settings=settings)
    with service.client() as client:
        client.post("llm_skills/", json=SKILL, headers=WITHIN).raise_for_status()
        for _ in range(2):
            client.get("llm_skills/name/secret-name/?label=").raise_for_status()
        assert client.get("llm_skills/name/other/").status_code == 404
    route = "/api/environments/{project_id}/llm_skills"
    eventually(lambda: len(collector.spans) >= 5, "the spans")

    [made] = collector.named(f"POST {route}")
    assert (made.trace_id.hex(), made.parent_span_id.hex()) == (TRACE, SPAN)
    assert attributes(made) | {"skald.request_id": ""} == {
        "http.request.method": "POST",
        "http.route": route,
        "http.response.status_code": 201,
        "url.scheme": "http",
        "skald.project_id": service.project_id,
        "skald.request_id": "",
    }
    [append] = collector.named("append")
    assert (append.trace_id, append.parent_span_id) == (made.trace_id, made.span_id)

    reads = collector.named(f"GET {route}/name/{{skill_name}}")
    assert [attributes(span)["http.response.status_code"] for span in reads] == [200, 200, 404]
    # Each began a trace of its own, which its line names.
    assert len({span.trace_id for span in (made, *reads)}) == 4
    for trace in [span.trace_id.hex() for span in (made, *reads)]:
        eventually(lambda: len(lines(service, trace_id=trace)) == 1, "the line of a request")  # noqa: B023

    assert collector.resources[0]["service.name"] == "skald"
    assert collector.resources[0]["deployment.environment"] == "test"
    # No probe, no path, no query and no key is sent.
    assert {span.name.partition(" ")[2] for span in collector.spans} <= {
        "",
        route,
        f"{route}/name/{{skill_name}}",
    }
    for secret in (b"secret-name", b"label=", service.key.encode()):
        assert secret not in collector.received
    assert correlations(service, service.make_key(("event:read",)))[0] == TRACE


def test_the_last_spans_are_sent_when_the_service_ends_and_a_dead_collector_harms_nothing(
    make_service: MakeService, collector: Collector
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "registry"}
    service = make_service(settings=settings)
    with service.client() as client:
        client.get("llm_skills/").raise_for_status()
    service.stop()
    assert [attributes(span)["http.response.status_code"] for span in collector.spans] == [200]
    assert collector.resources[0]["service.name"] == "registry"

    service.start()
    collector.close()
    with service.client() as client:
        client.post("llm_skills/", json=SKILL).raise_for_status()
