"""``/mcp``: the Model Context Protocol over streamable HTTP, for agents that would rather call tools than addresses.

This module is the endpoint: which requests are allowed, how large a message may be. What the protocol says is in ``api.mcp.server``; that
is imported with the protocol's SDK by the first message of a process, because the SDK costs as much time and memory as
everything else that a process imports.

Every message is complete in itself (no sessions, answers are plain JSON), so it does not matter which process it reaches.
"""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Response, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import RawBody

from api.access.authenticate import CURRENT
from api.http.context import context, let_in
from api.http.requests import header_of
from api.http.responses import Answer, header, to_response
from api.mcp.internal import InternalClient
from api.payload.decode import check_content_type
from api.services import services
from domain.addresses import HOST
from domain.errors import PermissionDenied

if TYPE_CHECKING:
    from api.mcp.server import McpServer

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ANY_ORIGIN = "*"


async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Lets a message with a good key into its project, as other addresses do; each message counts as one request.

    Which scopes it needs depends on the method it calls.
    """
    endpoint = services(connection).mcp
    headers = connection.scope["headers"]
    check_origin(header(headers, b"origin"), header(headers, b"host"), endpoint.allowed_origins)
    authorizer = services(connection).authorizer
    project_id = connection.scope["path_params"].get("project_id", CURRENT)
    principal, number = await authorizer.enter_project(connection.scope, project_id)
    let_in(connection, principal, number)


@post("/mcp", guards=[guard], include_in_schema=False)
async def mcp_endpoint(request: Request[Any, Any, Any], body: RawBody) -> Response[Any]:
    """The endpoint; its address may name the project, as in ``/api/projects/{project_id}/mcp``.

    There is no session to end by DELETE, and no stream of the server's own to open by GET.
    """
    check_content_type(header_of(request, b"content-type"))
    endpoint = services(request).mcp
    return to_response(await endpoint.answer(request, body))


class McpEndpoint:
    """The endpoint of one process; what stands behind it is opened by its first message."""

    def __init__(self, app: Litestar, *, allowed_origins: tuple[str, ...] = ()) -> None:
        self.allowed_origins = allowed_origins
        self._app = app
        self._server: McpServer | None = None
        self._opening = asyncio.Lock()

    async def answer(self, request: Request[Any, Any, Any], body: bytes) -> Answer:
        """The answer to one message; errors in the message itself are answered in terms of the protocol."""
        server = self._server or await self._open()
        scope = request.scope
        inside = InternalClient(self._app, scope, context(request))
        return await server.answer(scope, body, inside)

    async def _open(self) -> "McpServer":
        async with self._opening:
            if self._server is None:
                module = await asyncio.to_thread(import_module, "api.mcp.server")
                server: McpServer = module.McpServer(self._app)
                await server.start()
                self._server = server
            return self._server

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close()


def check_origin(origin: bytes | None, host: bytes | None, allowed: tuple[str, ...]) -> None:
    """Raises PermissionDenied for a web page that may not speak to this service.

    Only browsers send ``Origin``, so agents are not concerned, whatever proxy they come through. The page of a browser
    must be listed, or be of this machine when the service is called by a name of this machine: a page that made its own
    name point here (DNS rebinding) is neither.
    """
    if origin is None:
        return
    text = origin.decode("latin-1").strip().lower()
    if text in allowed or ANY_ORIGIN in allowed:
        return
    if _is_loopback(text.partition("://")[2]) and host is not None and _is_loopback(host.decode("latin-1")):
        return
    raise PermissionDenied(
        f"Pages of the origin {text!r} may not call this address; the operator can allow it."
    )


def _is_loopback(host: str) -> bool:
    found = HOST.fullmatch(host)
    return found is not None and found.group(1).lower() in LOOPBACK
