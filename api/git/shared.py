"""The repository below a share, for installers that clone and cannot hold a key: ``git clone https://…/s/{token}.git``."""

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from api.git.controller import Door, advertise, refuse, upload_pack
from api.http.context import record
from api.services import Services, services
from domain.errors import Refused
from projections.git.labeled import LabeledRepository, labeled_head, labeled_repository
from projections.git.packs import Repository
from projections.git.shared import COMMITS, shared_head

ENDING = ".git"


async def open_share(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Raises NotFound, RateLimited."""
    token: str = connection.scope["path_params"]["share_token"]
    await services(connection).discovery.authorize(connection.scope, token.removesuffix(ENDING))


class Shared:
    """What a share shows of its project: the present, and what has changed since to a client that has some of it."""

    def __init__(self, found: Services, project_id: int, since: int) -> None:
        self._services = found
        self.repository = Repository(project_id, COMMITS, since)

    async def head(self) -> bytes:
        found = self._services
        return await shared_head(found.pool, found.histories, self.repository.project_id)


class Labeled:
    """The same of a share that serves a label."""

    def __init__(self, found: Services, labeled: LabeledRepository, since: int) -> None:
        self._services, self._labeled = found, labeled
        self.repository = Repository(labeled.id, since=since)

    async def head(self) -> bytes:
        found = self._services
        return await labeled_head(found.pool, found.histories, self._labeled)


async def door(request: Request[Any, Any, Any]) -> Door:
    found, opening = services(request), record(request.scope).opening
    assert opening is not None
    if opening.serve_label is None:
        return Shared(found, opening.project_id, opening.since)
    labeled = await labeled_repository(found.pool, opening.project_id, opening.serve_label)
    return Labeled(found, labeled, opening.since)


class SharedGitController(Controller):
    """Needs no key; the token may end in ``.git`` or not, because some installers take that off."""

    path = "/s/{share_token:str}"
    guards = (open_share,)
    exception_handlers = {Refused: refuse}
    # Git's own protocol, as at the address that needs a key.
    include_in_schema = False

    @get("/info/refs")
    async def advertise(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """As ``GitController.advertise``."""
        async with services(request).discovery.turns:
            return await advertise(request, await door(request))

    @post("/git-upload-pack", status_code=200)
    async def upload_pack(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """As ``GitController.upload_pack``."""
        async with services(request).discovery.turns:
            return await upload_pack(request, await door(request))
