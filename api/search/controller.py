"""Search in everything that skills and prompts say; kept by an async projection, so that no publish waits for it."""

from functools import partial
from typing import Any

import msgspec
from litestar import Controller, Request, Response, get
from msgspec import UNSET

from api.access.authenticate import require
from api.artifacts import common as artifacts
from api.artifacts.filters import TAGS, tags_of
from api.artifacts.waiting import AFTER, wait_for
from api.http import conditional
from api.http.context import context
from api.http.errors import documented
from api.http.query import BOOLEANS, Query
from api.http.requests import project_of, query_of
from api.offload import offload
from api.openapi.parameters import Param, integer, route
from api.search.schemas import FoundSkill, FoundSkills, SearchAnswer, SearchHit, SearchMatch
from api.services import services
from domain.artifacts.kinds import KINDS
from domain.artifacts.skills import Skill
from domain.errors import Invalid
from domain.keys import allows
from domain.names import MAX_LABEL
from projections.declared import SEARCH
from projections.search import excerpts, find, terms
from projections.search.excerpts import Shown
from projections.search.find import Cursor
from projections.search.terms import MAX_QUERY
from projections.write.search import Field

READ = tuple(f"{kind.SCOPE}:read" for kind in KINDS.values())

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
MAX_SKILLS = 10  # of an answer to an agent, which reads all of it
MAX_SKILL_QUERY = 200  # characters
MAX_CURSOR = 1000  # characters; a name is in it

# By what ``in`` calls them.
FIELDS = {
    "name": (Field.NAME,),
    "description": (Field.DESCRIPTION,),
    "body": (Field.BODY,),
    "files": (Field.FILE_PATH, Field.FILE_CONTENT),
}

Q = Param(
    "q",
    {"type": "string", "minLength": 1, "maxLength": MAX_QUERY},
    'Words, which all have to be there, `"phrases"`, symbols such as `--no-sandbox`; `-` before a word or phrase leaves out what has it.',
    "--no-sandbox",
    required=True,
)
KIND = Param(
    "kind",
    {"type": "string", "enum": list(KINDS)},
    "Only this kind; all that the key may read when absent.",
    "skill",
)
LABEL = Param(
    "label",
    {"type": "string", "maxLength": MAX_LABEL},
    "The versions that this label points to, instead of the latest ones; excludes `ever`.",
)
IN = Param(
    "in",
    {"type": "string", "maxLength": 100},
    "Where to look: `name`, `description`, `body` (the text of a prompt, too), `files`; several with commas between. Everywhere when absent.",
    "name,description",
)
LIMIT = Param(
    "limit",
    integer(1, MAX_LIMIT, DEFAULT_LIMIT),
    "Page size. A page of very large texts ends before that.",
    20,
)
CURSOR = Param(
    "cursor",
    {"type": "string", "maxLength": MAX_CURSOR},
    "`next_cursor` of the page before, with the same search.",
)
EVER = Param(
    "ever",
    {"type": "string", "enum": list(BOOLEANS), "default": "false"},
    "Look in all versions of what is active, not only in the latest ones.",
    "false",
)
QUERY = Param(
    "query",
    {"type": "string", "minLength": 1, "maxLength": MAX_SKILL_QUERY},
    "What the skill should be about, in words; skills that have some of them follow those that have all.",
    "fill in a PDF form",
    required=True,
)
TOP_K = Param("top_k", integer(1, MAX_SKILLS, MAX_SKILLS), "How many skills at most.", 5)


