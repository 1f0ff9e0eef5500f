"""The lines that bring the skills of a project into a coding agent, with a read-only key of the caller's own in them."""

from typing import Any, Literal

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import RawBody

from api.artifacts import common as artifacts
from api.commands.caller import caller_of
from api.http import conditional, requests
from api.http.context import context
from api.http.errors import documented
from api.http.requests import header_of, project_of
from api.http.responses import Header, json_answer, to_response
from api.openapi.parameters import route
from api.payload.decode import read
from api.services import services
from api.sharing.schemas import InstallCommand, Rotate
from domain.errors import Unavailable
from domain.formats.marketplace import name_of
from projections.encoding import timestamp
from store.errors import StreamConflict
from store.tables import install_keys
from store.tables.install_keys import InstallKey

READ, WRITE = "llm_skill:read", "llm_skill:write"

LABEL = "skill store"
USER = "skald"  # of Basic authentication; any will do
PLACE = "{token}"  # where the token stands in a template
MAX_ATTEMPTS = 10  # each that is lost is one that another request has won


class InstallCommandController(Controller):
    """One read-only key a user and project, in addition to those that an operator gives."""

    path = "/llm_skills/marketplace/install-command"
    tags = ("packages",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="llm_skills_marketplace_install_command_retrieve",
        summary="Show how to install the skills",
        opt=route(READ),
        responses=documented(401, 403, 404, 429, 503),
    )
    async def retrieve(self, request: Request[Any, Any, Any]) -> Response[InstallCommand]:
        """The lines as far as they can be shown: a token is shown once, when it is made."""
        key = await _find(request)
        status: Literal["exists", "absent"] = "exists" if key is not None and key.is_live else "absent"
        return conditional.answer(request, msgspec.json.encode(_shown(request, status, key)))

    @post(
        "/",
        operation_id="llm_skills_marketplace_install_command_create",
        summary="Make a key to install the skills by",
        status_code=200,
        opt=route(WRITE, body=Rotate, logged=None),
        responses=documented(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    )
    async def create(self, request: Request[Any, Any, Any], body: RawBody) -> Response[InstallCommand]:
        """A key that may read the skills of this project, if the caller has none yet, or another one with `rotate`.

        Repeated with its `Idempotency-Key` it shows no token.
        """
        data = await read(Rotate, body, header_of(request, b"content-type"))
        caller, commands = await caller_of(context(request), body), services(request).commands
        headers: list[Header] = []
        async with commands.once(caller) as before:
            if before is not None:
                headers += [(b"x-event-position", b"%d" % before.position), (b"idempotent-replayed", b"true")]
            for _ in range(MAX_ATTEMPTS):
                old = await _find(request)
                live = old is not None and old.is_live
                if before is not None or (live and not data.rotate):
                    return _answered(request, _shown(request, "exists" if live else "absent", old), headers)
                made = install_keys.draft(caller.actor_id, caller.project_id, LABEL, old)
                try:
                    done = await commands.record(
                        caller, made.event, made.writes, status=200, before=made.before
                    )
                except StreamConflict:
                    continue
                headers.append((b"x-event-position", b"%d" % done.position))
                shown = _shown(
                    request,
                    "rotated" if live else "created",
                    await _find(request),
                    None if done.replayed else made.secret,
                )
                return _answered(request, shown, headers)
        raise Unavailable("Too many others are changing this at the same time; try again shortly.")


def _answered(request: Request[Any, Any, Any], shown: InstallCommand, headers: list[Header]) -> Response[Any]:
    return to_response(json_answer(msgspec.json.encode(shown), cache_control=b"no-store", extra=headers))


async def _find(request: Request[Any, Any, Any]) -> InstallKey | None:
    user_id = context(request).principal.user.id
    async with services(request).pool.connection() as conn:
        return await install_keys.find(conn, user_id, project_of(request))


def _shown(
    request: Request[Any, Any, Any],
    status: Literal["absent", "exists", "created", "rotated"],
    key: InstallKey | None,
    token: str | None = None,
) -> InstallCommand:
    name = name_of(project_of(request))
    path = f"/api/projects/{project_of(request)}/llm_skills/marketplace.git"
    base = requests.base(request)
    scheme, _, host = base.partition("://")
    opened = f"{scheme}://{USER}:{PLACE}@{host}{path}"
    claude = f"claude plugin marketplace add {opened} && claude plugin install {name}@{name}"
    codex = f"codex plugin marketplace add {opened} && codex plugin add {name}@{name}"
    live = None if key is None or not key.is_live else key
    mask = None if live is None else f"{live.prefix}********"
    stands = token or mask
    return InstallCommand(
        status=status,
        connected=live is not None,
        plugin_name=name,
        marketplace_name=name,
        label=LABEL,
        repo_url=f"{base}{path}",
        command=stands and claude.replace(PLACE, stands),
        command_template=claude,
        codex_command=stands and codex.replace(PLACE, stands),
        codex_command_template=codex,
        token=token,
        mask_value=mask,
        created_at=None if live is None else timestamp(live.created_at),
        last_rolled_at=None if live is None or live.rotated_at is None else timestamp(live.rotated_at),
    )
