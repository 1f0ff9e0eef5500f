"""The browsers in which the user is signed in, and their end."""

from typing import Any

from litestar import Request, Response, get, post

from api.http.requests import as_uuid
from api.services import services
from console import access
from console.access import signed_in
from console.forms import flash, form_of
from console.page import frame_of, page, redirect
from domain.errors import NotFound
from store.tables import console_sessions


@get("/sessions", guards=[signed_in])
async def sessions(request: Request[Any, Any, Any]) -> Response[Any]:
    session = access.session(request)
    async with services(request).pool.connection() as conn:
        rows = await console_sessions.list_of(conn, session.principal.user.id)
    return await page(request, "sessions.html", rows=rows, current=session.id)


@post("/sessions", guards=[signed_in])
async def end_session(request: Request[Any, Any, Any]) -> Response[Any]:
    form = await form_of(request)
    wanted = as_uuid(form.line("id"))
    user_id = access.session(request).principal.user.id
    async with services(request).pool.connection() as conn:
        if wanted is None or not await console_sessions.end(conn, wanted, user_id):
            raise NotFound("There is no such session, or it has ended already.")
    return redirect(
        request, frame_of(request).top("sessions"), flash(request, "done", "The session has ended.")
    )


HANDLERS = (sessions, end_session)
