"""What every way to sign in ends with: a session, its cookie, and the page that was wanted."""

from typing import Any
from uuid import UUID

from litestar import Request, Response

from api.http.requests import header_of, public
from api.http.responses import Header
from api.services import services
from console import access, links
from console.forms import cookie
from console.issuer import Issuer
from console.page import redirect
from store.tables import console_sessions
from store.tables.console_sessions import SESSION_LASTS


async def begin(request: Request[Any, Any, Any], key_id: UUID, back: str, *headers: Any) -> Response[Any]:
    """A new session of a key, in this browser, which goes on to ``back``."""
    return onwards(request, back, await session_cookie(request, key_id), *headers)


async def session_cookie(request: Request[Any, Any, Any], key_id: UUID) -> Header:
    """The header that has the secret of a new session."""
    browser = (header_of(request, b"user-agent") or b"").decode("latin-1")
    async with services(request).pool.connection() as conn:
        secret = await console_sessions.begin(conn, key_id, browser)
    seconds = int(SESSION_LASTS.total_seconds())
    return cookie(request, access.cookie_name(request), secret, seconds)


def onwards(request: Request[Any, Any, Any], back: str, *headers: Any) -> Response[Any]:
    """To ``back``, a path of the console; anything else leads to the beginning."""
    prefix = public(request).prefix(request.scope)
    address = prefix + back if links.is_ours(back) else top(request, "")
    return redirect(request, address, *headers)


def top(request: Request[Any, Any, Any], place: str) -> str:
    return links.below(public(request).prefix(request.scope), place)


def issuer_of(request: Request[Any, Any, Any]) -> Issuer | None:
    """Where people sign in besides by keys; None when that is switched off."""
    found: Issuer | None = request.route_handler.opt["issuer"]
    return found
