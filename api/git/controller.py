"""Skills by git: a read-only repository of each project, over smart HTTP, for ``git`` and the installers that use it."""

import asyncio
import base64
import binascii
from typing import Any, Protocol

from litestar import Controller, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from api.access.recheck import while_allowed
from api.counting.doors import GIT
from api.git import protocol as wire
from api.http.context import let_in
from api.http.errors import RequestTooLarge, UnsupportedMediaType, render
from api.http.requests import header_of, project_of, query_of
from api.http.responses import Answer, header, to_response
from api.http.stream import EndlessStream
from api.openapi.parameters import route
from api.services import services
from domain.artifacts.skills import Skill
from domain.errors import Invalid, NotAuthenticated, PermissionDenied, Refused
from projections.git import packs as git_packs
from projections.git.history import NotServed
from projections.git.packs import NothingSelected, Places, Repository, Unknown

READ = "llm_skill:read"

# Clients of git send the first request without credentials, and send them after a 401.
CHALLENGE = (b"www-authenticate", b'Basic realm="Skald", charset="UTF-8"')
NO_CACHE = "no-cache, max-age=0, must-revalidate"
ADVERTISEMENT = b"application/x-git-upload-pack-advertisement"
REQUEST = b"application/x-git-upload-pack-request"
RESULT = "application/x-git-upload-pack-result"

# A request names commits, some 50 bytes each; clients send at most some ten thousand of them.
MAX_REQUEST = 4 * 2**20
COUNTED_TOGETHER = 1000  # reads, some microseconds each


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """As ``api.artifacts.common.guard``; the key may come as the password of Basic authentication, with any user name."""
    authorizer = services(connection).authorizer
    scope = connection.scope
    credential = bearer_of(header(scope["headers"], b"authorization"))
    headers = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
    if credential:
        headers.append((b"authorization", credential))
    principal, number = await authorizer.enter_project(
        {**scope, "headers": headers}, scope["path_params"]["project_id"], handler.opt["scope"]
    )
    let_in(connection, principal, number)


def bearer_of(authorization: bytes | None) -> bytes | None:
    """Basic credentials as a bearer's; anything else as it is."""
    scheme, _, encoded = (authorization or b"").strip().partition(b" ")
    if scheme.lower() != b"basic":
        return authorization
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return b"Bearer " + (password or user)


def refuse(request: Request[Any, Any, Any], error: Refused) -> Response[Any]:
    """The one shape of errors; for git itself the sentence alone, because that is what it shows."""
    answer = render(error)
    if isinstance(error, NotAuthenticated):
        kept = [pair for pair in answer.headers if pair[0] != CHALLENGE[0]]
        answer = answer._replace(headers=[*kept, CHALLENGE])
    if (header_of(request, b"user-agent") or b"").startswith(b"git/"):
        headers = [pair for pair in answer.headers if pair[0] != b"content-type"]
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
        answer = answer._replace(headers=headers, body=f"{error.detail}\n".encode("utf-8", "replace"))
    return to_response(answer)


