"""What every request with a key passes: authentication, then the key's budget."""

from contextlib import AbstractContextManager
from typing import Any

from api.access.attempts import FailedAttempts
from api.access.authenticate import Authenticator, require
from api.access.rate_limit import RateLimiter
from api.http.context import record
from api.http.query import Query
from api.http.responses import header
from domain.errors import NotAuthenticated
from domain.keys import allows
from store.tables.identity import Principal


class Authorizer:
    """Lets requests in, and writes into their records whom the access log shall name."""

    def __init__(self, authenticator: Authenticator, limiter: RateLimiter, attempts: FailedAttempts) -> None:
        self.authenticator = authenticator
        self.limiter = limiter
        self._attempts = attempts

    async def authorize(
        self, scope: Any, required: str | tuple[str, ...] | None = None, credential: bytes | None = None
    ) -> Principal:
        """The caller. Raises NotAuthenticated, RateLimited, or PermissionDenied when the ``required`` scope is missing.

        ``credential`` counts for the header ``Authorization`` where that is another one.
        """
        found = record(scope)
        principal = found.admitted or await self._admit(scope, credential)
        found.key_id = principal.key_id
        if required is not None:
            require(principal, required)
        return principal

    def authorize_cached(self, scope: Any, project_id: str, required: str) -> tuple[Principal, int] | None:
        """The caller, and the number of the project, when that is cached and allowed.

        Raises NotAuthenticated and RateLimited.
        """
        principal = self.authenticator.known(header(scope["headers"], b"authorization"))
        if principal is None or not allows(principal.scopes, required):
            return None
        number = self.authenticator.known_project(principal, project_id, None)
        if number is None or scope["query_string"]:
            return None
        found = record(scope)
        found.key_id = principal.key_id
        if not self.limiter.admit_now(principal.key_id):
            return None
        found.project_id = number
        return principal, number

    async def _admit(self, scope: Any, credential: bytes | None) -> Principal:
        principal = await self.authenticate(scope, credential or header(scope["headers"], b"authorization"))
        record(scope).key_id = principal.key_id
        if not self.limiter.admit_now(principal.key_id):
            await self.limiter.admit(principal.key_id)
        return principal

    async def authenticate(self, scope: Any, credential: bytes | None) -> Principal:
        """Whom an ``Authorization`` header names, not counted. Raises NotAuthenticated, and RateLimited when the address of the
        client has sent too many wrong keys."""
        principal = self.authenticator.known(credential)
        if principal is not None:
            return principal
        good = self.authenticator.has_seen(credential)
        with self._attempts.guard(scope, NotAuthenticated, known_good=good):
            return await self.authenticator.authenticate(credential)

    def attempt(self, scope: Any) -> AbstractContextManager[None]:
        """Around the check of a credential that is no key: failures count as those of keys do. Raises RateLimited."""
        return self._attempts.guard(scope, NotAuthenticated, known_good=False)

    async def enter_project(
        self,
        scope: Any,
        project_id: str,
        required: str | tuple[str, ...] | None = None,
        credential: bytes | None = None,
    ) -> tuple[Principal, int]:
        """The caller, and the number of the project that the address means. Raises NotFound too."""
        principal = await self.authorize(scope, required, credential)
        token = Query(scope["query_string"]).text("token") if project_id == "@current" else None
        number = await self.authenticator.resolve_project(principal, project_id, token)
        record(scope).project_id = number
        return principal, number
