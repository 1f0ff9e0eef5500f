"""The keys that open a project: the list, a new one, and the end of one.

A key made here opens this project alone, may do no more than the one that makes it, and ends no later. It belongs to the same
user; only who may do everything gives one to another person, in whose name it then acts.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from litestar import Request, Response, get, post
from litestar.params import FromPath

from api.access.authenticate import require
from api.commands.caller import caller_of
from api.http.context import context
from api.http.requests import as_uuid, base, project_of, query_of
from api.services import services
from console.filters import exact, person
from console.forms import Form, flash, form_of
from console.page import frame_of, redirect
from console.paging import PAGE, offset_of, part
from console.views.operator.parts import (
    ADMIN,
    DEFAULT_LASTS,
    caller_once,
    choices_of,
    lasts_of,
    question,
    tab_page,
    typed,
)
from domain.errors import Invalid, NotFound, PermissionDenied, Refused
from domain.keys import EVERYTHING, SCOPES, allows, check_label, check_scopes, may_give
from store.errors import StreamConflict
from store.tables import identity, project_access
from store.tables.identity import Principal
from store.tables.project_access import ProjectKey

SHOW = ("ended",)
USAGE = "usage:read"
OWN_END = "own"  # the choice of an end: that of the key which makes it


class Wanted(NamedTuple):
    """A key that is asked for."""

    owner: identity.User
    label: str
    scopes: tuple[str, ...]
    expires_at: datetime | None


@get("/keys", opt={"scope": ADMIN})
async def keys(request: Request[Any, Any, Any]) -> Response[Any]:
    query, project_id = query_of(request), project_of(request)
    ended = query.choice("show", SHOW) is not None
    offset = offset_of(query)
    user = as_uuid(query.values.get("user", ""))
    if user is None and "user" in query:
        raise Invalid("This must be the UUID of a person.", attr="user")
    principal = context(request).principal
    async with services(request).pool.connection() as conn:
        count, found = await project_access.keys(
            conn,
            project_id,
            live=not ended,
            user=user,
            limit=PAGE,
            offset=offset,
        )
        reads = {}
        if allows(principal.scopes, USAGE):
            reads = await project_access.last_reads(conn, project_id, [one.id for one in found])
    used = {one.id: max(filter(None, (one.used_at, reads.get(one.id))), default=None) for one in found}
    return await tab_page(
        request,
        "operator-keys.html",
        "keys",
        keys=found,
        used=used,
        knows_reads=allows(principal.scopes, USAGE),
        own=principal.key_id,
        may_revoke={one.id for one in found if _may_revoke(principal, one)},
        project_id=project_id,
        ended=ended,
        user=None if user is None else str(user),
        **part(count, offset, found),
    )


@get("/keys/new", opt={"scope": ADMIN})
async def new_key(request: Request[Any, Any, Any]) -> Response[Any]:
    return await _form(request)


@post("/keys/new", opt={"scope": ADMIN})
async def make_key(request: Request[Any, Any, Any]) -> Response[Any]:
    """The answer shows the secret, this once: sent again, the form shows the key without it."""
    form = await form_of(request)
    try:
        wanted = await _wanted(request, form)
    except Refused as refused:
        return await _form(request, form, refused)
    caller, commands = await caller_once(request, form), services(request).commands
    secret: str | None = None
    async with commands.once(caller) as done:
        if done is None:
            made = identity.draft(
                wanted.owner.id,
                scopes=wanted.scopes,
                project_ids=(project_of(request),),
                label=wanted.label,
                expires_at=wanted.expires_at,
            )
            done = await commands.record(caller, made.event, made.writes, status=201)
            secret = None if done.replayed else made.secret
    async with services(request).pool.connection() as conn:
        key = await project_access.key(conn, project_of(request), done.stream_id)
    return await tab_page(
        request,
        "operator-new-key.html",
        "keys",
        status=201 if secret else 200,
        key=key,
        secret=secret,
        base=base(request),
    )


@get("/keys/{key_id:str}/revoke", opt={"scope": ADMIN})
async def ask_to_revoke(request: Request[Any, Any, Any], key_id: FromPath[str]) -> Response[Any]:
    key = await _revocable(request, key_id)
    principal = context(request).principal
    is_own = key.id == principal.key_id
    text = "It opens nothing from then on, and the browsers that it has signed in are signed out."
    return await question(
        request,
        "keys",
        title="Revoke this key?",
        text=f"{text} This browser is one of them." if is_own else text,
        about=[
            ("Name", key.label or "–"),
            ("Begins with", f"{key.prefix}…"),
            ("Of", person(key.owner)),
            ("Scopes", " ".join(key.scopes)),
            ("Made", exact(key.created_at)),
            ("Signed in", f"{key.sessions} browser{'' if key.sessions == 1 else 's'}"),
        ],
        button="Revoke",
        back=frame_of(request).now("keys"),
    )


@post("/keys/{key_id:str}/revoke", opt={"scope": ADMIN})
async def revoke_key(request: Request[Any, Any, Any], key_id: FromPath[str]) -> Response[Any]:
    key = await _revocable(request, key_id)
    if key.revoked_at is None:
        event, writes = identity.revocation(key.id)
        # Another request may have revoked it in between; the outcome is the same.
        with suppress(StreamConflict):
            await services(request).commands.record(
                await caller_of(context(request)), event, writes, status=204
            )
    frame = frame_of(request)
    place = frame.top("sign-in") if key.id == context(request).principal.key_id else frame.now("keys")
    named = f"“{key.label}”" if key.label else f"{key.prefix}…"
    return redirect(request, place, flash(request, "done", f"The key {named} is revoked."))


async def _form(
    request: Request[Any, Any, Any], form: Form | None = None, refused: Refused | None = None
) -> Response[Any]:
    principal = context(request).principal
    choices = choices_of(principal.expires_at)
    if principal.expires_at is not None:
        choices.append((OWN_END, f"as long as your own key, until {exact(principal.expires_at)}"))
    values = [value for value, _ in choices]
    owner: identity.User | None = None
    if allows(principal.scopes, EVERYTHING):
        wanted = form.line("user") if form else query_of(request).text("user")
        owner = await _owner(request, wanted or "", strict=False)
    return await tab_page(
        request,
        "operator-key.html",
        "keys",
        status=400 if refused else 200,
        typed=typed(form, refused),
        scopes={scope: opens for scope, opens in SCOPES.items() if may_give(principal.scopes, scope)},
        choices=choices,
        chosen=DEFAULT_LASTS if DEFAULT_LASTS in values else values[-1],
        own=principal.user,
        owner=owner or principal.user,
        may_give_to_others=allows(principal.scopes, EVERYTHING),
    )


async def _wanted(request: Request[Any, Any, Any], form: Form) -> Wanted:
    """Raises Invalid, PermissionDenied."""
    principal = context(request).principal
    owner = await _owner(request, form.line("user"), strict=True)
    label = check_label(form.line("label"), "label")
    if "\0" in label:
        raise Invalid("Null characters are not allowed.", attr="label")
    scopes = check_scopes(form.all("scopes"))
    for scope in scopes:
        if not may_give(principal.scopes, scope):
            raise PermissionDenied(f"A key gives no scope that it lacks itself: '{scope}'.", attr="scopes")
    return Wanted(owner, label, scopes, _end(principal, form))


async def _owner(request: Request[Any, Any, Any], uuid: str, *, strict: bool) -> identity.User:
    """Whose key it is to be; one's own unless ``uuid`` is that of another person. Raises Invalid, PermissionDenied, if ``strict``."""
    principal = context(request).principal
    if uuid in ("", str(principal.user.uuid)):
        return principal.user
    if strict:
        require(principal, EVERYTHING)
    try:
        async with services(request).pool.connection() as conn:
            everyone = is_operator(principal)
            found = await project_access.person(conn, project_of(request), as_uuid(uuid), everyone=everyone)
    except NotFound as error:
        if strict:
            raise Invalid(error.detail, attr="user") from None
        return principal.user
    return found.user


