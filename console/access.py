"""Who looks at a page: the session of the browser, its key, and the project of the address.

A session may do what its key may, no more: the same scopes, the same projects, the same budget.
"""

from typing import Any
from urllib.parse import quote, urlsplit

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from api.access.authenticate import require
from api.artifacts.common import is_past
from api.http.context import let_in, record
from api.http.query import Query
from api.http.responses import header
from api.services import services
from domain.errors import Invalid, PermissionDenied, Refused
from domain.keys import allows
from store.tables import console_sessions, identity
from store.tables.console_sessions import Session
from store.tables.identity import Principal, Project

Connection = ASGIConnection[Any, Any, Any, Any]

# The key in ``scope["state"]``.
SESSION = "console_session"
COOKIE = "skald_console"
# A browser takes it only with TLS, from this host, for all of its paths: no neighbour can put one there.
SECURE_COOKIE = f"__Host-{COOKIE}"
SECRET_LENGTH = 43  # of the text of ``console_sessions.TOKEN_BYTES``

# The ``opt`` of a page that knows no past.
NOW = {"now": True}
# They change nothing.
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class SignInFirst(Refused):
    """The browser has no session, or one that has ended; ``back`` is the address that it wanted."""

    code = "sign_in_first"

    def __init__(self, back: str) -> None:
        super().__init__("Sign in first: there is no session, or it has ended.")
        self.back = back


class OfNow(Invalid):
    """What changes something is of the present alone."""

    def __init__(self) -> None:
        super().__init__("What changes something is of the present: leave the past first.")


class ForeignRequest(PermissionDenied):
    """Another site made the browser send it."""

    code = "foreign_request"


def is_secure(connection: Connection) -> bool:
    """Whether the browser speaks TLS, to this service or to a proxy before it."""
    return services(connection).public_address.base(connection.scope).startswith("https://")


def cookie_name(connection: Connection) -> str:
    return SECURE_COOKIE if is_secure(connection) else COOKIE


async def session_of(connection: Connection) -> Session | None:
    """The session of the browser, looked up anew with each request: an end counts at once."""
    secret = connection.cookies.get(cookie_name(connection), "")
    if len(secret) != SECRET_LENGTH:
        return None
    served = services(connection)
    async with served.pool.connection() as conn:
        return await console_sessions.find(conn, secret)


async def signed_in(connection: Connection, handler: BaseRouteHandler) -> None:
    """A guard: lets a browser with a session in. Raises SignInFirst, ForeignRequest, RateLimited."""
    check_origin(connection)
    session = await session_of(connection)
    if session is None:
        raise SignInFirst(address_of(connection))
    principal = session.principal
    connection.scope["state"][SESSION] = session
    record(connection.scope).key_id = principal.key_id
    limiter = services(connection).authorizer.limiter
    if not limiter.admit_now(principal.key_id):
        await limiter.admit(principal.key_id)


async def in_project(connection: Connection, handler: BaseRouteHandler) -> None:
    """A guard: the same, into the project of the address, with the scope that the handler's ``opt`` names; ``now`` there says that it
    knows no past.

    Raises PermissionDenied, NotFound and OfNow too.
    """
    await signed_in(connection, handler)
    principal = session(connection).principal
    if (scope := handler.opt.get("scope")) is not None:
        require(principal, scope)
    authenticator = services(connection).authorizer.authenticator
    number = await authenticator.resolve_project(principal, connection.scope["path_params"]["project_id"])
    record(connection.scope).project_id = number
    let_in(connection, principal, number)
    is_safe = connection.scope.get("method") in SAFE_METHODS
    if (handler.opt.get("now") or not is_safe) and is_past(Query(connection.scope["query_string"])):
        raise OfNow


def session(connection: Connection) -> Session:
    """The session of a request that a guard has let in."""
    found: Session = connection.scope["state"][SESSION]
    return found


def may(connection: Connection, scope: str) -> bool:
    """Whether the session's key has the scope: what it may not do is not offered."""
    found: Session | None = connection.scope["state"].get(SESSION)
    return found is not None and allows(found.principal.scopes, scope)


def check_origin(connection: Connection) -> None:
    """Raises ForeignRequest for a request that changes something and is not sent by a page of this service.

    Browsers say so by Sec-Fetch-Site, on plain HTTP by Origin alone; what says neither is no form of ours.
    """
    if connection.scope.get("method") in SAFE_METHODS:
        return
    headers = connection.scope["headers"]
    site = header(headers, b"sec-fetch-site")
    if site is not None:
        is_ours = site == b"same-origin"
    else:
        ours = urlsplit(services(connection).public_address.base(connection.scope))
        origin = header(headers, b"origin")
        is_ours = origin == f"{ours.scheme}://{ours.netloc}".encode()
    if not is_ours:
        raise ForeignRequest(
            "This request comes from another site than the console; send the form on its own page."
        )


def address_of(connection: Connection) -> str:
    """The path and query of a page, as a way back to it; of what is no page, the beginning."""
    scope = connection.scope
    if scope.get("method") not in SAFE_METHODS:
        return ""
    query = scope["query_string"].decode("latin-1")
    return quote(scope["path"], safe="/@") + (f"?{query}" if query else "")


async def projects_of(connection: Connection, principal: Principal) -> list[Project]:
    """The projects that a key may enter, oldest first."""
    async with services(connection).pool.connection() as conn:
        found = await identity.list_projects(conn)
    allowed = principal.project_ids
    return [project for project in found if allowed is None or project.id in allowed]


async def principal_of_key(request: Request[Any, Any, Any], key: str) -> Principal:
    """Whom a typed key belongs to. Raises NotAuthenticated, and RateLimited for an address that guesses."""
    return await services(request).authorizer.authenticate(request.scope, f"Bearer {key}".encode())
