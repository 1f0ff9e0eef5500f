"""Shares: the secret addresses by which installers read the skills of the project without a key."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from litestar import Request, Response, get, post
from litestar.params import FromPath

from api.commands.caller import caller_of
from api.http.context import context
from api.http.requests import as_uuid, base, project_of, query_of
from api.payload.decode import checked
from api.services import services
from api.sharing.schemas import CreateShare
from console.filters import exact
from console.forms import Form, flash, form_of
from console.page import frame_of, redirect
from console.paging import PAGE, offset_of, part
from console.views.operator.parts import (
    SKILLS,
    SKILLS_WRITE,
    caller_once,
    choices_of,
    lasts_of,
    question,
    tab_page,
    typed,
)
from domain.errors import NotFound, Refused
from projections.events import history
from store.errors import StreamConflict
from store.tables import shares as store
from store.tables.shares import Share


class Line(NamedTuple):
    share: Share
    state: Literal["open", "expired", "revoked"]


@get("/shares", opt={"scope": SKILLS})
async def shares(request: Request[Any, Any, Any]) -> Response[Any]:
    offset = offset_of(query_of(request))
    async with services(request).pool.connection() as conn:
        count, found = await store.page(conn, project_of(request), limit=PAGE, offset=offset)
        makers = {share.created_by for share in found if share.created_by is not None}
        people = await history.people_of(conn, makers)
    return await tab_page(
        request,
        "operator-shares.html",
        "shares",
        lines=[Line(share, _state(share)) for share in found],
        people=people,
        **part(count, offset, found),
    )


@get("/shares/new", opt={"scope": SKILLS_WRITE})
async def new_share(request: Request[Any, Any, Any]) -> Response[Any]:
    return await _form(request)


@post("/shares/new", opt={"scope": SKILLS_WRITE})
async def make_share(request: Request[Any, Any, Any]) -> Response[Any]:
    """The answer shows the address, this once: sent again, the form shows the share without it."""
    form = await form_of(request)
    try:
        lasts = lasts_of(form)
        wanted = checked(
            CreateShare, {"label": form.line("label"), "serve_label": form.line("serve_label") or None}
        )
    except Refused as refused:
        return await _form(request, form, refused)
    caller, commands = await caller_once(request, form), services(request).commands
    token: str | None = None
    async with commands.once(caller) as done:
        if done is None:
            made = store.draft(
                caller.project_id,
                label=wanted.label,
                expires_in=lasts,
                serve_label=wanted.serve_label,
                created_by=caller.actor_id,
            )
            done = await commands.record(caller, made.event, made.writes, status=201)
            token = None if done.replayed else made.token
    async with services(request).pool.connection() as conn:
        share = await store.find(conn, done.stream_id, caller.project_id)
    return await tab_page(
        request,
        "operator-new-share.html",
        "shares",
        status=201 if token else 200,
        share=share,
        address=token and f"{base(request)}/s/{token}",
    )


@get("/shares/{share_id:str}/revoke", opt={"scope": SKILLS_WRITE})
async def ask_to_revoke_share(request: Request[Any, Any, Any], share_id: FromPath[str]) -> Response[Any]:
    share = await _find(request, share_id)
    return await question(
        request,
        "shares",
        title="Revoke this share?",
        text="Its address opens nothing from then on; what was installed by it stays where it is.",
        about=[
            ("Name", share.label or "–"),
            ("Begins with", f"{share.prefix}…"),
            ("Serves", share.serve_label or "the latest versions"),
            ("Made", exact(share.created_at)),
        ],
        button="Revoke",
        back=frame_of(request).now("shares"),
    )


@post("/shares/{share_id:str}/revoke", opt={"scope": SKILLS_WRITE})
async def revoke_share(request: Request[Any, Any, Any], share_id: FromPath[str]) -> Response[Any]:
    share = await _find(request, share_id)
    if share.revoked_at is None:
        event, writes = store.revocation(share)
        # Another request may have revoked it in between; the outcome is the same.
        with suppress(StreamConflict):
            await services(request).commands.record(
                await caller_of(context(request)), event, writes, status=204
            )
    named = f"“{share.label}”" if share.label else f"{share.prefix}…"
    return redirect(
        request, frame_of(request).now("shares"), flash(request, "done", f"The share {named} is revoked.")
    )


async def _form(
    request: Request[Any, Any, Any], form: Form | None = None, refused: Refused | None = None
) -> Response[Any]:
    return await tab_page(
        request,
        "operator-share.html",
        "shares",
        status=400 if refused else 200,
        typed=typed(form, refused),
        choices=choices_of(),
    )


async def _find(request: Request[Any, Any, Any], share_id: str) -> Share:
    """Raises NotFound, also for what is no id and for shares of other projects."""
    wanted = as_uuid(share_id)
    if wanted is None:
        raise NotFound("There is no such share in this project.")
    async with services(request).pool.connection() as conn:
        return await store.find(conn, wanted, project_of(request))


def _state(share: Share) -> Literal["open", "expired", "revoked"]:
    if share.revoked_at is not None:
        return "revoked"
    return "expired" if share.expires_at is not None and share.expires_at <= datetime.now(UTC) else "open"


HANDLERS = (shares, new_share, make_share, ask_to_revoke_share, revoke_share)