def _end(principal: Principal, form: Form) -> datetime | None:
    """When the key is to end. Raises Invalid."""
    latest = principal.expires_at
    if latest is not None and form.line("lasts") == OWN_END:
        return latest
    lasts = lasts_of(form)
    end = None if lasts is None else datetime.now(UTC) + lasts
    if latest is not None and (end is None or end > latest):
        raise Invalid(
            f"A key ends no later than the one that makes it: {exact(latest)}; choose a shorter time.",
            attr="lasts",
        )
    return end


async def _revocable(request: Request[Any, Any, Any], key_id: str) -> ProjectKey:
    """Raises NotFound, PermissionDenied."""
    async with services(request).pool.connection() as conn:
        key = await project_access.key(conn, project_of(request), as_uuid(key_id))
    if not _may_revoke(context(request).principal, key):
        raise PermissionDenied(
            "This key opens projects that yours does not; it is revoked on the host: skald key revoke."
        )
    return key


def _may_revoke(principal: Principal, key: ProjectKey) -> bool:
    """Whether the key opens nothing that the caller's does not."""
    if principal.project_ids is None:
        return True
    return key.project_ids is not None and set(key.project_ids) <= set(principal.project_ids)


def is_operator(principal: Principal) -> bool:
    """Whether the key may do everything, in every project: people belong to none."""
    return principal.project_ids is None and allows(principal.scopes, EVERYTHING)


HANDLERS = (keys, new_key, make_key, ask_to_revoke, revoke_key)
