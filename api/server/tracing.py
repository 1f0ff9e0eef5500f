"""Traces by OpenTelemetry, when its SDK is installed (`skald[otel]`) and its own variables ask for them.

A span for each request, and one within it for what a write waits for in the log. Paths, queries and messages are in neither:
they may hold secrets or other people's texts. Without tracing none of this is loaded, and nothing of it is on any way.
"""

import logging
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points, version
from typing import Any

from api.http.context import RequestRecord
from api.http.responses import WHOLE
from api.http.state import RECORD
from api.offload import offload
from api.server.admission import PROBES
from store.log.appender import Appender, Durable
from store.log.log import Appended, Commit

logger = logging.getLogger(__name__)

GROUP = "opentelemetry_traces_exporter"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
NAME = "skald"
LAST_SPANS = 3000  # milliseconds that the last spans have when the process ends


def asked_for(env: Mapping[str, str]) -> bool:
    """Whether the variables of OpenTelemetry name an exporter, or where it sends to."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = env.get("OTEL_TRACES_EXPORTER", "").strip()
    return exporters != "none" if exporters else any(env.get(name, "").strip() for name in ENDPOINTS)


class Tracing:
    """The spans of this process on their way; make it with ``open_tracing``."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import propagate

        self._provider = provider
        self.tracer = provider.get_tracer(NAME, version("skald"))
        self.extract, self.inject = propagate.extract, propagate.inject

    async def close(self) -> None:
        """Send the last spans."""
        await offload(self._provider.force_flush, LAST_SPANS)


def open_tracing(env: Mapping[str, str]) -> Tracing | None:
    """What the variables ask for; None, with a line in the log, where its packages are not installed.

    Call it in the process that serves: the thread that sends spans does not outlive a fork.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # The rest of the variables, sampler, limits and resource, the SDK reads by itself.
        provider = TracerProvider(resource=Resource.create(_resource(env)))
        for exporter in _exporters(env):
            provider.add_span_processor(BatchSpanProcessor(exporter))
    except ImportError as error:
        logger.warning(
            "OTEL_* variables ask for traces, and %s is not installed: pip install 'skald[otel]'",
            error.name or error,
        )
        return None
    trace.set_tracer_provider(provider)
    return Tracing(provider)


def _resource(env: Mapping[str, str]) -> dict[str, str]:
    named = env.get("OTEL_SERVICE_NAME") or "service.name=" in env.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {"service.version": version("skald"), **({} if named else {"service.name": NAME})}


def _exporters(env: Mapping[str, str]) -> Iterator[Any]:
    """Raises ImportError for one that is not installed."""
    protocol = next((env[name] for name in PROTOCOLS if env.get(name)), "http/protobuf")
    for name in (env.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        name = name.strip()
        if name == "otlp":
            name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
        found = next(iter(entry_points(group=GROUP, name=name)), None)
        if found is None:
            raise ImportError(f"the exporter {name}", name=f"the exporter {name}")
        yield found.load()()


class TracedRequests:
    """ASGI middleware around `Observability`: a span for each request, whose `traceparent` it gets as if it had come so."""

    def __init__(self, app: Any, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing
        # There is no answer at once: each request gets a span, and so a task.
        self.observe_refusal = app.observe_refusal

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode

        tracing, method = self._tracing, scope["method"]
        came = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with tracing.tracer.start_as_current_span(
            method,
            context=tracing.extract(came),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.scheme": scope.get("scheme", "http")},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            own: dict[str, str] = {}
            tracing.inject(own)
            headers = [pair for pair in scope["headers"] if pair[0].decode("latin-1") not in own]
            headers += [(name.encode(), value.encode()) for name, value in own.items()]
            scope = {**scope, "headers": headers}

            async def observed(message: Any) -> None:
                if message["type"] in ("http.response.start", WHOLE):
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            try:
                await self._app(scope, receive, observed)
            finally:
                self._name(span, method, scope)

    @staticmethod
    def _name(span: Any, method: str, scope: Any) -> None:
        record: RequestRecord = scope["state"][RECORD]
        if route := record.route or scope.get("path_template"):
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute(f"{NAME}.request_id", record.request_id)
        if record.project_id is not None:
            span.set_attribute(f"{NAME}.project_id", record.project_id)


class TracedAppender(Appender):
    """An appender with a span for each commit, from its place in the queue until it is durable."""

    def __init__(self, tracing: Tracing, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._tracer = tracing.tracer

    async def append(self, commit: Commit, durable: Durable | None = None) -> Appended:
        with self._tracer.start_as_current_span(
            "append", attributes={"skald.events": len(commit.events)}, record_exception=False
        ):
            return await super().append(commit, durable)
