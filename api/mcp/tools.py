"""The tools of the MCP endpoint. A tool is an operation of the API under a name and with words that suit a model.

What an operation takes, needs and answers is read from its route (scope, path, query, body, answer), so a tool adds no
rule of its own: it says which operation it is, which parameters it shows, and what it leaves out of the answer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from litestar import Litestar

from api.openapi import parameters as docs
from api.openapi.document import PATH_PARAMETERS, Operation, operations_of
from domain.artifacts.kinds import KINDS
from domain.artifacts.versioned import Versioned

PREFIX = "/api/environments/{project_id}/"
PLACEHOLDER = re.compile(r"{(\w+)}")
# What a parameter of a path is called as an argument, and in errors that blame it.
ARGUMENTS = {
    "skill_name": "name",
    "prompt_name": "name",
    "file_path": "path",
    "label_name": "label",
    "version_number": "version",
    "promotion_id": "id",
}
# Rules that patterns, conditions and examples state are left to the answer: some model providers take no such schema.
PORTABLE = frozenset(
    {
        "type",
        "description",
        "properties",
        "required",
        "items",
        "anyOf",
        "enum",
        "default",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "additionalProperties",
    }
)

# What is of no use to a model in an answer, or has just been sent by it.
NOT_IN_ROWS = ("id", "created_by", "owners", "deleted", "is_latest", "first_version_created_at")
NOT_IN_PREVIEWS = ("prompt", "config")
PACKAGING = ("digest", "skill_md", "frontmatter")
# JSON of an author's own. A schema of the answer promises structured content, which is left out where a reader would have
# other digits than the author wrote; so a tool with one of these has no schema.
AS_WRITTEN = frozenset({"metadata", "prompt", "config"})
NOT_AFTER_WRITES = (*NOT_IN_ROWS, *PACKAGING, "body", "outline", "prompt", "config")


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool; ``operation`` is the id of the route that it calls.

    ``query`` names the parameters that are arguments, ``fixed`` gives others a value, ``defaults`` those that differ from
    the route's. ``required`` names what the route leaves to a header. ``omit`` goes from the answer, or from its rows.
    ``counted``: what it reads is usage, if the route counts reads.
    """

    name: str
    title: str
    description: str
    operation: str
    query: tuple[str, ...] = ()
    fixed: Mapping[str, str] = {}
    defaults: Mapping[str, int] = {}
    required: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    counted: bool = True


def _reading(**fields: Any) -> Tool:
    return Tool(read_only=True, idempotent=True, **fields)


def _governing(kind: type[Versioned]) -> tuple[Tool, ...]:
    """What is done with versions and labels of one kind beside moving a label."""
    one = kind.KIND
    return (
        Tool(
            name=f"remove_{one}_label",
            title=f"Remove a label of a {one}",
            description=f"The version stays. Reads of the {one} by this label find nothing from now on.",
            operation=f"{kind.RESOURCE}_name_labels_destroy",
            destructive=True,
        ),
        Tool(
            name=f"yank_{one}_version",
            title=f"Yank a version of a {one}",
            description="Withdraws a version that should not be used any more, and says why to those who have it. It stays readable by "
            "its number; the latest is then the newest that is not yanked, and a label that points to this one finds nothing "
            f"until it moves. unyank_{one}_version takes it back.",
            operation=f"{kind.RESOURCE}_name_versions_yank_create",
            omit=NOT_AFTER_WRITES,
            destructive=True,
            idempotent=True,
        ),
        Tool(
            name=f"unyank_{one}_version",
            title=f"Take the yank of a version of a {one} back",
            description="It is a version like any other again; the newest one is the latest.",
            operation=f"{kind.RESOURCE}_name_versions_unyank_create",
            omit=NOT_AFTER_WRITES,
            idempotent=True,
        ),
        Tool(
            name=f"request_{one}_promotion",
            title=f"Ask for a move of a label of a {one}",
            description="Proposes a version for a label that is protected; the label moves when others have approved it. "
            f"set_{one}_label moves labels that are not.",
            operation=f"{kind.RESOURCE}_name_promotions_create",
        ),
    )


