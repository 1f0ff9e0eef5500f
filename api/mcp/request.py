"""One message to the MCP endpoint, as its handlers see it: caller, arguments, and how refusals are answered."""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from api.counting.doors import MCP
from api.http.answers import rendered
from api.http.responses import Answer
from api.http.state import MCP_REQUEST
from api.mcp.internal import InternalClient

Context = ServerRequestContext[Any, Any]

# In the state of a scope.
CALL = "tools/call"
# What identifies a request: a string or a whole number. The SDK takes a message with any other id for a notification.
ID = re.compile(rb'".*"|-?\d+', re.DOTALL)
BAD_ID = "The id of a request is a string or a whole number; a notification has none."


class JsonRpcMessage(msgspec.Struct):
    """The parameters of a message as they were written."""

    name: str = ""
    arguments: dict[str, msgspec.Raw] | None = None


class Message(msgspec.Struct):
    """The parts of a message that are looked at before the SDK, which says what is wrong with the rest."""

    method: str = ""
    params: JsonRpcMessage = msgspec.field(default_factory=JsonRpcMessage)
    id: msgspec.Raw = msgspec.Raw()


class Plain(msgspec.Struct):
    """The same of a message whose parameters are of another kind."""

    method: str = ""
    id: msgspec.Raw = msgspec.Raw()


class McpRequest:
    """One message and who sent it."""

    def __init__(self, inside: InternalClient, body: bytes) -> None:
        self.inside = inside
        self.message = _read(body)
        self._body = body

    def arguments(self, decoded: Mapping[str, Any] | None) -> dict[str, bytes]:
        """The JSON of each argument of a tool as it was written; ``decoded`` are those that the SDK has read, if any."""
        if self._has_own_arguments:
            return {name: bytes(raw) for name, raw in (self.message.params.arguments or {}).items()}
        return {name: json.dumps(value).encode() for name, value in (decoded or {}).items()}

    def body(self) -> bytes:
        """The message for the SDK: without the arguments of a tool, whose numbers and depth are not the same to all parsers."""
        if not self._has_own_arguments:
            return self._body
        fields = msgspec.json.decode(self._body, type=dict[str, msgspec.Raw])
        params = msgspec.json.decode(fields["params"], type=dict[str, msgspec.Raw])
        params["arguments"] = msgspec.Raw(b"{}")
        fields["params"] = msgspec.Raw(msgspec.json.encode(params))
        return msgspec.json.encode(fields)

    @property
    def is_answerable(self) -> bool:
        """Whether an answer can say which request it is for, if this is one."""
        sent = bytes(self.message.id)
        return not self.message.method or sent == b"" or ID.fullmatch(sent) is not None

    @property
    def _has_own_arguments(self) -> bool:
        return self.message.method == CALL and self.message.params.arguments is not None


def _read(body: bytes) -> Message:
    try:
        # What is kept raw has no other check of its encoding.
        return msgspec.json.decode(body.decode(), type=Message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        plain = msgspec.json.decode(body, type=Plain)
        return Message(plain.method, id=plain.id)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Message()


def mcp_request_of(ctx: Context) -> McpRequest:
    """The message that a handler of the SDK is called for."""
    assert ctx.request is not None
    mcp_request: McpRequest = ctx.request.scope["state"][MCP_REQUEST]
    return mcp_request


def loaded(text: bytes) -> Any:
    """JSON as Python has it. Numbers that no double can hold become their text: the SDK could not write them."""
    return json.loads(text, parse_float=_number)


def _number(text: str) -> float | str:
    value = float(text)
    return value if isfinite(value) else text


def check(answer: Answer, **about: Any) -> Answer:
    """The answer when it is a good one. Raises MCPError that carries the whole error of the API in its data."""
    if answer.status < 400:
        return answer
    error = loaded(answer.body)
    code = types.INTERNAL_ERROR if answer.status >= 500 else types.INVALID_PARAMS
    raise MCPError(code, error["detail"], {**about, **error})


async def request_json(
    mcp_request: McpRequest,
    path: str,
    query: Mapping[str, str] | None = None,
    *,
    door: str = MCP,
    **about: Any,
) -> Any:
    """The JSON of a GET below the project. Raises MCPError that tells ``about`` what it was."""
    body = check(await mcp_request.inside.request("GET", path, query, door=door), **about).body
    return await rendered(len(body), lambda: loaded(body))


def offset_of(params: types.PaginatedRequestParams | None) -> int:
    """Cursors are offsets to us; clients see them as opaque. Raises MCPError for one that we did not make."""
    cursor = params.cursor if params is not None else None
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise MCPError(types.INVALID_PARAMS, "This cursor was not given by this server; begin without one.")
    return int(cursor)


def next_cursor(offset: int, came: int, count: int) -> str | None:
    """Behind the rows that came: a page of large ones has fewer than the limit."""
    return str(offset + came) if came and offset + came < count else None
