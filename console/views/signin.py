"""Signing in, by a key or by a link that works once, and signing out."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.params import FromPath

from api.http.requests import header_of, query_of
from api.http.state import HEAD_ONLY
from api.services import services
from console import access
from console.access import signed_in
from console.entering import begin, issuer_of, onwards, top
from console.forms import cookie, flash, form_of
from console.page import page, redirect
from domain.errors import NotAuthenticated
from store.tables import console_sessions

WRONG_LINK = (
    "This link has been used, or has expired. Sign in by a key, or print another link by `skald console`."
)
ENDED = "The session of this browser has ended, or its key was revoked. Sign in again."


@get("/sign-in")
async def sign_in_page(request: Request[Any, Any, Any]) -> Response[Any]:
    query = query_of(request)
    back = query.values.get("next", "")
    if await access.session_of(request) is not None:
        return onwards(request, back)
    ended = ENDED if access.cookie_name(request) in request.cookies else None
    return await page(request, "sign-in.html", issuer=issuer_of(request), back=back, error=ended)


@post("/sign-in")
async def sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
    access.check_origin(request)
    form = await form_of(request)
    back = form.text("next")
    try:
        principal = await access.principal_of_key(request, form.line("key"))
    except NotAuthenticated as error:
        return await page(
            request, "sign-in.html", status=401, issuer=issuer_of(request), back=back, error=error.detail
        )
    return await begin(request, principal.key_id, back)


@get("/enter/{token:str}")
async def enter(request: Request[Any, Any, Any], token: FromPath[str]) -> Response[Any]:
    """From a terminal a browser follows the link of itself; what another site links to waits for a click, and HEAD uses up nothing."""
    asked_by = header_of(request, b"sec-fetch-site")
    if HEAD_ONLY in request.scope["state"] or asked_by not in (None, b"none", b"same-origin"):
        return await page(request, "enter.html", token=token)
    return await _use(request, token)


@post("/enter/{token:str}")
async def enter_by_click(request: Request[Any, Any, Any], token: FromPath[str]) -> Response[Any]:
    access.check_origin(request)
    return await _use(request, token)


@post("/sign-out", guards=[signed_in])
async def sign_out(request: Request[Any, Any, Any]) -> Response[Any]:
    session = access.session(request)
    async with services(request).pool.connection() as conn:
        await console_sessions.end(conn, session.id, session.principal.user.id)
    gone = cookie(request, access.cookie_name(request), "", 0)
    return redirect(request, top(request, "sign-in"), gone, flash(request, "done", "You are signed out."))


async def _use(request: Request[Any, Any, Any], token: str) -> Response[Any]:
    async with services(request).pool.connection() as conn:
        principal = await console_sessions.use_link(conn, token)
    if principal is None:
        return await page(
            request, "sign-in.html", status=401, issuer=issuer_of(request), back="", error=WRONG_LINK
        )
    return await begin(request, principal.key_id, "")


HANDLERS = (sign_in_page, sign_in, enter, enter_by_click, sign_out)