TOOLS = (
    _reading(
        name="list_skills",
        title="List or search skills",
        description="Skills of the project with their descriptions, the newest first, and the labels of their versions. "
        "With `label`: the versions that the label points to. Search before you create one.",
        operation="llm_skills_list",
        query=("search", "label", "tags", "order_by", "limit", "offset"),
        defaults={"limit": 20},
        omit=(*NOT_IN_ROWS, *PACKAGING, "outline", "metadata", "spec_problems"),
    ),
    _reading(
        name="search_skills",
        title="Find skills for a task",
        description="The best skills for a question or task, by all that is in them: names, descriptions, instructions, files. Each "
        "with the places that fit. Words that are spelled otherwise count, too; put a phrase between double quotes.",
        operation="llm_skills_search_retrieve",
        query=("query", "top_k"),
        required=("query",),
    ),
    _reading(
        name="get_skill",
        title="Get a skill",
        description="The instructions of a skill (`body`) and the list of its files, latest, of one version, or of one label such as production. "
        "Read a long body in parts by `body_offset` and `body_length`; get_skill_file gives the files.",
        operation="llm_skills_name_retrieve",
        query=("version", "label", "body_offset", "body_length"),
    ),
    _reading(
        name="get_skill_file",
        title="Get a file of a skill",
        description="The content of one file that get_skill lists. `encoding` is base64 where the file is no text.",
        operation="llm_skills_name_files_retrieve",
        query=("version", "label"),
    ),
    _reading(
        name="list_skill_versions",
        title="List the versions of a skill",
        description="Who published which version of a skill when, the newest first, and where its labels point to.",
        operation="llm_skills_resolve_name_retrieve",
        query=("limit", "before_version"),
        defaults={"limit": 20},
        omit=("skill",),
        counted=False,
    ),
    Tool(
        name="create_skill",
        title="Create a skill",
        description="A new skill, as version 1. The description says what it does and when to use it: agents choose "
        "skills by it. The body is the Markdown below the frontmatter; the frontmatter is made from the other fields.",
        operation="llm_skills_create",
        omit=NOT_AFTER_WRITES,
    ),
    Tool(
        name="edit_skill",
        title="Publish a new version of a skill",
        description="What is not sent stays as it is. Prefer `edits` (each `old` text must occur exactly once) and "
        "`file_edits` to sending a whole body or all files again. `base_version` is the version you read; "
        "when another change came first, the error `version_conflict` names the latest one: read it, and apply your change to that. "
        "Labels stay where they are: set_skill_label moves them.",
        operation="llm_skills_name_partial_update",
        required=("base_version",),
        omit=NOT_AFTER_WRITES,
    ),
    Tool(
        name="add_skill_file",
        title="Add a file to a skill",
        description="A new version of the skill with one more file, such as scripts/fill.py.",
        operation="llm_skills_name_files_create",
        omit=NOT_AFTER_WRITES,
    ),
    Tool(
        name="rename_skill_file",
        title="Rename a file of a skill",
        description="A new version of the skill with one file at another path.",
        operation="llm_skills_name_files_rename_create",
        omit=NOT_AFTER_WRITES,
    ),
    Tool(
        name="remove_skill_file",
        title="Remove a file from a skill",
        description="A new version of the skill without one file; earlier versions keep it.",
        operation="llm_skills_name_files_destroy",
        query=("base_version",),
        omit=NOT_AFTER_WRITES,
        destructive=True,
    ),
    Tool(
        name="duplicate_skill",
        title="Duplicate a skill",
        description="Version 1 of a new skill with the latest content and files of another one.",
        operation="llm_skills_name_duplicate_create",
        omit=NOT_AFTER_WRITES,
    ),
    Tool(
        name="rename_skill",
        title="Rename a skill",
        description="Another name for a skill, with all its versions; no new version. Reads of the old name are led to the new one, "
        "until another skill takes it.",
        operation="llm_skills_name_rename_create",
        omit=NOT_AFTER_WRITES,
    ),
    Tool(
        name="set_skill_label",
        title="Point a label of a skill to a version",
        description="Those who read the skill by this label, such as production, get this version from now on.",
        operation="llm_skills_name_labels_update",
        destructive=True,
        idempotent=True,
    ),
    Tool(
        name="archive_skill",
        title="Archive a skill",
        description="Takes a skill with all its versions and labels out of every list and read. restore_skill brings it back.",
        operation="llm_skills_name_archive_create",
        destructive=True,
    ),
    Tool(
        name="restore_skill",
        title="Restore an archived skill",
        description="Brings an archived skill back with all its versions, when no other one has taken its name.",
        operation="llm_skills_name_restore_create",
        omit=NOT_AFTER_WRITES,
    ),
    _reading(
        name="list_prompts",
        title="List or search prompts",
        description="Prompts of the project with a preview of each, the newest first, and the labels of their versions. "
        "With `label`: the versions that the label points to.",
        operation="llm_prompts_list",
        query=("search", "tags", "label", "order_by", "limit", "offset"),
        fixed={"content": "preview"},
        defaults={"limit": 20},
        omit=(*NOT_IN_ROWS, *NOT_IN_PREVIEWS),
    ),
    _reading(
        name="get_prompt",
        title="Get a prompt",
        description="A prompt (a text, or any JSON such as a chat), latest, of one version, or of one label such as production.",
        operation="llm_prompts_name_retrieve",
        query=("version", "label"),
    ),
    _reading(
        name="list_prompt_versions",
        title="List the versions of a prompt",
        description="Who published which version of a prompt when, the newest first, and where its labels point to.",
        operation="llm_prompts_resolve_name_retrieve",
        query=("limit", "before_version"),
        defaults={"limit": 20},
        omit=("prompt",),
        counted=False,
    ),
    Tool(
        name="create_prompt",
        title="Create a prompt",
        description="A new prompt, as version 1.",
        operation="llm_prompts_create",
        omit=NOT_AFTER_WRITES,
    ),
    Tool(
        name="edit_prompt",
        title="Publish a new version of a prompt",
        description="Send `edits` (each `old` text must occur exactly once) or the whole `prompt`. `base_version` is the "
        "version you read; when another change came first, the error `version_conflict` names the latest one: read it, and apply "
        "your change to that. Labels stay where they are: set_prompt_label moves them.",
        operation="llm_prompts_name_partial_update",
        required=("base_version",),
        omit=NOT_AFTER_WRITES,
    ),
    Tool(
        name="set_prompt_label",
        title="Point a label of a prompt to a version",
        description="Those who read the prompt by this label, such as production, get this version from now on.",
        operation="llm_prompts_name_labels_update",
        destructive=True,
        idempotent=True,
    ),
    Tool(
        name="rename_prompt",
        title="Rename a prompt",
        description="Another name for a prompt, with all its versions and labels; no new version. Reads of the old name are led to "
        "the new one, until another prompt takes it.",
        operation="llm_prompts_name_rename_create",
        omit=NOT_AFTER_WRITES,
    ),
    Tool(
        name="archive_prompt",
        title="Archive a prompt",
        description="Takes a prompt with all its versions and labels out of every list and read. restore_prompt brings it back.",
        operation="llm_prompts_name_archive_create",
        omit=NOT_AFTER_WRITES,
        destructive=True,
    ),
    Tool(
        name="restore_prompt",
        title="Restore an archived prompt",
        description="Brings an archived prompt back with all its versions, when no other one has taken its name.",
        operation="llm_prompts_name_restore_create",
        omit=NOT_AFTER_WRITES,
    ),
    *(tool for kind in KINDS.values() for tool in _governing(kind)),
    _reading(
        name="list_promotions",
        title="List promotions",
        description="Requests to move a label, the newest first, with who asked for them and who approved them; of skills and prompts.",
        operation="promotions_list",
        query=("status", "name", "label", "limit", "offset"),
        defaults={"limit": 20},
    ),
    Tool(
        name="approve_promotion",
        title="Approve a promotion",
        description="One approval more; with the last one that the policy of the label asks for, the label moves. Read what it is about "
        "first. The requester is refused.",
        operation="promotions_approve_create",
        destructive=True,
    ),
    Tool(
        name="reject_promotion",
        title="Reject a promotion",
        description="Ends a promotion; the label stays where it is. `comment` says why.",
        operation="promotions_reject_create",
        destructive=True,
    ),
    Tool(
        name="withdraw_promotion",
        title="Withdraw a promotion",
        description="Ends a promotion that was requested with a key of the same user; the label stays where it is.",
        operation="promotions_withdraw_create",
        destructive=True,
    ),
    _reading(
        name="list_usage",
        title="List what is read, and what is not",
        description="How often each skill and prompt was read in a period, and by how many keys. With `show`: what is unused, or "
        "which keys read an earlier version than the latest.",
        operation="usage_list",
        query=("kind", "show", "from", "to", "limit", "offset"),
        defaults={"limit": 20},
    ),
    *(
        _reading(
            name=f"get_{kind.KIND}_usage",
            title=f"Count the reads of a {kind.KIND}",
            description=f"How often a {kind.KIND} was read in a period, by version, key, door (api, cli, mcp, git, …), hour or day.",
            operation=f"{kind.RESOURCE}_name_usage_retrieve",
            query=("by", "from", "to"),
        )
        for kind in KINDS.values()
    ),
)