class SearchController(Controller):
    """Needs a scope that reads skills or prompts; only of what the key may read, anything is found."""

    path = "/search"
    tags = ("search",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="search_list",
        summary="Search in names, descriptions, bodies and files",
        opt=route(READ, query=(Q, KIND, LABEL, TAGS, IN, LIMIT, CURSOR, EVER, AFTER)),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[SearchAnswer]:
        """Skills and prompts of the project, the best first: that of this name, those whose names begin so, then by relevance.

        Case and accents make no difference. Literal hits, also of symbols, stand above words that contain or are almost like what is
        sought; of a phrase there are only literal ones. A publish is found within 2 seconds.
        """
        query = query_of(request)
        kinds = _kinds(request, query)
        text = _text(query, "q", MAX_QUERY)
        label = _label(query)
        tags = tags_of(query)
        fields = _fields(query)
        limit = query.integer("limit", minimum=1, maximum=MAX_LIMIT) or DEFAULT_LIMIT
        cursor = query.text("cursor", max_length=MAX_CURSOR)
        after = None if cursor is None else Cursor.parse(cursor)
        ever = query.choice("ever", BOOLEANS) == "true"
        if ever and label is not None:
            raise Invalid("Send label or ever, not both.", attr="ever")
        await wait_for(request, query, SEARCH.name, "searched")
        wanted = find.Query(
            project_id=project_of(request),
            text=text,
            terms=terms.parse(text),
            kinds=kinds,
            fields=fields,
            label=label,
            tags=tags,
            ever=ever,
        )
        shown, following = await found_by(request, wanted, limit, after)
        answer = SearchAnswer(
            [_hit(one, ever) for one in shown], None if following is None else str(following)
        )
        return conditional.answer(request, msgspec.json.encode(answer))


class SkillSearchController(Controller):
    """Needs the scope ``llm_skill:read``."""

    path = f"/{Skill.RESOURCE}/search"
    tags = ("search",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="llm_skills_search_retrieve",
        summary="Find skills for a task",
        opt=route(f"{Skill.SCOPE}:read", query=(QUERY, TOP_K, AFTER)),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def retrieve(self, request: Request[Any, Any, Any]) -> Response[FoundSkills]:
        """The latest versions of the 10 best skills, each with at most 2 places.

        As `search`, but for one thing: skills that have only some of the words stand below those that have all.
        """
        query = query_of(request)
        text = _text(query, "query", MAX_SKILL_QUERY)
        limit = query.integer("top_k", minimum=1, maximum=MAX_SKILLS) or MAX_SKILLS
        await wait_for(request, query, SEARCH.name, "searched")
        wanted = find.Query(
            project_id=project_of(request),
            text=text,
            terms=terms.parse(text),
            kinds=[Skill.KIND],
            partly=True,
        )
        shown, _ = await found_by(request, wanted, limit, None)
        rows = [FoundSkill(one.hit.name, one.description, _score(one), _matches(one)) for one in shown]
        return conditional.answer(request, msgspec.json.encode(FoundSkills(len(rows), rows)))


def _kinds(request: Request[Any, Any, Any], query: Query) -> list[str]:
    """Raises PermissionDenied for a kind that the key may not read."""
    principal = context(request).principal
    kind = query.choice("kind", KINDS)
    if kind is not None:
        require(principal, f"{KINDS[kind].SCOPE}:read")
        return [kind]
    return [name for name, cls in KINDS.items() if allows(principal.scopes, f"{cls.SCOPE}:read")]


def _text(query: Query, name: str, longest: int) -> str:
    text = query.text(name, max_length=longest)
    if text is None:
        code = "blank" if name in query else "required"
        raise Invalid("Say what to look for.", code=code, attr=name)
    return text


def _label(query: Query) -> str | None:
    """What no label can be points to nothing, as in lists."""
    return query.text("label", max_length=MAX_LABEL, trim=False)


def _fields(query: Query) -> tuple[Field, ...]:
    text = query.text("in", max_length=100)
    if text is None:
        return tuple(Field)
    names = [name.strip() for name in text.split(",")]
    if any(name not in FIELDS for name in names):
        raise Invalid(f"Name one or more of {', '.join(FIELDS)}, with commas between.", attr="in")
    return tuple(dict.fromkeys(field for name in names for field in FIELDS[name]))


async def found_by(
    request: Request[Any, Any, Any], wanted: find.Query, limit: int, after: Cursor | None
) -> tuple[list[Shown], Cursor | None]:
    """The hits of a page with the places where they are, and where the next page begins."""
    async with services(request).pool.connection() as conn:
        found = await find.find(conn, wanted, limit=limit, after=after)
        count, texts = await excerpts.texts_of(conn, found.hits)
    shown = await offload(partial(excerpts.show, found, count, texts))
    return shown, found.cursor if count == len(found.hits) else Cursor.behind(found.hits[count - 1])


def _hit(one: Shown, ever: bool) -> SearchHit:
    hit = one.hit
    return SearchHit(
        kind=hit.kind,
        name=hit.name,
        description=one.description,
        version=hit.version,
        first_version=hit.first if ever and hit.first is not None else UNSET,
        last_version=hit.last if ever and hit.last is not None else UNSET,
        score=_score(one),
        matches=_matches(one),
    )


def _score(one: Shown) -> float:
    return one.hit.score / find.SCALE


def _matches(one: Shown) -> list[SearchMatch]:
    return [SearchMatch(match.matched_field, match.path, match.line, match.excerpt) for match in one.matches]
