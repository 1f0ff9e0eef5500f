"""What the MCP endpoint says: tools, skills as resources, prompts; by the protocol's SDK.

A tool call, a read of a resource and a prompt are requests to our own addresses (``api.mcp.internal``), with the scopes of
the caller's key. What is refused there is a tool error that carries the whole error of the API as JSON, so that a model
can correct itself.
"""

import asyncio
import json
import logging
import re
import sys
from collections.abc import Mapping
from importlib.metadata import version as version_of
from typing import Any

import mcp_types as types
import msgspec
from litestar import Litestar
from mcp.server.caching import CacheHint
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError

from api.counting.doors import MCP, UNCOUNTED
from api.http.answers import rendered
from api.http.context import record
from api.http.query import Query
from api.http.responses import JSON, VARY_ACCEPT, VARY_ENCODING, Answer
from api.http.state import MCP_REQUEST
from api.mcp import prompts as mcp_prompts
from api.mcp import skills as mcp_skills
from api.mcp.internal import InternalClient, exchange, segment
from api.mcp.request import BAD_ID, CALL, Context, McpRequest, Message, loaded, mcp_request_of
from api.mcp.structured import structured
from api.mcp.tools import ARGUMENTS, PLACEHOLDER, BoundTool, bind, shown
from domain.errors import Invalid, NotFound, Refused
from domain.keys import allows

NAME = "skald"
INSTRUCTIONS = """\
This server keeps the skills and prompts of a project, in versions. Search before you create. To change something, read it, \
then send what changes with the version that you read as base_version; nothing is lost, every version stays readable. \
Errors are JSON: `detail` says what is wrong and what would be right, `attr` which argument is to blame.\
"""

# What stands in the access log and the metrics; anything else that a client may think of is one more.
METHODS = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        "notifications/initialized",
        "notifications/cancelled",
        "tools/list",
        CALL,
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/directory/read",
        "skills/list",
        "skills/get",
        "prompts/list",
        "prompts/get",
        "completion/complete",
    }
)

NOT_KEPT = (b"cache-control", b"no-store")
# To what would be taken for a notification, and left without an answer for which its client waits.
UNANSWERABLE = json.dumps(
    {"jsonrpc": "2.0", "id": None, "error": {"code": types.INVALID_REQUEST, "message": BAD_ID}}
).encode()

# The tools of a key change with a release only; what they give changes at any time.
TOOLS_TTL_MS = 300_000


class McpServer:
    """The endpoint's inside in one process. ``start`` it in the loop that serves; ``close`` ends what still runs."""

    def __init__(self, app: Litestar) -> None:
        # It tells of each message at level info, and of what clients do wrong by warnings with their text.
        logging.getLogger("mcp").setLevel(logging.ERROR)
        self._tools = bind(app)
        self._listed = {name: _listed(bound) for name, bound in self._tools.items()}
        self._server = self._make()
        # How large a body may be was asked before.
        self._manager = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True, max_request_body_size=sys.maxsize
        )
        self._stop = asyncio.Event()
        self._runs: asyncio.Task[None] | None = None

    def _make(self) -> Server[Any]:
        private = CacheHint(ttl_ms=0, scope="private")
        server: Server[Any] = Server(
            NAME,
            title="Skald",
            version=version_of(NAME),
            instructions=INSTRUCTIONS,
            cache_hints={
                "tools/list": CacheHint(ttl_ms=TOOLS_TTL_MS, scope="private"),
                "resources/list": private,
                "resources/templates/list": CacheHint(ttl_ms=TOOLS_TTL_MS, scope="private"),
                "resources/read": private,
                "prompts/list": private,
            },
            get_tool_input_schema=self._input_schema,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=mcp_skills.list_resources,
            on_list_resource_templates=mcp_skills.list_templates,
            on_read_resource=mcp_skills.read_resource,
            on_list_prompts=mcp_prompts.list_prompts,
            on_get_prompt=mcp_prompts.get_prompt,
        )
        server.middleware.clear()
        mcp_skills.extend(server)
        return server

    async def start(self) -> None:
        ready = asyncio.Event()
        self._runs = asyncio.create_task(self._run(ready), name="mcp")
        await ready.wait()

    async def _run(self, ready: asyncio.Event) -> None:
        async with self._manager.run():
            ready.set()
            await self._stop.wait()

    async def close(self) -> None:
        self._stop.set()
        if self._runs is not None:
            await self._runs

    async def answer(self, scope: Any, body: bytes, inside: InternalClient) -> Answer:
        """The answer to one admitted message."""
        mcp_request = McpRequest(inside, body)
        scope["state"][MCP_REQUEST] = mcp_request
        record(scope).route = f"{scope['path_template']} {self._what(mcp_request.message)}"
        if not mcp_request.is_answerable:
            return Answer(400, [JSON, NOT_KEPT, VARY_ACCEPT, VARY_ENCODING], UNANSWERABLE)
        # The server leaves the spaces behind a value; the SDK compares values with what the message says.
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        answer = await exchange(
            self._manager.handle_request, {**scope, "headers": headers}, mcp_request.body()
        )
        content = answer.body
        if mcp_request.message.method == "initialize":
            content = mcp_skills.declared(content)
        # The length is set where the answer is sent.
        kept = [pair for pair in answer.headers if pair[0].lower() != b"content-length"]
        return Answer(answer.status, [*kept, NOT_KEPT, VARY_ACCEPT, VARY_ENCODING], content)

    def _what(self, message: Message) -> str:
        """What was asked, in the few words that metrics can bear."""
        if message.method not in METHODS:
            return "other"
        if message.method == CALL and message.params.name in self._tools:
            return f"{CALL} {message.params.name}"
        return message.method

    def _input_schema(self, name: str) -> Mapping[str, Any] | None:
        bound = self._tools.get(name)
        return bound.input_schema if bound is not None else None

    async def _list_tools(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        """Those that the key may use."""
        scopes = mcp_request_of(ctx).inside.principal.scopes
        usable = [
            name for name, bound in self._tools.items() if any(allows(scopes, one) for one in bound.scopes)
        ]
        return types.ListToolsResult(tools=[self._listed[name] for name in usable])

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        bound = self._tools.get(params.name)
        if bound is None:
            raise MCPError(
                types.INVALID_PARAMS, f"There is no tool {params.name!r}; there are {', '.join(self._tools)}."
            )
        mcp_request = mcp_request_of(ctx)
        try:
            answer = await call(mcp_request.inside, bound, mcp_request.arguments(params.arguments))
        except Refused as refused:
            return tool_error(
                {
                    "type": "validation_error",
                    "code": refused.code,
                    "detail": refused.detail,
                    "attr": refused.attr,
                }
            )
        return await rendered(len(answer.body), lambda: tool_result(bound, answer))


def _listed(bound: BoundTool) -> types.Tool:
    tool = bound.tool
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=bound.input_schema,
        output_schema=bound.output_schema,
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=False,
        ),
    )