class BoundTool(msgspec.Struct, frozen=True):
    """A tool with what its route says. ``places`` are the arguments of the path, by their names in it.

    A key needs one of ``scopes``.
    """

    tool: Tool
    method: str
    path: str
    scopes: tuple[str, ...]
    places: Mapping[str, str]
    query: Mapping[str, docs.Param]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None

    @property
    def arguments(self) -> list[str]:
        return list(self.input_schema["properties"])

    def is_number(self, argument: str) -> bool:
        return bool(self.input_schema["properties"][argument]["type"] == "integer")


def bind(app: Litestar, tools: Sequence[Tool] = TOOLS) -> dict[str, BoundTool]:
    """The tools by name, with the routes of ``app`` that they call. Raises KeyError for an operation that it lacks."""
    operations = {operation.operation_id: operation for operation in operations_of(app)}
    return {tool.name: _bind(tool, operations[tool.operation]) for tool in tools}


def _bind(tool: Tool, operation: Operation) -> BoundTool:
    path = operation.path.removeprefix(PREFIX)
    scope: str | tuple[str, ...] = operation.opt["scope"]
    places = {name: ARGUMENTS[name] for name in PLACEHOLDER.findall(path)}
    query = {param.name: param for param in operation.opt["query"] if param.name in tool.query}
    if missing := set(tool.query) - query.keys():
        raise KeyError(f"{operation.operation_id} has no parameter {', '.join(sorted(missing))}")
    return BoundTool(
        tool,
        operation.method,
        path,
        (scope,) if isinstance(scope, str) else scope,
        places,
        {name: query[name] for name in tool.query},
        _input_schema(tool, places, query, operation.opt["body"]),
        _output_schema(tool, operation.answer),
    )


