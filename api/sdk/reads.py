"""What the SDKs read: skills and versions by their ids, page after page, and their zips."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response

from api.artifacts.downloads import zip_answer
from api.counting.doors import SDK
from api.counting.reads import counted
from api.http import conditional
from api.http.query import Query
from api.http.requests import project_of, query_of
from api.http.responses import to_response
from api.openapi.parameters import Param, integer
from api.sdk.ids import SKILL_ID, SKILL_PREFIX, VERSION_ID, read_skill_id, read_version, skill_id
from api.sdk.sides import headers_for, side_of
from api.services import services
from domain.artifacts.skills import Skill
from domain.errors import Invalid, NotFound
from projections.read import by_id
from projections.read.by_id import FoundSkill, FoundVersion

KIND = Skill.KIND

DEFAULT_LIMIT, MAX_LIMIT = 20, 1000
ORDERS = ("asc", "desc")
CUSTOM = "custom"
MAX_ID = 41  # characters of one, the longer prefix and 32 digits
SOURCES = (CUSTOM, "anthropic", "anthropic_example", "plugin")

LIMIT = Param(
    "limit", integer(1, MAX_LIMIT, DEFAULT_LIMIT), "Page size; a page of large rows ends at 8 MiB.", 20
)
ORDER = Param(
    "order",
    {"type": "string", "enum": list(ORDERS), "default": "desc"},
    "`asc`: the oldest first.",
    "asc",
)
SOURCE = Param(
    "source",
    {"type": "string", "enum": list(SOURCES)},
    "Whose skills: all that are here are `custom`; of the others there are none.",
    CUSTOM,
)


def cursors(what: str, pattern: str) -> tuple[Param, Param]:
    """The two names of the place where a page goes on."""
    schema = {"type": "string", "pattern": f"^{pattern}$", "maxLength": MAX_ID}
    return (
        Param("after", schema, f"The id of the last {what} of the page before (`last_id`)."),
        Param("page", schema, "The same, from `next_page`; excludes `after`."),
    )


AFTER_SKILL = cursors("skill", SKILL_ID.pattern)
AFTER_VERSION = cursors("version", VERSION_ID.pattern)


def missing_skill(id: UUID | str) -> NotFound:
    shown = skill_id(id) if isinstance(id, UUID) else id[:100]
    return NotFound(f"There is no skill with the id '{shown}' in this project.")


def missing_version(of: FoundSkill, version: object) -> NotFound:
    return NotFound(f"The skill '{of.name}' has no version '{str(version)[:100]}'.")


async def skill_of(request: Request[Any, Any, Any], text: str) -> FoundSkill:
    """The skill that a path names. Raises NotFound."""
    id, project_id = read_skill_id(text), project_of(request)
    if id is None:
        raise missing_skill(text)
    found = await services(request).reads.ask(lambda conn: by_id.skill(conn, project_id, id))
    if found is None:
        raise missing_skill(id)
    return found


async def version_of(request: Request[Any, Any, Any], of: FoundSkill, text: str) -> FoundVersion:
    """The version that is named by its number or id, or as the latest. Raises NotFound."""
    try:
        ref = read_version(text)
    except ValueError:
        raise missing_version(of, text) from None
    if isinstance(ref, UUID):
        found = await services(request).reads.ask(lambda conn: by_id.version(conn, of, id=ref))
    else:
        number = of.latest if ref is None else ref
        found = await services(request).reads.ask(lambda conn: by_id.version(conn, of, number=number))
    if found is None:
        raise missing_version(of, text)
    return found


async def page_of_skills(request: Request[Any, Any, Any]) -> msgspec.Struct:
    """Raises Invalid, NotFound."""
    query, project_id = query_of(request), project_of(request)
    limit, rising = _bounds(query)
    source = query.choice("source", SOURCES)
    cursor = _cursor(query)
    after = None
    if cursor is not None:
        after = read_skill_id(cursor[1])
        if after is None:
            raise Invalid(f"This must be the id of a skill, {SKILL_PREFIX} and 32 digits.", attr=cursor[0])
    if source not in (None, CUSTOM):
        return side_of(request).skills([], False)
    found = await services(request).reads.ask(
        lambda conn: by_id.skills(conn, project_id, after, rising=rising, limit=limit)
    )
    if found is None:
        raise missing_skill(cursor[1] if cursor else "")
    return side_of(request).skills(*found)


async def page_of_versions(request: Request[Any, Any, Any], of: FoundSkill) -> msgspec.Struct:
    """Raises Invalid, NotFound."""
    query = query_of(request)
    limit, rising = _bounds(query)
    cursor = _cursor(query)
    after = None
    if cursor is not None:
        try:
            after = read_version(cursor[1])
        except ValueError:
            raise Invalid("This must be the id of a version.", attr=cursor[0]) from None
    found = await services(request).reads.ask(
        lambda conn: by_id.versions(conn, of, after, rising=rising, limit=limit)
    )
    if found is None:
        raise missing_version(of, cursor[1] if cursor else "")
    return side_of(request).versions(of.id, *found)


def _bounds(query: Query) -> tuple[int, bool]:
    """How many, and whether the oldest come first. Raises Invalid."""
    limit = query.integer("limit", minimum=1, maximum=MAX_LIMIT)
    return limit or DEFAULT_LIMIT, query.choice("order", ORDERS) == "asc"


def _cursor(query: Query) -> tuple[str, str] | None:
    """The name and the value of the parameter by which a page goes on. Raises Invalid."""
    after, page = query.text("after"), query.text("page")
    if after is not None and page is not None:
        raise Invalid("Send after or page, not both.")
    if after is not None:
        return "after", after
    return None if page is None else ("page", page)


def answer(request: Request[Any, Any, Any], shown: msgspec.Struct) -> Response[Any]:
    return conditional.answer(request, msgspec.json.encode(shown), extra=headers_for(request))


async def content(request: Request[Any, Any, Any], of: FoundSkill, number: int) -> Response[Any]:
    """The zip of a version: the bytes of an export. Raises NotFound."""
    reader = services(request).reader
    version = await reader.version(project_of(request), KIND, of.name, number)
    if version.stream_id != of.id:
        raise missing_skill(of.id)
    made = await zip_answer(request, version, extra=headers_for(request))
    return counted(request, KIND, version, to_response(made), door=SDK)
