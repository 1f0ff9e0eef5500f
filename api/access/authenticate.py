"""Who a request speaks for, which project it means and what it may do there.

A key costs a query only when it is new here or when the log says that it changed: entries are valid while the position of the
key is not newer than the snapshot they were read from.
"""

import re
from hashlib import sha256

from api.access.known import KnownSecrets
from api.cache.positions import StreamPositions
from api.cache.reads import Reads
from domain.errors import NotAuthenticated, NotFound, PermissionDenied
from domain.keys import allows
from store.tables.identity import (
    Principal,
    Project,
    digest_of,
    find_key,
    find_project,
    find_project_by_token,
    first_project_id,
)

CURRENT = "@current"
KEY = re.compile(r"sk_[A-Za-z0-9_-]{43}")  # anything else is refused without asking the database
PLAIN = re.compile(rb"Bearer sk_")  # what clients send, letter by letter
PROJECT_ID = re.compile(r"[0-9]{1,18}")

MAX_PROJECTS = 10_000


class Authenticator:
    """Keys to principals, with a bounded cache in front of the database."""

    def __init__(self, reads: Reads, positions: StreamPositions) -> None:
        self._reads = reads
        self._positions = positions
        self._keys = KnownSecrets[Principal](positions)
        self._projects: dict[int, Project] = {}
        self._tokens: dict[str, int] = {}
        self._first_project: int | None = None
        self._projects_of = 0

    # RESULTS.md: "keys and their projects kept in the process"
    def known(self, authorization: bytes | str | None) -> Principal | None:
        """The principal when the cache has it, else None: the way of the hot path. Raises NotAuthenticated."""
        if isinstance(authorization, bytes) and PLAIN.match(authorization):
            # Cached by the digest alone, so the key need not be looked at.
            return self._keys.get(sha256(authorization[len(b"Bearer ") :]).digest())
        return self._keys.get(digest_of(_key_of(authorization)))

    async def authenticate(self, authorization: bytes | str | None) -> Principal:
        """The principal behind an ``Authorization`` header.

        Raises NotAuthenticated (``not_authenticated`` without a credential, ``authentication_failed`` for one that is
        wrong, expired or revoked) and psycopg.OperationalError when the database is needed and away.
        """
        known = self.known(authorization)
        if known is not None:
            return known
        key = _key_of(authorization)
        if not KEY.fullmatch(key):
            raise _failed()
        return await self.look_up(digest_of(key))

    def has_seen(self, authorization: bytes | str | None) -> bool:
        """Whether the key was good when the database was last asked. Raises NotAuthenticated without a credential."""
        return digest_of(_key_of(authorization)) in self._keys

    def _forget_lost(self) -> None:
        """A log that went back may have lost projects; every key is looked up again then, so their cache needs no look of its own."""
        if (since := self._positions.all_streams) != self._projects_of:
            self._projects.clear()
            self._tokens.clear()
            self._first_project, self._projects_of = None, since

    async def look_up(self, digest: bytes) -> Principal:
        """The principal of a key as the database has it now. Raises NotAuthenticated."""
        self._forget_lost()
        principal = await self._reads.ask_primary(
            lambda conn: find_key(conn, digest), lambda: self._keys.last(digest)
        )
        known = self._keys.keep(digest, principal, principal.key_id if principal else None)
        if known is None:
            raise _failed()
        return known

    async def resolve_project(self, principal: Principal, project_id: str, token: str | None = None) -> int:
        """The project that the address means: a number or ``@current``, with ``token`` from the query.

        ``@current`` is the only project of the key; else the one that ``token`` names; else the user's current one when
        the key may enter it; else the oldest that it may. Raises NotFound and PermissionDenied.
        """
        if project_id == CURRENT:
            return await self._current(principal, token)
        if not PROJECT_ID.fullmatch(project_id):
            raise NotFound(f"There is no project '{project_id}'; use its number or {CURRENT}.")
        number = int(project_id)
        await self.project(number)
        return _enter(principal, number)

    async def check_again(self, principal: Principal, project_id: int) -> None:
        """Raises NotAuthenticated or PermissionDenied when a key that was let into a project would not be now."""
        _enter(self._keys.get(principal.digest) or await self.look_up(principal.digest), project_id)

    def known_project(self, principal: Principal, project_id: str, token: str | None) -> int | None:
        """The same without waiting; None when it is not known here, or not allowed: then the long way says why."""
        allowed = principal.project_ids
        if project_id != CURRENT:
            number = int(project_id)
            if number not in self._projects:
                return None
        elif allowed is not None and len(allowed) == 1:
            return allowed[0]
        elif token is None or (found := self._tokens.get(token)) is None:
            return None
        else:
            number = found
        return number if allowed is None or number in allowed else None

    async def project(self, project_id: int) -> Project:
        """A project by its number. Raises NotFound."""
        project = self._projects.get(project_id)
        if project is None:
            project = await self._reads.ask_primary(lambda conn: find_project(conn, project_id))
            if project is None:
                raise NotFound(f"There is no project {project_id}.")
            self._remember(project)
        return project

    async def _current(self, principal: Principal, token: str | None) -> int:
        allowed = principal.project_ids
        if allowed is not None and len(allowed) == 1:
            return allowed[0]
        if token:
            return _enter(principal, await self._named(token))
        current = principal.current_project_id
        if current is not None and (allowed is None or current in allowed):
            return current
        if allowed:
            return min(allowed)
        if self._first_project is None:
            self._first_project = await self._reads.ask_primary(first_project_id)
        if self._first_project is None:
            raise NotFound("There is no project yet.")
        return self._first_project

    async def _named(self, token: str) -> int:
        number = self._tokens.get(token)
        if number is None:
            project = await self._reads.ask_primary(lambda conn: find_project_by_token(conn, token))
            if project is None:
                raise NotFound("There is no project with this token.")
            self._remember(project)
            number = project.id
        return number

    def _remember(self, project: Project) -> None:
        # Projects neither change nor go away, so what is known stays true.
        if len(self._projects) >= MAX_PROJECTS:
            self._projects.clear()
            self._tokens.clear()
        self._projects[project.id] = project
        self._tokens[project.api_token] = project.id


def require(principal: Principal, scope: str | tuple[str, ...]) -> None:
    """Raise PermissionDenied unless the key has the scope; of several, one will do."""
    scopes = (scope,) if isinstance(scope, str) else scope
    if not any(allows(principal.scopes, one) for one in scopes):
        names = " or ".join(f"'{one}'" for one in scopes)
        raise PermissionDenied(f"API key missing required scope {names}.")


def _enter(principal: Principal, project_id: int) -> int:
    if principal.project_ids is not None and project_id not in principal.project_ids:
        raise PermissionDenied(f"This API key may not enter project {project_id}.")
    return project_id


def _key_of(authorization: bytes | str | None) -> str:
    """The key in an ``Authorization`` header. Raises NotAuthenticated when there is none."""
    if isinstance(authorization, bytes):
        authorization = authorization.decode("latin-1")
    scheme, _, key = (authorization or "").strip().partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise NotAuthenticated(
            "Authentication credentials were not provided; send 'Authorization: Bearer <key>'.",
            code="not_authenticated",
        )
    return key


def _failed() -> NotAuthenticated:
    # One sentence for all reasons: it must not tell whether a key ever existed.
    return NotAuthenticated("This API key is wrong, expired or revoked.")
