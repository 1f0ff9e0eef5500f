"""Changes of the key's own user, and the start page that clients keep for it."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, patch
from litestar.params import FromPath, RawBody
from msgspec import UNSET

from api.access.me import Me, current_team, me_answer
from api.commands.caller import caller_of
from api.http import conditional
from api.http.context import RequestContext
from api.http.errors import documented
from api.http.requests import as_uuid, header_of
from api.http.responses import Header, json_answer, to_response
from api.openapi.parameters import route
from api.payload.decode import read
from api.services import services
from api.users.schemas import ChangeHome, ChangeUser, HomeAnswer
from domain.errors import Invalid, NotFound
from store.tables import home_settings, identity
from store.tables.home_settings import HomeSettings
from store.tables.identity import Principal

WRITE = "user:write"
ME = "@me"


class UsersController(Controller):
    """Needs a valid key, and to change something the scope ``user:write``."""

    path = "/api"
    tags = ("identity",)

    @get("/users/@me", operation_id="users_me_retrieve", responses=documented(401, 429, 503))
    async def me(self, request: Request[Any, Any, Any]) -> Response[Me]:
        """The user whom the key belongs to."""
        return await _shown(request, await _own(request, ME))

    @get("/users/{user_uuid:str}", operation_id="users_retrieve", responses=documented(401, 404, 429, 503))
    async def user(self, request: Request[Any, Any, Any], user_uuid: FromPath[str]) -> Response[Me]:
        """The same by the user's UUID. Other people are among the members of the organization."""
        return await _shown(request, await _own(request, user_uuid))

    @patch(
        "/users/@me",
        operation_id="users_me_partial_update",
        summary="Change the user of the key",
        opt=route(WRITE, body=ChangeUser, logged=None),
        responses=documented(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    )
    async def change_me(self, request: Request[Any, Any, Any], body: RawBody) -> Response[Me]:
        """Name, role and current project. Every answer shows the new name from then on, those of earlier versions too."""
        return await self._change(request, ME, body)

    @patch(
        "/users/{user_uuid:str}",
        operation_id="users_partial_update",
        summary="Change the user of the key by its UUID",
        opt=route(WRITE, body=ChangeUser, logged=None),
        responses=documented(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    )
    async def change(
        self, request: Request[Any, Any, Any], user_uuid: FromPath[str], body: RawBody
    ) -> Response[Me]:
        """The same as for `@me`."""
        return await self._change(request, user_uuid, body)

    @staticmethod
    async def _change(request: Request[Any, Any, Any], user_uuid: str, body: bytes) -> Response[Me]:
        principal = await _own(request, user_uuid, WRITE)
        data = await read(ChangeUser, body, header_of(request, b"content-type"))
        wanted = await _change_of(request, principal, data)
        caller = await caller_of(RequestContext.of(request.scope, services(request), principal, 0), body)
        headers: list[Header] = []
        if wanted != identity.UserChange():
            commands = services(request).commands
            async with commands.once(caller) as before:
                done = before or await commands.record(
                    caller, *identity.change_user(principal.user.id, wanted), status=200
                )
            headers.append((b"x-event-position", b"%d" % done.position))
            if done.replayed:
                headers.append((b"idempotent-replayed", b"true"))
            principal = await services(request).authorizer.authenticator.look_up(principal.digest)
        return to_response(
            json_answer(msgspec.json.encode(await me_answer(request, principal)), extra=headers)
        )

    @get(
        "/user_home_settings/{user_uuid:str}",
        operation_id="user_home_settings_retrieve",
        summary="Get the start page of the user",
        responses=documented(401, 404, 429, 503),
    )
    async def home(self, request: Request[Any, Any, Any], user_uuid: FromPath[str]) -> Response[HomeAnswer]:
        """That of the current project, as a client has left it."""
        principal = await _own(request, user_uuid)
        project_id = await _project(request, principal)
        async with services(request).pool.connection() as conn:
            found = await home_settings.find(conn, principal.user.id, project_id)
        return conditional.answer(request, _home_json(found))

    @patch(
        "/user_home_settings/{user_uuid:str}",
        operation_id="user_home_settings_partial_update",
        summary="Change the start page of the user",
        opt=route(WRITE, body=ChangeHome, logged=False),
        responses=documented(400, 401, 403, 404, 413, 415, 429, 503),
    )
    async def change_home(
        self, request: Request[Any, Any, Any], user_uuid: FromPath[str], body: RawBody
    ) -> Response[HomeAnswer]:
        """It may be repeated as it is."""
        principal = await _own(request, user_uuid, WRITE)
        data = await read(ChangeHome, body, header_of(request, b"content-type"))
        project_id = await _project(request, principal)
        async with services(request).pool.connection() as conn:
            changed = await home_settings.change(
                conn,
                principal.user.id,
                project_id,
                tabs=None if data.tabs is UNSET else msgspec.json.encode(data.tabs),
                homepage=None if data.homepage is UNSET else msgspec.json.encode(data.homepage),
            )
        return to_response(json_answer(_home_json(changed)))


async def _own(request: Request[Any, Any, Any], user_uuid: str, scope: str | None = None) -> Principal:
    """The caller, whom the address names. Raises NotFound for anyone else."""
    principal = await services(request).authorizer.authorize(request.scope, scope)
    if user_uuid != ME and as_uuid(user_uuid) != principal.user.uuid:
        raise NotFound("The key belongs to another user; use @me.")
    return principal


async def _shown(request: Request[Any, Any, Any], principal: Principal) -> Response[Me]:
    return conditional.answer(request, msgspec.json.encode(await me_answer(request, principal)))


async def _project(request: Request[Any, Any, Any], principal: Principal) -> int:
    """The current project; 0 while there is none."""
    team = await current_team(services(request).authorizer, principal)
    return 0 if team is None else team.id


async def _change_of(
    request: Request[Any, Any, Any], principal: Principal, data: ChangeUser
) -> identity.UserChange:
    """What is not yet as it is wanted. Raises Invalid for what cannot be changed here."""
    user = principal.user
    if data.email is not UNSET and data.email.strip().lower() != user.email.lower():
        raise Invalid(
            "A mail address is changed on the host of the service, not here.", code="read_only", attr="email"
        )
    organization = data.set_current_organization
    if organization is not UNSET and as_uuid(organization) != principal.organization_id:
        raise Invalid(
            f"There is one organization: {principal.organization_id}.", attr="set_current_organization"
        )
    project = (
        None if data.set_current_team is UNSET else await _team(request, principal, data.set_current_team)
    )
    if data.password is not UNSET:
        raise Invalid(
            "There are no passwords: a key is all that a user needs.", code="read_only", attr="password"
        )

    def changed(new: Any, old: Any) -> Any:
        return None if new is UNSET or new == old else new

    return identity.UserChange(
        first_name=changed(data.first_name, user.first_name),
        last_name=changed(data.last_name, user.last_name),
        role_at_organization=changed(data.role_at_organization, user.role_at_organization),
        current_project_id=None if project == principal.current_project_id else project,
    )


async def _team(request: Request[Any, Any, Any], principal: Principal, number: str) -> int:
    authenticator = services(request).authorizer.authenticator
    if not (number.isascii() and number.isdigit()):
        raise Invalid("This must be the number of a project.", attr="set_current_team")
    try:
        return await authenticator.resolve_project(principal, number)
    except NotFound as error:
        raise Invalid(error.detail, attr="set_current_team") from None


def _home_json(found: HomeSettings) -> bytes:
    return b'{"tabs":%b,"homepage":%b}' % (found.tabs, found.homepage)
