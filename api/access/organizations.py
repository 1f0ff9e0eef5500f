"""The organization as clients ask for it before they ask for anything else; a key sees what its projects have."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get
from litestar.params import FromPath
from msgspec import Meta

from api.access.me import ProjectAnswer, author_of, project_answer
from api.http import pages
from api.http.errors import documented
from api.http.requests import as_uuid, query_of
from api.http.responses import header, json_answer, to_response
from api.openapi.parameters import Param, integer
from api.services import services
from domain.errors import NotFound
from projections.encoding import Author, timestamp
from store.tables import organizations
from store.tables.identity import Principal, Project
from store.tables.organizations import Member

CURRENT = "@current"
MEMBER = (
    1  # the lowest of the levels that clients know, beside 8 and 15 for those who administer: keys say more
)

SEARCH = Param("search", {"type": "string"}, "Part of name or mail address, in any case.", "ann")
DOMAIN = Param("email_domain", {"type": "string"}, "Only people with an address of this domain.")
LEVELS = Param("levels", {"type": "string"}, "Levels between commas; all people have level 1.")
LIMIT = Param("limit", integer(1, default=pages.DEFAULT_LIMIT), "Page size; above 1000 is 1000.", 50)
OFFSET = Param("offset", integer(0, default=0), "How many to pass over.", 0)


class ProjectRef(msgspec.Struct):
    id: int
    name: str


class OrganizationAnswer(msgspec.Struct):
    """`projects` are those that the key may enter; `teams` are the same by their older name."""

    id: UUID
    name: str
    slug: str
    membership_level: Annotated[int, Meta(description="Always 1: what a key may do, its scopes say.")]
    member_count: int
    projects: list[ProjectRef]
    teams: list[ProjectRef]


class OrganizationPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: list[OrganizationAnswer]


class ProjectPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: list[ProjectAnswer]


class MemberAnswer(msgspec.Struct):
    """A person with a key that opens a project which the caller's key opens, too."""

    id: UUID
    user: Author
    level: int
    joined_at: str
    updated_at: str


class MemberPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: list[MemberAnswer]


class OrganizationsController(Controller):
    """Needs a valid key, no scope."""

    path = "/api/organizations"
    tags = ("identity",)

    @get("/", operation_id="organizations_list", responses=documented(401, 429, 503))
    async def list(self, request: Request[Any, Any, Any]) -> Response[OrganizationPage]:
        """The one organization that the projects belong to."""
        principal = await services(request).authorizer.authorize(request.scope)
        return _answer(request, OrganizationPage(1, None, None, [await _organization(request, principal)]))

    @get(
        "/{organization_id:str}",
        operation_id="organizations_retrieve",
        responses=documented(401, 404, 429, 503),
    )
    async def retrieve(
        self, request: Request[Any, Any, Any], organization_id: FromPath[str]
    ) -> Response[OrganizationAnswer]:
        """By its id or as `@current`."""
        principal = await _enter(request, organization_id)
        return _answer(request, await _organization(request, principal))

    @get(
        "/{organization_id:str}/projects",
        operation_id="organizations_projects_list",
        responses=documented(401, 404, 429, 503),
    )
    async def projects(
        self, request: Request[Any, Any, Any], organization_id: FromPath[str]
    ) -> Response[ProjectPage]:
        """The projects that the key may enter, oldest first."""
        principal = await _enter(request, organization_id)
        rows = [project_answer(principal, one) for one in await _projects(request, principal)]
        return _answer(request, ProjectPage(len(rows), None, None, rows))

    @get(
        "/{organization_id:str}/projects/{project_id:str}",
        operation_id="organizations_projects_retrieve",
        responses=documented(401, 403, 404, 429, 503),
    )
    async def project(
        self, request: Request[Any, Any, Any], organization_id: FromPath[str], project_id: FromPath[str]
    ) -> Response[ProjectAnswer]:
        """The same as `/api/projects/{project_id}/`."""
        principal = await _enter(request, organization_id)
        authorizer = services(request).authorizer
        _, number = await authorizer.enter_project(request.scope, project_id)
        found = await authorizer.authenticator.project(number)
        return _answer(request, project_answer(principal, found))

    @get(
        "/{organization_id:str}/members",
        operation_id="organizations_members_list",
        opt={"query": (SEARCH, DOMAIN, LEVELS, LIMIT, OFFSET)},
        responses=documented(400, 401, 404, 429, 503),
    )
    async def members(
        self, request: Request[Any, Any, Any], organization_id: FromPath[str]
    ) -> Response[MemberPage]:
        """The people with a key to a project that this key may enter, the last that came first."""
        principal = await _enter(request, organization_id)
        query = query_of(request)
        limit, offset = pages.page_bounds(query)
        levels, search, domain = query.text("levels"), query.text("search"), query.text("email_domain")
        count, found = 0, list[Member]()
        if levels is None or str(MEMBER) in [level.strip() for level in levels.split(",")]:
            async with services(request).pool.connection() as conn:
                count, found = await organizations.members(
                    conn, principal.project_ids, search=search, domain=domain, limit=limit, offset=offset
                )
        rows = []
        for one in found:
            at = timestamp(one.joined_at)
            rows.append(MemberAnswer(one.user.uuid, author_of(one.user), MEMBER, at, at))
        links = pages.page_links(request, query, count, limit, offset, len(rows))
        return _answer(request, MemberPage(count, *links, rows))


async def _enter(request: Request[Any, Any, Any], organization_id: str) -> Principal:
    """Raises NotFound for any organization but the caller's."""
    principal = await services(request).authorizer.authorize(request.scope)
    if organization_id != CURRENT and as_uuid(organization_id) != principal.organization_id:
        raise NotFound(f"There is no organization '{organization_id}' for this key; use {CURRENT}.")
    return principal


async def _projects(request: Request[Any, Any, Any], principal: Principal) -> list[Project]:
    async with services(request).pool.connection() as conn:
        return await organizations.projects(conn, principal.organization_id, principal.project_ids)


async def _organization(request: Request[Any, Any, Any], principal: Principal) -> OrganizationAnswer:
    async with services(request).pool.connection() as conn:
        name = await organizations.name(conn, principal.organization_id)
        count, _ = await organizations.members(conn, principal.project_ids, limit=1, offset=0)
    listed = [ProjectRef(one.id, one.name) for one in await _projects(request, principal)]
    return OrganizationAnswer(
        principal.organization_id, name, "-".join(name.lower().split()), MEMBER, count, listed, listed
    )


def _answer(request: Request[Any, Any, Any], content: msgspec.Struct) -> Response[Any]:
    body = msgspec.json.encode(content)
    return to_response(json_answer(body, header(request.scope["headers"], b"if-none-match")))
