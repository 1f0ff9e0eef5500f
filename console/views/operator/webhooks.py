"""Webhooks: where events of the project are sent, what became of each, and sending it once more.

Addresses are text of others and shown as such, never as links.
"""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from psycopg.errors import UniqueViolation

from api.http.context import context
from api.http.requests import project_of, query_of
from api.payload.decode import checked
from api.services import services
from api.webhooks.controller import READ, WRITE, checked_url, id_of, number_of, sealer_of, unique
from api.webhooks.schemas import MAX_POSITION, STATUSES, TYPES, CreateWebhook
from console.filters import plural
from console.forms import Form, flash, form_of
from console.page import frame_of, redirect
from console.paging import PAGE
from console.views.operator.parts import caller_once, number_in, question, tab_page, typed
from domain.errors import Conflict, Invalid, Refused
from domain.webhooks import DEFAULT_ROTATION
from store.log.log import head
from store.tables import webhooks as store
from store.tables.webhooks import Delivery, Webhook

# How long the secret before goes on signing, in seconds.
ROTATIONS = ((DEFAULT_ROTATION, "for a day"), (7 * DEFAULT_ROTATION, "for a week"), (0, "no longer"))


class Line(msgspec.Struct, frozen=True):
    """A delivery, and the text that the last attempt was answered with."""

    delivery: Delivery
    answer: str


@get("/webhooks", opt={"scope": READ})
async def webhooks(request: Request[Any, Any, Any]) -> Response[Any]:
    async with services(request).pool.connection() as conn:
        found = await store.list_all(conn, project_of(request))
        end = await head(conn)
    return await tab_page(
        request,
        "operator-webhooks.html",
        "webhooks",
        webhooks=found,
        head=end,
        is_on=services(request).sealer is not None,
    )


@get("/webhooks/new", opt={"scope": WRITE})
async def new_webhook(request: Request[Any, Any, Any]) -> Response[Any]:
    sealer_of(request)
    return await _form(request)


@post("/webhooks/new", opt={"scope": WRITE})
async def make_webhook(request: Request[Any, Any, Any]) -> Response[Any]:
    """The answer shows the secret, this once: sent again, the form leads to the webhook without it."""
    form = await form_of(request)
    sealer = sealer_of(request)
    try:
        wanted = _wanted(request, form)
    except Refused as refused:
        return await _form(request, form, refused)
    sent = await _request_of(request, form)
    async with services(request).pool.connection() as conn:
        try:
            webhook, secret = await store.create(
                conn,
                sealer,
                project_id=project_of(request),
                url=wanted.url,
                description=wanted.description,
                types=unique(wanted.types),
                names=wanted.names,
                enabled=True,
                after=None,
                created_by=context(request).principal.user.id,
                request=sent,
            )
        except UniqueViolation:
            made = await store.made_by(conn, sealer, sent)
            place = ("webhooks",) if made is None else ("webhooks", str(made[0].id))
            return redirect(
                request,
                frame_of(request).now(*place),
                flash(request, "done", "It was made before, and its secret was shown then."),
            )
        except Conflict as refused:
            return await _form(request, form, refused)
    return await _secret(request, webhook, secret, is_new=True)