async def call(inside: InternalClient, bound: BoundTool, arguments: Mapping[str, bytes]) -> Answer:
    """The answer of the operation that the tool calls. Raises Invalid or NotFound for what no address can carry."""
    for name in arguments:
        if name not in bound.arguments:
            known = ", ".join(bound.arguments)
            raise Invalid(f"There is no argument '{name}'; this tool takes {known}.", attr=name)
    places = {
        place: _number(arguments, argument) if bound.is_number(argument) else _place(arguments, argument)
        for place, argument in bound.places.items()
    }
    path = PLACEHOLDER.sub(lambda found: segment(places[found.group(1)]), bound.path)
    query = {**bound.tool.fixed, **{name: str(value) for name, value in bound.tool.defaults.items()}}
    for name in bound.query:
        if (text := _text(arguments.get(name))) is not None:
            query[name] = text
    body = b""
    if bound.method in ("POST", "PUT", "PATCH"):
        taken = {*bound.places.values(), *bound.query}
        sent = {name: raw for name, raw in arguments.items() if name not in taken}
        body = b"{" + b",".join(msgspec.json.encode(name) + b":" + raw for name, raw in sent.items()) + b"}"
    door = MCP if bound.tool.counted else UNCOUNTED
    return await inside.request(bound.method, path, query, body, door=door)


def _place(arguments: Mapping[str, bytes], name: str) -> str:
    """An argument that is a part of the address."""
    if name not in arguments:
        raise Invalid("This argument is required.", code="required", attr=name)
    if not arguments[name].startswith(b'"'):
        raise Invalid("This must be a string.", attr=name)
    value: str = json.loads(arguments[name])
    if not value.strip():
        raise Invalid("This may not be blank.", code="blank", attr=name)
    if re.search("[\ud800-\udfff]", value) or (name != "path" and "/" in value):
        raise NotFound(f"There is nothing named {value.encode('utf-8', 'replace').decode()!r}.")
    return value


def _number(arguments: Mapping[str, bytes], name: str) -> str:
    """An argument that is a number in the address."""
    sent = Query(b"")
    sent.values[name] = _text(arguments.get(name)) or ""
    if not sent.values[name]:
        raise Invalid("This argument is required.", code="required", attr=name)
    return str(sent.integer(name, minimum=1, cut=True))


def _text(raw: bytes | None) -> str | None:
    """An argument as a query has it; null is as good as absent."""
    if raw is None or raw == b"null":
        return None
    if not raw.startswith(b'"'):
        return raw.decode()
    value: str = json.loads(raw)
    return value.encode("utf-8", "replace").decode()


def tool_result(bound: BoundTool, answer: Answer) -> types.CallToolResult:
    """The answer of an operation as the result of its tool."""
    if answer.status >= 400:
        return tool_error(loaded(answer.body))
    if not answer.body:
        return types.CallToolResult(content=[types.TextContent(text="Done.")])
    text = shown(bound.tool, answer.body)
    return types.CallToolResult(
        content=[types.TextContent(text=text.decode())], structured_content=structured(text)
    )


def tool_error(error: dict[str, Any]) -> types.CallToolResult:
    """An error of the API, whole, as JSON text: the schema of a tool's answer does not hold for its errors."""
    if error.get("attr") in ARGUMENTS:
        error["attr"] = ARGUMENTS[error["attr"]]
    return types.CallToolResult(
        content=[types.TextContent(text=json.dumps(error, ensure_ascii=False))], is_error=True
    )
