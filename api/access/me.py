"""The small endpoints by which clients learn who they are and where they may go."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import Method

from api.access.authenticate import CURRENT
from api.access.authorize import Authorizer
from api.http.errors import documented
from api.http.responses import header, json_answer, to_response
from api.services import services
from domain.errors import NotFound
from projections.encoding import Author
from store.tables.identity import Principal, Project, User


class OrganizationRef(msgspec.Struct):
    id: UUID


class TeamRef(msgspec.Struct):
    id: int


class Me(Author, frozen=True):
    """The owner of the key. `team` is the project that `@current` means for this key; null while there is none."""

    organization: OrganizationRef
    team: TeamRef | None


class CurrentKey(msgspec.Struct):
    """What the key opens. An empty `scoped_teams` means every project."""

    scopes: list[str]
    scoped_teams: list[int]
    scoped_organizations: list[str]


class ProjectAnswer(msgspec.Struct):
    """`api_token` names the project in a query string (`?token=`); it opens nothing by itself."""

    id: int
    name: str
    api_token: str
    organization: UUID


def by_prefix(_: HTTPRouteHandler, __: Method, components: Any) -> str:
    """Operation ids of a route that has two addresses: `projects_retrieve`, `environments_retrieve`."""
    return f"{components[1]}_retrieve"


class IdentityController(Controller):
    """Needs a valid key, no scope."""

    path = "/api"
    tags = ("identity",)

    @get(
        "/personal_api_keys/@current",
        operation_id="personal_api_keys_current_retrieve",
        responses=documented(401, 429, 503),
    )
    async def key(self, request: Request[Any, Any, Any]) -> Response[CurrentKey]:
        """What the key may do, and in which projects."""
        authorizer = services(request).authorizer
        principal = await authorizer.authorize(request.scope)
        return _answer(request, CurrentKey(sorted(principal.scopes), list(principal.project_ids or ()), []))

    @get(
        ["/projects/{project_id:str}", "/environments/{project_id:str}"],
        operation_id=by_prefix,
        responses=documented(401, 403, 404, 429, 503),
    )
    async def project(
        self, request: Request[Any, Any, Any], project_id: FromPath[str]
    ) -> Response[ProjectAnswer]:
        """A project that the key may enter."""
        authorizer = services(request).authorizer
        principal, number = await authorizer.enter_project(request.scope, project_id)
        project = await authorizer.authenticator.project(number)
        return _answer(request, project_answer(principal, project))


def project_answer(principal: Principal, project: Project) -> ProjectAnswer:
    return ProjectAnswer(project.id, project.name, project.api_token, principal.organization_id)


async def me_answer(request: Request[Any, Any, Any], principal: Principal) -> Me:
    organization = OrganizationRef(principal.organization_id)
    team = await current_team(services(request).authorizer, principal)
    shown = msgspec.structs.asdict(author_of(principal.user))
    return Me(**shown, organization=organization, team=team)


def author_of(user: User) -> Author:
    """A user as answers show one."""
    fields = {name: getattr(user, name) for name in user.__struct_fields__}
    return Author(**fields, hedgehog_config=None)


async def current_team(authorizer: Authorizer, principal: Principal) -> TeamRef | None:
    """What ``@current`` means for the key, None while there is no project."""
    try:
        return TeamRef(await authorizer.authenticator.resolve_project(principal, CURRENT))
    except NotFound:
        return None


def _answer(request: Request[Any, Any, Any], content: msgspec.Struct) -> Response[Any]:
    body = msgspec.json.encode(content)
    return to_response(json_answer(body, header(request.scope["headers"], b"if-none-match")))