@get("/webhooks/{webhook_id:str}", opt={"scope": READ})
async def webhook(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    """What it is, and its deliveries, the newest first."""
    query = query_of(request)
    status = query.choice("status", STATUSES)
    before = query.integer("before", minimum=1, cut=True)
    async with services(request).pool.connection() as conn:
        found = await store.find(conn, id_of(webhook_id), project_of(request))
        deliveries = await store.deliveries(conn, found.id, status=status, before=before, limit=PAGE)
        end = await head(conn)
    return await tab_page(
        request,
        "operator-webhook.html",
        "webhooks",
        webhook=found,
        lines=[_line(one) for one in deliveries],
        wanted=status,
        statuses=STATUSES,
        before=before,
        older=deliveries[-1].id if len(deliveries) == PAGE else None,
        head=end,
        rotations=ROTATIONS,
        typed=typed(),
    )


@get("/webhooks/{webhook_id:str}/edit", opt={"scope": WRITE})
async def edit_webhook(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    return await _form(request, webhook=await _find(request, webhook_id))


@post("/webhooks/{webhook_id:str}/edit", opt={"scope": WRITE})
async def change_webhook(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    form, found = await form_of(request), await _find(request, webhook_id)
    try:
        wanted = _wanted(request, form)
    except Refused as refused:
        return await _form(request, form, refused, webhook=found)
    fields = {
        "url": wanted.url,
        "description": wanted.description,
        "types": unique(wanted.types),
        "names": wanted.names,
    }
    return await _changed(request, found.id, fields, "The webhook is changed.")


@post("/webhooks/{webhook_id:str}/pause", opt={"scope": WRITE})
async def pause_webhook(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    done = "Nothing is sent until you resume; what happens meanwhile is sent then."
    return await _changed(request, id_of(webhook_id), {"enabled": False}, done)


@post("/webhooks/{webhook_id:str}/resume", opt={"scope": WRITE})
async def resume_webhook(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    done = "It goes on where it stopped; what is pending is tried at once."
    return await _changed(request, id_of(webhook_id), {"enabled": True}, done)


@post("/webhooks/{webhook_id:str}/secret", opt={"scope": WRITE})
async def rotate_secret(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    """The answer shows the new secret, this once; sent again, the form changes nothing."""
    form, found = await form_of(request), await _find(request, webhook_id)
    seconds = {str(seconds): seconds for seconds, _ in ROTATIONS}.get(form.line("seconds"))
    if seconds is None:
        raise Invalid("Choose how long the secret before goes on signing.", attr="seconds")
    sent = await _request_of(request, form)
    async with services(request).pool.connection() as conn:
        try:
            secret, until = await store.rotate_secret(
                conn, sealer_of(request), found.id, project_of(request), seconds=seconds, request=sent
            )
        except UniqueViolation:
            said = flash(request, "done", "The secret was changed before, and shown then.")
            return redirect(request, frame_of(request).now("webhooks", found.id), said)
    return await _secret(request, found, secret, is_new=False, until=until)


@get("/webhooks/{webhook_id:str}/delete", opt={"scope": WRITE})
async def ask_to_delete(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    found = await _find(request, webhook_id)
    return await question(
        request,
        "webhooks",
        title="Delete this webhook?",
        text="Nothing more is sent to it. Its secret and the record of its deliveries are gone.",
        about=[
            ("Address", found.url),
            ("What it is for", found.description or "–"),
            ("Pending", plural(found.pending, "delivery", "deliveries")),
        ],
        button="Delete",
        back=frame_of(request).now("webhooks", found.id),
    )


@post("/webhooks/{webhook_id:str}/delete", opt={"scope": WRITE})
async def delete_webhook(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    async with services(request).pool.connection() as conn:
        await store.delete(conn, id_of(webhook_id), project_of(request))
    place = frame_of(request).now("webhooks")
    return redirect(request, place, flash(request, "done", "The webhook is deleted."))


@post("/webhooks/{webhook_id:str}/deliveries/{delivery_id:str}/redeliver", opt={"scope": WRITE})
async def redeliver(
    request: Request[Any, Any, Any], webhook_id: FromPath[str], delivery_id: FromPath[str]
) -> Response[Any]:
    found = await _find(request, webhook_id)
    async with services(request).pool.connection() as conn:
        sent = await store.redeliver(conn, found.id, number_of(delivery_id))
    return _sent(request, found, f"The event {sent.position} is sent once more.")


@post("/webhooks/{webhook_id:str}/redeliver-failed", opt={"scope": WRITE})
async def redeliver_failed(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    """Every event that was given up, and not sent again since."""
    found = await _find(request, webhook_id)
    async with services(request).pool.connection() as conn:
        count = await store.redeliver_failed(conn, found.id)
    done = f"{plural(count, 'event')} that failed {'is' if count == 1 else 'are'} sent once more."
    return _sent(request, found, done if count else "There is none that failed and was not sent again.")


@post("/webhooks/{webhook_id:str}/replay", opt={"scope": WRITE})
async def replay(request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[Any]:
    """All events of a range of positions once more, with their old ids."""
    form, found = await form_of(request), await _find(request, webhook_id)
    try:
        first = number_in(form.line("first"), "first", MAX_POSITION)
        last = number_in(form.line("last"), "last", MAX_POSITION)
        if last < first:
            raise Invalid("The range ends before it begins.", attr="last")
        async with services(request).pool.connection() as conn:
            last = min(last, await head(conn))
            if last < first:
                raise Invalid(f"The log ends at position {last}.", attr="first")
            await store.replay(conn, found.id, first=first, last=last)
    except (Invalid, Conflict) as refused:
        place = frame_of(request).now("webhooks", found.id)
        return redirect(request, place, flash(request, "refused", refused.detail))
    return _sent(
        request, found, f"Positions {first} to {last} are sent once more, as far as they pass the filters."
    )


async def _form(
    request: Request[Any, Any, Any],
    form: Form | None = None,
    refused: Refused | None = None,
    webhook: Webhook | None = None,
) -> Response[Any]:
    return await tab_page(
        request,
        "operator-webhook-form.html",
        "webhooks",
        status=400 if refused else 200,
        typed=typed(form, refused),
        webhook=webhook,
        types=TYPES,
    )


def _wanted(request: Request[Any, Any, Any], form: Form) -> CreateWebhook:
    """Raises Invalid."""
    wanted = checked(
        CreateWebhook,
        {
            "url": form.line("url"),
            "description": form.line("description"),
            "names": form.line("names"),
            "types": form.all("types"),
        },
    )
    return msgspec.structs.replace(wanted, url=checked_url(request, wanted.url))


async def _request_of(request: Request[Any, Any, Any], form: Form) -> store.Request:
    """What recognises a form that was sent before."""
    caller = await caller_once(request, form)
    return store.Request(caller.key_id, caller.idempotency_key or "", caller.fingerprint)


async def _find(request: Request[Any, Any, Any], webhook_id: str) -> Webhook:
    """Raises NotFound, also for webhooks of other projects."""
    async with services(request).pool.connection() as conn:
        return await store.find(conn, id_of(webhook_id), project_of(request))


async def _changed(
    request: Request[Any, Any, Any], webhook_id: UUID, fields: dict[str, Any], done: str
) -> Response[Any]:
    async with services(request).pool.connection() as conn:
        await store.change(conn, webhook_id, project_of(request), fields)
    place = frame_of(request).now("webhooks", webhook_id)
    return redirect(request, place, flash(request, "done", done))


async def _secret(
    request: Request[Any, Any, Any], webhook: Webhook, secret: str, *, is_new: bool, until: Any = None
) -> Response[Any]:
    return await tab_page(
        request,
        "operator-webhook-secret.html",
        "webhooks",
        status=201,
        webhook=webhook,
        secret=secret,
        is_new=is_new,
        until=until,
    )


def _sent(request: Request[Any, Any, Any], webhook: Webhook, done: str) -> Response[Any]:
    """What is sent waits while the webhook is off."""
    if not webhook.enabled:
        done += " It waits until the webhook is resumed."
    place = frame_of(request).now("webhooks", webhook.id)
    return redirect(request, place, flash(request, "done", done))


def _line(delivery: Delivery) -> Line:
    body = delivery.response_body
    return Line(delivery, "" if body is None else bytes(body).decode("utf-8", "replace"))


HANDLERS = (
    webhooks,
    new_webhook,
    make_webhook,
    webhook,
    edit_webhook,
    change_webhook,
    pause_webhook,
    resume_webhook,
    rotate_secret,
    ask_to_delete,
    delete_webhook,
    redeliver,
    redeliver_failed,
    replay,
)
