"""What is known of a request: its record, from its beginning on, and the context of one that has been let in."""

from typing import Any
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection

from api.http.responses import Header, header
from api.http.state import CONTEXT, RECORD
from api.services import Services, services
from store.tables.identity import Principal
from store.tables.shares import Opening


class RequestRecord(msgspec.Struct, gc=False):
    """What its line in the access log and its metrics say, filled in as it becomes known.

    ``route`` is the template of the address; without it, that of the framework's route counts. Nothing in it leads back to it, so the
    collector need not look.
    """

    request_id: str = ""
    # By which the events of the request are found again.
    correlation_id: str = ""
    trace_id: str | None = None
    route: str | None = None
    project_id: int | None = None
    # Of the key, or of the share.
    key_id: UUID | None = None
    opening: Opening | None = None
    # Which way the request came, where its address does not tell (``api.counting.doors``).
    door: str | None = None
    # Whom another endpoint of this process has authorized and counted for the same request.
    admitted: Principal | None = None


class RequestContext(msgspec.Struct, frozen=True):
    """A request of a caller who may make it, with all that a command needs."""

    services: Services
    principal: Principal
    project_id: int
    correlation_id: str
    method: str
    path: str
    query_string: bytes
    headers: list[Header]

    @classmethod
    def of(cls, scope: Any, services: Services, principal: Principal, project_id: int) -> "RequestContext":
        return cls(
            services,
            principal,
            project_id,
            record(scope).correlation_id,
            scope["method"],
            scope["path"],
            scope["query_string"],
            scope["headers"],
        )

    def header(self, name: bytes) -> bytes | None:
        return header(self.headers, name)


def record(scope: Any) -> RequestRecord:
    """The record of the request with this ASGI scope."""
    found: RequestRecord = scope["state"][RECORD]
    return found


def let_in(connection: ASGIConnection[Any, Any, Any, Any], principal: Principal, project_id: int) -> None:
    """Give the request its context: the last thing that a guard does."""
    scope = connection.scope
    scope["state"][CONTEXT] = RequestContext.of(scope, services(connection), principal, project_id)


def context(connection: ASGIConnection[Any, Any, Any, Any]) -> RequestContext:
    """The context of a request that a guard has let in."""
    found: RequestContext = connection.scope["state"][CONTEXT]
    return found
