"""Signing in at an OpenID Connect issuer: there, and back."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get

from api.http.errors import answer_for
from api.http.requests import base, query_of
from api.services import services
from console import access
from console.access import Connection
from console.entering import begin, issuer_of, onwards
from console.forms import cookie
from console.issuer import Arrival, Flow, Issuer
from console.links import ROOT
from console.page import page_now, redirect
from domain.errors import NotAuthenticated, NotFound, PermissionDenied, Refused, Throttled
from store.tables import issuer_users
from store.tables.issuer_users import Person

COOKIE = "skald_console_issuer"
LASTS = 600  # seconds at the issuer: to find a second factor
MAX_BACK = 2000  # characters of an address; with a longer one a cookie would be too large
MAX_CODE = 4096  # characters
ERROR = re.compile(r"[a-z_]{1,40}")

_flow = msgspec.json.Decoder(Flow)


@get("/issuer")
async def leave(request: Request[Any, Any, Any]) -> Response[Any]:
    """To the issuer. What is to come back is kept by the browser, so that only this one can bring it."""
    issuer = _issuer(request)
    if await access.session_of(request) is not None:
        return onwards(request, query_of(request).values.get("next", ""))
    back = query_of(request).values.get("next", "")
    address, flow = await issuer.start(_address(request), back if len(back) <= MAX_BACK else "")
    value = urlsafe_b64encode(msgspec.json.encode(flow)).decode()
    return redirect(request, address, cookie(request, _cookie_name(request), value, LASTS))


@get("/issuer/back")
async def come_back(request: Request[Any, Any, Any]) -> Response[Any]:
    """From the issuer. A refusal leaves the browser with nothing, so that no answer counts twice."""
    issuer = _issuer(request)
    gone = cookie(request, _cookie_name(request), "", 0)
    try:
        with services(request).authorizer.attempt(request.scope):
            flow = _flow_of(request, issuer)
            arrival = await issuer.finish(_address(request), flow, _code_of(request, issuer))
        key_id = await _key_of(request, issuer, arrival)
    except Throttled:
        raise
    except Refused as error:
        return _refused(request, issuer, error, gone)
    return await begin(request, key_id, flow.back, gone)


def _issuer(request: Request[Any, Any, Any]) -> Issuer:
    issuer = issuer_of(request)
    if issuer is None:
        raise NotFound("Signing in by an issuer is not switched on here.")
    return issuer


def _address(request: Request[Any, Any, Any]) -> str:
    """Where the issuer sends the browser back to."""
    return f"{base(request)}{ROOT}/issuer/back"


def _cookie_name(connection: Connection) -> str:
    return f"__Host-{COOKIE}" if access.is_secure(connection) else COOKIE


def _flow_of(request: Request[Any, Any, Any], issuer: Issuer) -> Flow:
    """What this browser has taken to the issuer. Raises NotAuthenticated when something else has come back."""
    sent = query_of(request).values
    try:
        flow = _flow.decode(urlsafe_b64decode(request.cookies.get(_cookie_name(request), "")))
    except (ValueError, msgspec.MsgspecError):
        flow = None
    if flow is None or not hmac.compare_digest(flow.state.encode(), sent.get("state", "").encode()):
        raise NotAuthenticated("This browser did not start this sign-in, or too long ago; sign in again.")
    # Of those that say so, an answer of another issuer is none.
    if sent.get("iss", issuer.settings.issuer) != issuer.settings.issuer:
        raise NotAuthenticated("The answer comes from another issuer than this service knows; sign in again.")
    return flow


def _code_of(request: Request[Any, Any, Any], issuer: Issuer) -> str:
    sent = query_of(request).values
    code = sent.get("code", "")
    if not code or len(code) > MAX_CODE:
        error = sent.get("error", "")
        said = f": {error}" if ERROR.fullmatch(error) else ""
        raise NotAuthenticated(f"{issuer.name} has not signed you in{said}.")
    return code


async def _key_of(request: Request[Any, Any, Any], issuer: Issuer, arrival: Arrival) -> UUID:
    """The key for a session of the person. Raises PermissionDenied for one whose groups open nothing."""
    person: Person = arrival.person
    async with services(request).pool.connection() as conn:
        if not arrival.scopes:
            await issuer_users.end(conn, person)
            raise PermissionDenied(
                f"{issuer.name} says who you are, but none of your groups there opens anything here; ask the operator of this "
                "service."
            )
        if not person.email:
            raise PermissionDenied(
                f"{issuer.name} says no mail address of yours, and this service shows people by theirs."
            )
        return await issuer_users.sign_in(
            conn,
            person,
            scopes=arrival.scopes,
            project_ids=issuer.settings.project_ids,
            label=f"Sign-in by {issuer.name}",
        )


def _refused(request: Request[Any, Any, Any], issuer: Issuer, error: Refused, *headers: Any) -> Response[Any]:
    return page_now(
        request,
        "sign-in.html",
        status=answer_for(error).status,
        headers=list(headers),
        issuer=issuer,
        back="",
        error=error.detail,
    )


HANDLERS = (leave, come_back)
