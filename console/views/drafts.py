"""What the user has written in a project and not published yet."""

from typing import Any

from litestar import Request, Response, get, post

from api.http.requests import as_uuid, project_of
from api.services import services
from console import access
from console.forms import flash, form_of
from console.kinds import SHOWN
from console.page import frame_of, page, redirect
from domain.errors import NotFound
from store.tables import console_drafts


@get("/drafts")
async def drafts(request: Request[Any, Any, Any]) -> Response[Any]:
    user_id, project_id = access.session(request).principal.user.id, project_of(request)
    async with services(request).pool.connection() as conn:
        rows = await console_drafts.list_of(conn, user_id, project_id)
    return await page(
        request,
        "drafts.html",
        rows=[(row, SHOWN[row.kind]) for row in rows if row.kind in SHOWN],
        room=console_drafts.MAX_DRAFTS,
    )


@post("/drafts")
async def discard_draft(request: Request[Any, Any, Any]) -> Response[Any]:
    """A draft is of its user alone, so no scope is asked for."""
    wanted = as_uuid((await form_of(request)).line("id"))
    user_id, project_id = access.session(request).principal.user.id, project_of(request)
    async with services(request).pool.connection() as conn:
        if wanted is None or not await console_drafts.discard(conn, wanted, user_id, project_id):
            raise NotFound("There is no such draft: it was published or discarded, or has expired.")
    address = frame_of(request).now("drafts")
    return redirect(request, address, flash(request, "done", "The draft is discarded."))


HANDLERS = (drafts, discard_draft)
