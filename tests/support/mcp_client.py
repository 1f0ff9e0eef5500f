"""Talking to the MCP endpoint of a running service: by the client of the protocol's SDK, and message by message."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import mcp_types as types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from pydantic import ConfigDict

from tests.support.service import Service

ACCEPT = "application/json, text/event-stream"
# The revision of the protocol that opens by a handshake, and the newest one, which has none.
ERAS = ("legacy", "auto")

_ids = itertools.count(1)


@asynccontextmanager
async def connected(url: str, key: str, mode: str = "auto") -> AsyncIterator[Client]:
    """The SDK's client, connected by a key."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, cache=None) as client,
    ):
        yield client


class Anything(types.Result):
    """A result that keeps what the SDK has no words for."""

    model_config = ConfigDict(extra="allow")


class Agent:
    """An agent in a project of its own."""

    def __init__(self, service: Service, client: Client, project_id: int, key: str) -> None:
        self.service, self.client, self.project_id, self.key = service, client, project_id, key

    async def call(self, tool: str, **arguments: Any) -> Any:
        """The structured answer of a call that must go well; its text says the same."""
        result = await self.client.call_tool(tool, arguments)
        text = text_of(result)
        assert not result.is_error, text
        if result.structured_content is not None:
            assert json.loads(text) == result.structured_content
        return result.structured_content

    async def fail(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The error of a call that must fail."""
        result = await self.client.call_tool(tool, arguments)
        text = text_of(result)
        assert result.is_error, text
        assert result.structured_content is None
        error: dict[str, Any] = json.loads(text)
        assert list(error)[:4] == ["type", "code", "detail", "attr"]
        return error

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a method that the SDK's client has no words for. Raises MCPError."""
        request = types.Request[dict[str, Any], str](method=method, params=params)
        result = await self.client.session.send_request(request, Anything)
        return result.model_dump(by_alias=True)

    def http(self) -> httpx.Client:
        return self.service.client(self.key, self.project_id)


def text_of(result: Any) -> str:
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


@asynccontextmanager
async def agent_on(service: Service, mode: str = "auto", **key: Any) -> AsyncIterator[Agent]:
    """An agent with a project and a key of its own."""
    project = service.make_project()
    secret = service.make_key(project_ids=[project.id], **key)
    async with connected(f"{service.base_url}/mcp", secret, mode) as client:
        yield Agent(service, client, project.id, secret)


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": params}


def post(
    service: Service, key: str | None, content: Any, path: str = "/mcp", **headers: str
) -> httpx.Response:
    """One POST; ``content`` is JSON, or bytes as they are."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    shown = {"accept": ACCEPT, "content-type": "application/json"}
    if key is not None:
        shown["authorization"] = f"Bearer {key}"
    sent = {**shown, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(service.base_url + path, content=body, headers=sent, timeout=30)


def call(service: Service, key: str, tool: str, path: str = "/mcp", **arguments: Any) -> httpx.Response:
    """One call of a tool, by a message of its own."""
    return post(service, key, message("tools/call", name=tool, arguments=arguments), path)