def _input_schema(
    tool: Tool, places: Mapping[str, str], query: Mapping[str, docs.Param], body: type[msgspec.Struct] | None
) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = list(places.values())
    for place, argument in places.items():
        description, schema, _ = PATH_PARAMETERS[place]
        properties[argument] = portable({**schema, "description": description}, {})
    for name in tool.query:
        param = query[name]
        properties[name] = portable({**param.schema, "description": param.description}, {})
        if name in tool.defaults:
            properties[name]["default"] = tool.defaults[name]
    if body is not None:
        (_,), components = msgspec.json.schema_components([body], ref_template="#/$defs/{name}")
        own = portable(components[body.__name__], components)
        properties.update(own["properties"])
        required += own.get("required", [])
    return {
        "type": "object",
        "properties": properties,
        "required": [*required, *(name for name in tool.required if name not in required)],
        "additionalProperties": False,
    }


def portable(schema: Any, components: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without references, and without the keywords that not every model provider takes."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return portable({**components[name], **{k: v for k, v in schema.items() if k != "$ref"}}, components)
    hidden = set(schema.get(docs.WITHOUT, ()))
    kept = {key: value for key, value in schema.items() if key in PORTABLE and key not in hidden}
    if "properties" in kept:
        kept["properties"] = {name: portable(inner, components) for name, inner in kept["properties"].items()}
    if isinstance(kept.get("items"), dict):
        kept["items"] = portable(kept["items"], components)
    if isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = portable(kept["additionalProperties"], components)
    if "anyOf" in kept:
        kept["anyOf"] = [portable(inner, components) for inner in kept["anyOf"]]
    return kept


def _output_schema(tool: Tool, answer: Any) -> dict[str, Any] | None:
    """The schema of what is left of the answer; None for an answer without a body, or with JSON of an author's own."""
    if answer is type(None):
        return None
    (_,), components = msgspec.json.schema_components([answer], ref_template="#/$defs/{name}")
    schema = components.pop(answer.__name__)
    for said_by_the_tool in ("title", "description"):
        schema.pop(said_by_the_tool, None)
    rows = _rows_of(schema)
    if rows is None:
        schema = shown_part = _without(schema, tool.omit)
    else:
        schema = _without(schema, LINKS)
        name = rows.rpartition("/")[2]
        components[name] = shown_part = _without(components[name], tool.omit)
    if AS_WRITTEN & shown_part["properties"].keys():
        return None
    used = _used(schema, components)
    return {**schema, "$defs": {name: components[name] for name in sorted(used)}} if used else schema


# Pages of the API name their neighbours by addresses; who calls a tool counts on by offset.
LINKS = ("next", "previous")
ROWS = "results"


def _rows_of(schema: Mapping[str, Any]) -> str | None:
    rows = schema["properties"].get(ROWS)
    reference: str | None = rows and rows["items"]["$ref"]
    return reference


def _without(schema: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    left = {name: inner for name, inner in schema["properties"].items() if name not in names}
    return {**schema, "properties": left, "required": [name for name in schema["required"] if name in left]}


def _used(schema: Any, components: Mapping[str, Any]) -> set[str]:
    """The names of the components that a schema refers to, also by way of others."""
    found: set[str] = set()
    rest = [schema]
    while rest:
        item = rest.pop()
        if isinstance(item, list):
            rest.extend(item)
        elif isinstance(item, dict):
            name = str(item.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                rest.append(components[name])
            rest.extend(item.values())
    return found


def shown(tool: Tool, body: bytes) -> bytes:
    """The JSON of an answer as the tool gives it: every value is kept as it is written there."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if ROWS in fields:
        rows = msgspec.json.decode(fields[ROWS], type=list[dict[str, msgspec.Raw]])
        fields[ROWS] = msgspec.Raw(b"[" + b",".join(_joined(row, tool.omit) for row in rows) + b"]")
        return _joined(fields, LINKS)
    return _joined(fields, tool.omit)


def _joined(fields: Mapping[str, msgspec.Raw], omit: Iterable[str] = ()) -> bytes:
    pairs = (
        msgspec.json.encode(name) + b":" + bytes(raw) for name, raw in fields.items() if name not in omit
    )
    return b"{" + b",".join(pairs) + b"}"
