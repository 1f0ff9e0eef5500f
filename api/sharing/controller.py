"""Shares: secret addresses of a project's skills for installers, which send no key. What they read is ``api.sharing.well_known``."""

import re
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, delete, get, post
from litestar.params import FromPath, RawBody

from api.access.known import KnownSecrets
from api.artifacts import common as artifacts
from api.cache.positions import StreamPositions
from api.cache.reads import Reads
from api.commands.caller import caller_of
from api.commands.execute import Caller, Commands, Done
from api.http import conditional, pages, requests
from api.http.context import context
from api.http.errors import documented
from api.http.requests import as_uuid, header_of, project_of, query_of
from api.http.responses import Answer, Header, json_answer, to_response
from api.openapi.parameters import route
from api.payload.decode import read
from api.services import services
from api.sharing.schemas import CreateShare, NewShare, ShareAnswer, SharePage
from domain.errors import NotFound
from projections.encoding import timestamp
from store.errors import StreamConflict
from store.tables import shares as store
from store.tables.identity import digest_of
from store.tables.shares import Draft, Opening, Share

READ = "llm_skill:read"
WRITE = "llm_skill:write"

TOKEN = re.compile(r"sks_[A-Za-z0-9_-]{43}")  # anything else is refused without asking the database


class ShareTokens:
    """Tokens to what they open, kept as keys are in ``api.access.authenticate``: while the log says that nothing changed."""

    def __init__(self, reads: Reads, positions: StreamPositions) -> None:
        self._reads = reads
        self._known = KnownSecrets[Opening](positions)

    def has_seen(self, token: str) -> bool:
        """Whether the token opened something when the database was last asked."""
        return digest_of(token) in self._known

    async def open(self, token: str) -> Opening:
        """Raises NotFound: one answer for all reasons, which does not tell whether a share ever existed."""
        if not TOKEN.fullmatch(token):
            raise _closed()
        return await self._open(digest_of(token))

    async def check_again(self, opening: Opening) -> None:
        """Raises NotFound when a share that was open is not any more."""
        await self._open(opening.digest)

    async def _open(self, digest: bytes) -> Opening:
        known = self._known.get(digest)
        if known is None:
            opening = await self._reads.ask_primary(
                lambda conn: store.open_share(conn, digest), lambda: self._known.last(digest)
            )
            known = self._known.keep(digest, opening, opening.id if opening else None)
        if known is None:
            raise _closed()
        return known


class SharesController(Controller):
    """Listing needs ``llm_skill:read``, making and revoking ``llm_skill:write``."""

    path = "/llm_skills/shares"
    tags = ("shares",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="llm_skills_shares_list",
        summary="List shares",
        opt=route(READ, query=(artifacts.LIMIT, artifacts.OFFSET)),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[SharePage]:
        """Without their tokens. Newest first."""
        query = query_of(request)
        limit, offset = pages.page_bounds(query)
        async with services(request).pool.connection() as conn:
            count, found = await store.page(conn, project_of(request), limit=limit, offset=offset)
        links = pages.page_links(request, query, count, limit, offset, len(found))
        page = SharePage(count, *links, [ShareAnswer(**fields(share)) for share in found])
        return conditional.answer(request, msgspec.json.encode(page))

    @post(
        "/",
        operation_id="llm_skills_shares_create",
        summary="Create a share",
        opt=route(WRITE, body=CreateShare),
        responses=documented(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    )
    async def create(self, request: Request[Any, Any, Any], body: RawBody) -> Response[NewShare]:
        """An address at which all skills of the project can be read, without a key, by anyone who has the address; with `serve_label`
        those that have the label, at the versions that it points to. Moving the label changes what the address serves.

        The answer holds it, and it is not shown again: only its hash is stored.
        """
        data = await read(CreateShare, body, header_of(request, b"content-type"))
        caller, commands = await caller_of(context(request), body), services(request).commands
        lasts = None if data.expires_in is None else timedelta(seconds=data.expires_in)
        token: str | None = None
        async with commands.once(caller) as before:
            done = before
            if done is None:
                made = store.draft(
                    caller.project_id,
                    label=data.label,
                    expires_in=lasts,
                    serve_label=data.serve_label,
                    created_by=caller.actor_id,
                )
                done = await _make(commands, caller, made)
                token = None if done.replayed else made.token
        share = await _find(request, done.stream_id)
        url = token and f"{requests.base(request)}/s/{token}"
        shown = msgspec.json.encode(NewShare(**fields(share), token=token, url=url))
        headers: list[Header] = [(b"x-event-position", b"%d" % done.position)]
        if done.replayed:
            headers.append((b"idempotent-replayed", b"true"))
        return to_response(json_answer(shown, status=201, cache_control=b"no-store", extra=headers))

    @delete(
        "/{share_id:str}",
        operation_id="llm_skills_shares_destroy",
        summary="Revoke a share",
        opt=route(WRITE),
        responses=documented(401, 403, 404, 429, 503),
        status_code=204,
    )
    async def revoke(self, request: Request[Any, Any, Any], share_id: FromPath[str]) -> Response[None]:
        """Its address opens nothing from now on. It stays in the list for 30 days, in which revoking it again changes nothing."""
        share = await _find(request, as_uuid(share_id))
        if share.revoked_at is None:
            event, writes = store.revocation(share)
            # Another call may have revoked it in between; the outcome is the same.
            with suppress(StreamConflict):
                await services(request).commands.record(
                    await caller_of(context(request)), event, writes, status=204
                )
        async with services(request).pool.connection() as conn:
            position = await store.revoked_at_position(conn, share.id)
        return to_response(Answer(204, [(b"x-event-position", b"%d" % position)], b""))


async def _make(commands: Commands, caller: Caller, made: Draft) -> Done:
    return await commands.record(caller, made.event, made.writes, status=201)


async def _find(request: Request[Any, Any, Any], share_id: UUID | None) -> Share:
    """Raises NotFound, also for what is no id and for shares of other projects."""
    if share_id is None:
        raise NotFound("There is no such share in this project.")
    async with services(request).pool.connection() as conn:
        return await store.find(conn, share_id, project_of(request))


def fields(share: Share) -> dict[str, Any]:
    """What an answer shows of it."""
    return {
        "id": share.id,
        "label": share.label,
        "prefix": share.prefix,
        "created_by_id": share.created_by,
        "created_at": timestamp(share.created_at),
        "expires_at": share.expires_at and timestamp(share.expires_at),
        "revoked_at": share.revoked_at and timestamp(share.revoked_at),
        "serve_label": share.serve_label,
    }


def _closed() -> NotFound:
    return NotFound(
        "This share address is unknown, has expired or was revoked; ask for a new one where it came from."
    )
