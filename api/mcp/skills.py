"""Skills as resources, and the extension ``io.modelcontextprotocol/skills`` (SEP-2640): what hosts load skills by.

``skill://<name>/SKILL.md`` and ``skill://<name>/<path>`` are the latest version of a skill, byte for byte as every other
endpoint gives it. ``skills/list`` and ``skills/get`` tell digests and sizes of all files; ``resources/directory/read`` lists
a folder. Files that are no text are blobs.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import mcp_types as types
import msgspec
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

from api.counting.doors import MCP, UNCOUNTED
from api.mcp.frontmatter import read_frontmatter
from api.mcp.internal import segment
from api.mcp.request import Context, McpRequest, check, mcp_request_of, next_cursor, offset_of, request_json
from domain.artifacts.skills import SkillFields
from domain.errors import Invalid
from domain.formats import skill_md
from domain.names import check_skill_name
from projections.sizes import MAX_ANSWER

EXTENSION = "io.modelcontextprotocol/skills"
SETTINGS = {"directoryRead": True}
SKILL_MD = "SKILL.md"
MARKDOWN = "text/markdown"
FOLDER = "inode/directory"

# Entries name every file of a skill, rows do not.
SKILLS_PAGE = 50
RESOURCES_PAGE = 100
# Bytes that an entry has for a file beside its address: a digest, a size and their names.
FILE = 128
# A listing may be used again for as long as a change may take to be seen.
FRESH = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


class SkillParams(types.RequestParams):
    """Of ``skills/get``."""

    uri: str


class DirectoryParams(types.PaginatedRequestParams):
    """Of ``resources/directory/read``."""

    uri: str


def extend(server: Server[Any]) -> None:
    """Declare and serve the extension."""
    server.extensions[EXTENSION] = dict(SETTINGS)
    server.add_request_handler("skills/list", types.PaginatedRequestParams, list_skills)
    server.add_request_handler("skills/get", SkillParams, get_skill)
    server.add_request_handler("resources/directory/read", DirectoryParams, read_directory)


def declared(answer: bytes) -> bytes:
    """The answer to ``initialize`` with the extension among the capabilities.

    The SDK has that field for the revision without a handshake only; clients of the others look for it all the same.
    """
    message = msgspec.json.decode(answer)
    if "result" not in message:
        return answer
    message["result"]["capabilities"]["extensions"] = {EXTENSION: SETTINGS}
    return msgspec.json.encode(message)


async def list_resources(
    ctx: Context, params: types.PaginatedRequestParams | None
) -> types.ListResourcesResult:
    """The SKILL.md of each skill; its other files are found by template, directory or entry."""
    offset = offset_of(params)
    page = await _page(mcp_request_of(ctx), offset, RESOURCES_PAGE)
    return types.ListResourcesResult(
        resources=[_skill_md(row) for row in page["results"]],
        next_cursor=next_cursor(offset, len(page["results"]), page["count"]),
    )


async def list_templates(
    ctx: Context, params: types.PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult(
        resource_templates=[
            types.ResourceTemplate(
                name="skill",
                title="A skill",
                uri_template="skill://{skill_name}/SKILL.md",
                description="The instructions of a skill, with its frontmatter.",
                mime_type=MARKDOWN,
            ),
            types.ResourceTemplate(
                name="skill-file",
                title="A file of a skill",
                uri_template="skill://{skill_name}/{+file_path}",
                description="A file that belongs to a skill.",
            ),
        ]
    )


async def read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    mcp_request, uri = mcp_request_of(ctx), params.uri
    name, path = split(uri)
    if path == SKILL_MD:
        answer = check(
            await mcp_request.inside.request("GET", f"llm_skills/name/{segment(name)}/skill-md/"), uri=uri
        )
        text = types.TextResourceContents(uri=uri, mime_type=MARKDOWN, text=answer.body.decode())
        return types.ReadResourceResult(contents=[text])
    if not path:
        raise MCPError(types.INVALID_PARAMS, f"{uri} is a directory; resources/directory/read lists it.")
    file = await request_json(mcp_request, f"llm_skills/name/{segment(name)}/files/{segment(path)}", uri=uri)
    return types.ReadResourceResult(contents=[_contents(uri, file)])


def _contents(uri: str, file: Mapping[str, Any]) -> types.TextResourceContents | types.BlobResourceContents:
    if file.get("encoding") == "base64":
        return types.BlobResourceContents(uri=uri, mime_type=file["content_type"], blob=file["content"])
    return types.TextResourceContents(uri=uri, mime_type=file["content_type"], text=file["content"])


async def list_skills(ctx: Context, params: types.PaginatedRequestParams) -> dict[str, Any]:
    """Whole entries, so that a host need not ask again for any of them."""
    mcp_request, offset = mcp_request_of(ctx), offset_of(params)
    page = await _page(mcp_request, offset, SKILLS_PAGE)
    entries: list[dict[str, Any]] = []
    passed = size = 0
    for row in page["results"]:
        try:
            entry = _entry(await _skill(mcp_request, row["name"], door=UNCOUNTED))
        except MCPError:
            # Archived since the page was read.
            passed += 1
            continue
        size += sum(len(file["uri"]) + FILE for file in entry["resources"])
        if entries and size > MAX_ANSWER:
            break
        entries.append(entry)
        passed += 1
    following = next_cursor(offset, passed, page["count"])
    return {**FRESH, "skills": entries, **({"nextCursor": following} if following else {})}


async def get_skill(ctx: Context, params: SkillParams) -> dict[str, Any]:
    name, path = split(params.uri)
    if path != SKILL_MD:
        raise MCPError(
            types.INVALID_PARAMS, f"No skill is served at {params.uri}; its SKILL.md names a skill."
        )
    return {**FRESH, "skill": _entry(await _skill(mcp_request_of(ctx), name, uri=params.uri))}


async def read_directory(ctx: Context, params: DirectoryParams) -> dict[str, Any]:
    """The direct children of a folder, all at once: a skill has no more files than fit."""
    name, path = split(params.uri)
    skill = await _skill(mcp_request_of(ctx), name, door=UNCOUNTED, uri=params.uri)
    folder = path + "/" if path else ""
    children = list(_children(skill, folder))
    if not children:
        raise MCPError(types.INVALID_PARAMS, f"{params.uri} is not a directory resource.")
    return {**FRESH, "resources": [_dumped(child) for child in children]}


def _children(skill: Mapping[str, Any], folder: str) -> Iterator[types.Resource]:
    if not folder:
        yield _skill_md(skill)
    seen = set()
    for file in skill["files"]:
        if not file["path"].startswith(folder):
            continue
        name, slash, _ = file["path"].removeprefix(folder).partition("/")
        uri = uri_of(skill["name"], folder + name)
        if not slash:
            yield types.Resource(uri=uri, name=name, mime_type=file["content_type"], size=file["size"])
        elif name not in seen:
            seen.add(name)
            yield types.Resource(uri=uri, name=name, mime_type=FOLDER)


def _dumped(resource: types.Resource) -> dict[str, Any]:
    return resource.model_dump(by_alias=True, mode="json", exclude_none=True)


async def _page(mcp_request: McpRequest, offset: int, limit: int) -> Any:
    query = {"order_by": "name", "limit": str(limit), "offset": str(offset)}
    return await request_json(mcp_request, "llm_skills/", query)


async def _skill(mcp_request: McpRequest, name: str, *, door: str = MCP, **about: Any) -> Any:
    return await request_json(mcp_request, f"llm_skills/name/{segment(name)}/", door=door, **about)


def _skill_md(skill: Mapping[str, Any]) -> types.Resource:
    return types.Resource(
        uri=uri_of(skill["name"], SKILL_MD),
        name=skill["name"],
        description=skill["description"],
        mime_type=MARKDOWN,
        size=skill["skill_md"]["size"],
    )


def _entry(skill: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of one skill: its frontmatter, and digest and size of every file."""
    head = skill["skill_md"]
    files = [(SKILL_MD, head["sha256"], head["size"])]
    files += [(file["path"], file["sha256"], file["size"]) for file in skill["files"]]
    return {
        "uri": uri_of(skill["name"], SKILL_MD),
        "frontmatter": frontmatter_of(skill),
        "resources": [
            {"uri": uri_of(skill["name"], path), "digest": f"sha256:{sha256}", "size": size}
            for path, sha256, size in files
        ],
    }


def uri_of(name: str, path: str) -> str:
    return f"skill://{name}/{quote(path)}"


def split(uri: str) -> tuple[str, str]:
    """The name and the path in the address of a resource; no path for the folder of the skill. Raises MCPError."""
    try:
        parts = urlsplit(uri)
        name = check_skill_name(parts.netloc)
    except (ValueError, Invalid):
        name = ""
    if not name or parts.scheme != "skill" or parts.query or parts.fragment:
        raise MCPError(
            types.INVALID_PARAMS,
            f"There is nothing at {uri}; resources are at skill://name/SKILL.md.",
            {"uri": uri},
        )
    return name, unquote(parts.path).removeprefix("/").removesuffix("/")


def frontmatter_of(skill: Mapping[str, Any]) -> dict[str, Any]:
    """The frontmatter of SKILL.md as JSON; the SKILL.md is rendered as it was when the version was published."""
    frame = skill_md.frame(skill["name"], msgspec.convert(skill, SkillFields))
    head = skill_md.numbered(frame, skill["version"])
    return read_frontmatter(head.removeprefix("---\n").removesuffix("---\n"))