class GitController(Controller):
    """Needs the scope ``llm_skill:read``."""

    path = "/llm_skills/marketplace.git"
    guards = (guard,)
    exception_handlers = {Refused: refuse}
    # Git's own protocol, which OpenAPI cannot say; docs/install-skills.md is about it.
    include_in_schema = False

    @get("/info/refs", opt=route(READ))
    async def advertise(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """What this repository can do and, before version 2, which commit its branch is at."""
        return await advertise(request, Own(request))

    @post("/git-upload-pack", opt=route(READ), status_code=200)
    async def upload_pack(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """The branch, or a pack of what the client lacks."""
        return await upload_pack(request, Own(request))


class Door(Protocol):
    """What a request opens: a repository and the id of its last commit."""

    repository: Repository

    async def head(self) -> bytes: ...


class Own:
    """The repository of the project, to its keys."""

    def __init__(self, request: Request[Any, Any, Any]) -> None:
        self._histories = services(request).histories
        self.repository = Repository(project_of(request))

    async def head(self) -> bytes:
        return await self._histories.head(self.repository.project_id)


async def advertise(request: Request[Any, Any, Any], door: Door) -> Response[Any]:
    service = query_of(request).text("service")
    if service == "git-receive-pack":
        raise PermissionDenied("This repository is read-only; publish skills through the API.")
    if service != "git-upload-pack":
        raise Invalid(
            "This repository speaks git's smart HTTP protocol only; use a client of 2010 or newer.",
            attr="service",
        )
    version = wire.version_of(header_of(request, b"git-protocol"))
    if version == 2:
        body = wire.advertise_v2()
    else:
        try:
            body = wire.advertise(await door.head(), version, cut=door.repository.since is not None)
        except NotServed as error:
            body = wire.HELLO + wire.failure(str(error))
    headers = [(b"content-type", ADVERTISEMENT), (b"cache-control", NO_CACHE.encode())]
    return to_response(Answer(200, headers, body))


async def upload_pack(request: Request[Any, Any, Any], door: Door) -> Response[Any]:
    body = await body_of(request)
    try:
        return await _command(request, door, body)
    except (wire.Unsupported, NotServed) as error:
        return whole(wire.failure(str(error)))


async def _command(request: Request[Any, Any, Any], door: Door, body: bytes) -> Response[Any]:
    if wire.version_of(header_of(request, b"git-protocol")) < 2:
        fetch = wire.fetch_v0(body)
        return whole(b"") if fetch is None else await answer(request, door.repository, fetch, 0)
    command = wire.command_of(body)
    if any(one.startswith(b"object-format=") and one != wire.FORMAT for one in command.capabilities):
        return whole(wire.failure("this repository has SHA-1 ids"))
    if command.name == b"ls-refs":
        return whole(wire.ls_refs(await door.head(), command.arguments))
    if command.name == b"fetch":
        return await answer(request, door.repository, wire.fetch_v2(command.arguments), 2)
    return whole(wire.failure("there is no such command") if command.name else b"")


async def answer(
    request: Request[Any, Any, Any], repository: Repository, fetch: wire.Fetch, version: int
) -> Response[Any]:
    """What is in common, and the pack when that is settled."""
    pool = services(request).pool
    if not fetch.asked.wants:
        return whole(wire.FLUSH)
    try:
        async with pool.connection() as conn:
            places = await git_packs.locate(conn, repository, fetch.asked)
            plan = await git_packs.plan(conn, repository, fetch.asked, places)
    except Unknown as error:
        return whole(wire.failure(f"upload-pack: not our ref {error}"))
    except NothingSelected:
        return whole(wire.failure("no commits selected for shallow requests"))
    start, with_pack = (wire.answer_v2 if version == 2 else wire.answer_v0)(fetch, places, plan)
    if not with_pack:
        return whole(start)
    if plan.oids:
        await _count(request, repository, places)
    pack = while_allowed(request, git_packs.pack(pool, repository.project_id, plan))
    return EndlessStream(
        wire.body_of(start, pack, wire.band_of(fetch, version)),
        services(request).log_follower,
        media_type=RESULT,
        headers={"cache-control": NO_CACHE},
    )


async def _count(request: Request[Any, Any, Any], repository: Repository, places: Places) -> None:
    """Count a read of each skill that the client has now. Of thousands it takes a while, in which others have their turn."""
    async with services(request).pool.connection() as conn:
        shown = await git_packs.shown(conn, repository, places)
    for number, version_id in enumerate(shown, 1):
        services(request).read_counter.count(request.scope, Skill.KIND, version_id, door=GIT)
        if number % COUNTED_TOGETHER == 0:
            await asyncio.sleep(0)


def whole(body: bytes) -> Response[Any]:
    headers = [(b"content-type", RESULT.encode()), (b"cache-control", NO_CACHE.encode())]
    return to_response(Answer(200, headers, body))


async def body_of(request: Request[Any, Any, Any]) -> bytes:
    """The request's body. Raises UnsupportedMediaType, RequestTooLarge."""
    media_type = (header_of(request, b"content-type") or b"").partition(b";")[0].strip().lower()
    if media_type != REQUEST:
        raise UnsupportedMediaType(f"Send the body as {REQUEST.decode()}.")
    body = await request.body()
    if len(body) > MAX_REQUEST:
        raise RequestTooLarge(f"A request of git has at most {MAX_REQUEST} bytes.")
    return body
