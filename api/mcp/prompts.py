"""Prompts as MCP prompts: what a user picks from a menu.

``{{variables}}`` in a prompt are its arguments, and are replaced as the SDKs of this API replace them. ``name`` stands
for the latest version; ``name@production`` for that of a label, ``name@3`` for a version.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import mcp_types as types
import msgspec
from mcp.shared.exceptions import MCPError

from api.http.answers import rendered
from api.mcp.internal import segment
from api.mcp.request import Context, check, mcp_request_of, next_cursor, offset_of
from domain import json_text
from projections.sizes import MAX_ANSWER

PAGE = 50
MAX_ARGUMENTS = 500  # that a prompt is listed with: a form with more is of no use to a person
MAX_DESCRIPTION = 100  # characters of a prompt that stand for a description of it: a line of a menu
NUMBER = re.compile(r"[1-9][0-9]*")
VARIABLE = re.compile(r"\{\{([\w.-]+)\}\}")
# MCP knows two roles; what another one says is said to the model like what the user says.
ASSISTANT = "assistant"


class Version(msgspec.Struct):
    """What is needed of a version of a prompt; the prompt is JSON as it was written."""

    name: str
    prompt: msgspec.Raw
    version_description: str


class Page(msgspec.Struct):
    """Of the list of prompts."""

    results: list[Version]
    count: int


async def list_prompts(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    offset = offset_of(params)
    query = {"content": "full", "order_by": "name", "limit": str(PAGE), "offset": str(offset)}
    answer = check(await mcp_request_of(ctx).inside.request("GET", "llm_prompts/", query))

    def result() -> types.ListPromptsResult:
        page = msgspec.json.decode(answer.body, type=Page)
        return types.ListPromptsResult(
            prompts=[_listed(row) for row in page.results],
            next_cursor=next_cursor(offset, len(page.results), page.count),
        )

    return await rendered(len(answer.body), result)


def _listed(row: Version) -> types.Prompt:
    prompt = bytes(row.prompt)
    return types.Prompt(
        name=row.name,
        description=description_of(row),
        arguments=[types.PromptArgument(name=name) for name in variables_of(prompt)[:MAX_ARGUMENTS]],
    )


def description_of(version: Version) -> str:
    """What its author says of the version, else how the prompt begins: menus show a description, and some want one."""
    said = version.version_description.strip()
    if said:
        return said
    _, text = parts_of(bytes(version.prompt))[0]
    line = " ".join(text[: MAX_DESCRIPTION * 10].split())
    shown = line if len(line) <= MAX_DESCRIPTION else line[: MAX_DESCRIPTION - 1] + "…"
    return shown or version.name


async def get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    name, _, pick = params.name.partition("@")
    query = {("version" if NUMBER.fullmatch(pick) else "label"): pick} if pick else {}
    place = f"llm_prompts/name/{segment(name)}/"
    answer = check(await mcp_request_of(ctx).inside.request("GET", place, query), name=params.name)
    values = params.arguments or {}

    def result() -> types.GetPromptResult:
        version = msgspec.json.decode(answer.body, type=Version)
        return types.GetPromptResult(
            description=description_of(version), messages=messages_of(bytes(version.prompt), values)
        )

    return await rendered(len(answer.body) + sum(map(len, values.values())), result)


def variables_of(prompt: bytes) -> list[str]:
    """The names of the variables in the texts of a prompt, in order."""
    texts = _texts(json_text.parse(prompt))
    return list(dict.fromkeys(name for text in texts for name in VARIABLE.findall(text)))


def _texts(value: Any) -> Iterator[str]:
    """In order, at any depth."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            rest.extend(reversed(item.values()))
        elif isinstance(item, list):
            rest.extend(reversed(item))


def messages_of(prompt: bytes, values: Mapping[str, str]) -> list[types.PromptMessage]:
    """A chat as its messages; anything else as one message of the user. Variables without a value stay.

    Raises MCPError when the values make more of it than an answer has.
    """
    parts = parts_of(prompt)
    # A value stands in as many places as the prompt names it, so that two megabytes could make a terabyte.
    filled = sum(len(values.get(name, "")) for _, text in parts for name in VARIABLE.findall(text))
    if filled > MAX_ANSWER:
        raise MCPError(
            types.INVALID_PARAMS,
            f"The arguments would stand in this prompt with {filled:,} characters, above the limit of {MAX_ANSWER:,}; "
            "send shorter ones.",
        )
    return [_message(role, text, values) for role, text in parts]


def parts_of(prompt: bytes) -> list[tuple[str, str]]:
    """Roles and texts; what is no text is its JSON as it was written."""
    try:
        items = msgspec.json.decode(prompt, type=list[dict[str, msgspec.Raw]])
        chat = [(_string(item["role"]), bytes(item["content"])) for item in items]
    except (msgspec.ValidationError, KeyError):
        chat = []
    found = [(role, text) for role, content in chat for text in _parts(content)]
    return found or [("user", _text(prompt))]


def _parts(content: bytes) -> list[str]:
    """A content is a text, or a list of parts of which those of type text have one."""
    if content.startswith(b"["):
        return [_part(bytes(part)) for part in msgspec.json.decode(content, type=list[msgspec.Raw])]
    return [_text(content)]


def _part(part: bytes) -> str:
    try:
        fields = msgspec.json.decode(part, type=dict[str, msgspec.Raw])
        if _string(fields["type"]) == "text":
            return _string(fields["text"])
    except (msgspec.ValidationError, KeyError):
        pass
    return part.decode()


def _string(raw: msgspec.Raw) -> str:
    """Raises msgspec.ValidationError for what is no text."""
    return msgspec.json.decode(raw, type=str)


def _text(raw: bytes) -> str:
    return msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode()


def _message(role: str, text: str, values: Mapping[str, str]) -> types.PromptMessage:
    filled = VARIABLE.sub(lambda found: values.get(found.group(1), found.group()), text)
    return types.PromptMessage(
        role="assistant" if role == ASSISTANT else "user", content=types.TextContent(text=filled)
    )
