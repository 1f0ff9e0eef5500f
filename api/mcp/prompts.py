"""Prompts as MCP prompts: what a user picks from a menu.

``{{variables}}`` in a prompt are its arguments, and are replaced as the SDKs of this API replace them. ``name`` stands
for the latest version; ``name@production`` for that of a label, ``name@3`` for a version.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from api.http.answers import rendered
from api.mcp.internal import segment
from api.mcp.request import Context, mcp_request_of, next_cursor, offset_of, request_json
from projections.sizes import MAX_ANSWER

PAGE = 50
MAX_ARGUMENTS = 500  # that a prompt is listed with: a form with more is of no use to a person
VARIABLE = re.compile(r"\{\{([\w.-]+)\}\}")
# MCP knows two roles; what another one says is said to the model like what the user says.
ASSISTANT = "assistant"


async def list_prompts(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    offset = offset_of(params)
    query = {"content": "full", "order_by": "name", "limit": str(PAGE), "offset": str(offset)}
    page = await request_json(mcp_request_of(ctx), "llm_prompts/", query)
    size = sum(row["prompt_size_bytes"] for row in page["results"])
    prompts = await rendered(size, lambda: [_listed(row) for row in page["results"]])
    return types.ListPromptsResult(
        prompts=prompts, next_cursor=next_cursor(offset, len(page["results"]), page["count"])
    )


def _listed(row: Mapping[str, Any]) -> types.Prompt:
    return types.Prompt(
        name=row["name"],
        description=row["version_description"] or None,
        arguments=[types.PromptArgument(name=name) for name in variables_of(row["prompt"])[:MAX_ARGUMENTS]],
    )


async def get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    name, _, pick = params.name.partition("@")
    query = {("version" if pick.isdigit() else "label"): pick} if pick else {}
    found = await request_json(
        mcp_request_of(ctx), f"llm_prompts/name/{segment(name)}/", query, name=params.name
    )
    values = params.arguments or {}
    size = len(json.dumps(found["prompt"])) + sum(map(len, values.values()))
    messages = await rendered(size, lambda: messages_of(found["prompt"], values))
    return types.GetPromptResult(description=found["version_description"] or None, messages=messages)


def variables_of(prompt: Any) -> list[str]:
    """The names of the variables in the texts of a prompt, in order."""
    return list(dict.fromkeys(name for text in _texts(prompt) for name in VARIABLE.findall(text)))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def messages_of(prompt: Any, values: Mapping[str, str]) -> list[types.PromptMessage]:
    """A chat as its messages; anything else as one message of the user. Variables without a value stay.

    Raises MCPError when the values make more of it than an answer has.
    """
    parts = [("user", prompt if isinstance(prompt, str) else _json(prompt))]
    if isinstance(prompt, list) and prompt and all(_is_message(item) for item in prompt):
        parts = [(item["role"], text) for item in prompt for text in _parts(item["content"])]
    # A value stands in as many places as the prompt names it, so that two megabytes could make a terabyte.
    filled = sum(len(values.get(name, "")) for _, text in parts for name in VARIABLE.findall(text))
    if filled > MAX_ANSWER:
        raise MCPError(
            types.INVALID_PARAMS,
            f"The arguments would stand in this prompt with {filled:,} characters, above the limit of {MAX_ANSWER:,}; "
            "send shorter ones.",
        )
    return [_message(role, text, values) for role, text in parts]


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("role"), str) and "content" in item


def _parts(content: Any) -> list[str]:
    """A content is a text, or a list of parts of which those of type text have one; what else there is stays JSON."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [
            part["text"]
            if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
            else _json(part)
            for part in content
        ]
    return [_json(content)]


def _message(role: str, text: str, values: Mapping[str, str]) -> types.PromptMessage:
    filled = VARIABLE.sub(lambda found: values.get(found.group(1), found.group()), text)
    return types.PromptMessage(
        role="assistant" if role == ASSISTANT else "user", content=types.TextContent(text=filled)
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
