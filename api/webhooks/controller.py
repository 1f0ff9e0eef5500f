"""Webhooks: endpoints that get a project's events by HTTP. Sending is the worker's work (``workers.webhooks``)."""

import re
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.params import FromPath, RawBody
from msgspec import UNSET
from psycopg.errors import UniqueViolation

from api.artifacts import common as artifacts
from api.commands.caller import caller_of
from api.http import conditional, requests
from api.http.context import context
from api.http.errors import IdempotencyKeyReused, documented
from api.http.requests import as_uuid, header_of, project_of, query_of
from api.http.responses import Answer, json_answer, to_response
from api.openapi.parameters import Param, integer, route
from api.payload.decode import ignore, read
from api.services import services
from api.webhooks.schemas import (
    STATUSES,
    AttemptAnswer,
    ChangeWebhook,
    CreateWebhook,
    DeliveryAnswer,
    DeliveryPage,
    NewSecret,
    NewWebhook,
    ReplayAnswer,
    ReplayRange,
    RotateSecret,
    WebhookAnswer,
    WebhookList,
)
from domain.errors import Invalid, NotFound, Refused, Unavailable
from domain.webhooks import check_url
from projections.encoding import timestamp
from store.log.log import head
from store.postgres.connection import Connection
from store.tables import webhooks as store
from store.tables.sealing import Sealer
from store.tables.webhooks import Delivery, Webhook

READ = "webhook:read"
WRITE = "webhook:write"
DEFAULT_LIMIT = 50
MAX_LIMIT = 500
DELIVERY = re.compile("[1-9][0-9]{0,17}")

STATUS = Param("status", {"type": "string", "enum": list(STATUSES)}, "Only those.", "failed")
LIMIT = Param("limit", integer(1, default=DEFAULT_LIMIT), "Page size; above 500 is 500.", 50)
BEFORE = Param("before", integer(1), "Only deliveries with a smaller id.", 1000)

_encoder = msgspec.json.Encoder()


class WebhooksController(Controller):
    """Reading needs ``webhook:read``, changing ``webhook:write``."""

    path = "/webhooks"
    tags = ("webhooks",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="webhooks_list",
        summary="List webhooks",
        opt=route(READ),
        responses=documented(401, 403, 404, 429, 503),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[WebhookList]:
        """All of the project; there are at most 100."""
        async with services(request).pool.connection() as conn:
            found = await store.list_all(conn, project_of(request))
        return _answer(request, WebhookList([shown(webhook) for webhook in found]))

    @post(
        "/",
        operation_id="webhooks_create",
        summary="Create a webhook",
        opt=route(WRITE, body=CreateWebhook, logged=False),
        responses=documented(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    )
    async def create(self, request: Request[Any, Any, Any], body: RawBody) -> Response[NewWebhook]:
        """The answer holds its secret, which is not shown again."""
        data = await read(CreateWebhook, body, header_of(request, b"content-type"))
        url = checked_url(request, data.url)
        sealer, sent = sealer_of(request), await request_of(request, body)
        async with services(request).pool.connection() as conn:
            before = await made_before(conn, sealer, sent)
            if before is not None:
                return before
            try:
                webhook, secret = await store.create(
                    conn,
                    sealer,
                    project_id=project_of(request),
                    url=url,
                    description=data.description,
                    types=unique(data.types),
                    names=data.names,
                    enabled=data.enabled,
                    after=data.after,
                    created_by=context(request).principal.user.id,
                    request=sent,
                )
            except UniqueViolation:
                # The same request was sent twice at once, and the other one was first.
                before = await made_before(conn, sealer, sent)
                if before is None:
                    raise
                return before
        return created(webhook, secret)

    @get(
        "/{webhook_id:str}",
        operation_id="webhooks_retrieve",
        summary="Get a webhook",
        opt=route(READ),
        responses=documented(401, 403, 404, 429, 503),
    )
    async def retrieve(
        self, request: Request[Any, Any, Any], webhook_id: FromPath[str]
    ) -> Response[WebhookAnswer]:
        """How it is set, how far it has come, and whether it fails."""
        async with services(request).pool.connection() as conn:
            webhook = await store.find(conn, id_of(webhook_id), project_of(request))
        return _answer(request, shown(webhook))

    @patch(
        "/{webhook_id:str}",
        operation_id="webhooks_partial_update",
        summary="Change a webhook",
        opt=route(WRITE, body=ChangeWebhook, logged=False),
        responses=documented(400, 401, 403, 404, 413, 415, 429, 503),
    )
    async def change(
        self, request: Request[Any, Any, Any], webhook_id: FromPath[str], body: RawBody
    ) -> Response[WebhookAnswer]:
        """Filters hold for events that have no delivery yet. `enabled: true` tries at once what is pending."""
        data = await read(ChangeWebhook, body, header_of(request, b"content-type"))
        sent = {name: getattr(data, name) for name in data.__struct_fields__}
        given = {name: value for name, value in sent.items() if value is not UNSET}
        if "url" in given:
            given["url"] = checked_url(request, given["url"])
        if "types" in given:
            given["types"] = unique(given["types"])
        async with services(request).pool.connection() as conn:
            webhook = await store.change(conn, id_of(webhook_id), project_of(request), given)
        return _answer(request, shown(webhook))

    @delete(
        "/{webhook_id:str}",
        operation_id="webhooks_destroy",
        summary="Delete a webhook",
        opt=route(WRITE, logged=False),
        responses=documented(401, 403, 404, 429, 503),
        status_code=204,
    )
    async def remove(self, request: Request[Any, Any, Any], webhook_id: FromPath[str]) -> Response[None]:
        """With its secrets and deliveries; nothing more is sent."""
        async with services(request).pool.connection() as conn:
            await store.delete(conn, id_of(webhook_id), project_of(request))
        return to_response(Answer(204, [], b""))

    @post(
        "/{webhook_id:str}/rotate-secret",
        operation_id="webhooks_rotate_secret_create",
        summary="Rotate the secret",
        opt=route(WRITE, body=RotateSecret, logged=False),
        responses=documented(400, 401, 403, 404, 413, 415, 429, 503),
        status_code=200,
    )
    async def rotate(
        self, request: Request[Any, Any, Any], webhook_id: FromPath[str], body: RawBody
    ) -> Response[NewSecret]:
        """A new secret, shown this once. For `expire_after` seconds every message is signed by both."""
        data = await read(RotateSecret, body, header_of(request, b"content-type"))
        async with services(request).pool.connection() as conn:
            secret, until = await store.rotate_secret(
                conn,
                sealer_of(request),
                id_of(webhook_id),
                project_of(request),
                seconds=data.expire_after,
            )
        return _answer(request, NewSecret(secret, None if until is None else timestamp(until)))

    @get(
        "/{webhook_id:str}/deliveries",
        operation_id="webhooks_deliveries_list",
        summary="List deliveries",
        opt=route(READ, query=(STATUS, LIMIT, BEFORE)),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def deliveries(
        self, request: Request[Any, Any, Any], webhook_id: FromPath[str]
    ) -> Response[DeliveryPage]:
        """Newest first, each with its last attempt."""
        query = query_of(request)
        status = query.choice("status", STATUSES)
        limit = query.integer("limit", minimum=1, maximum=MAX_LIMIT, cut=True) or DEFAULT_LIMIT
        before = query.integer("before", minimum=1, cut=True)
        async with services(request).pool.connection() as conn:
            webhook = await store.find(conn, id_of(webhook_id), project_of(request))
            found = await store.deliveries(conn, webhook.id, status=status, before=before, limit=limit)
        following = None
        if len(found) == limit:
            following = requests.link(request, {**query.values, "limit": limit, "before": found[-1].id})
        return _answer(request, DeliveryPage([shown_delivery(one) for one in found], following))

    @post(
        "/{webhook_id:str}/deliveries/{delivery_id:str}/redeliver",
        operation_id="webhooks_deliveries_redeliver_create",
        summary="Deliver once more",
        opt=route(WRITE, logged=False),
        responses=documented(400, 401, 403, 404, 413, 415, 429, 503),
        status_code=202,
    )
    async def redeliver(
        self,
        request: Request[Any, Any, Any],
        webhook_id: FromPath[str],
        delivery_id: FromPath[str],
        body: RawBody,
    ) -> Response[DeliveryAnswer]:
        """A new delivery of the same event with the same id; one that is pending is tried at once."""
        await ignore(body, header_of(request, b"content-type"))
        async with services(request).pool.connection() as conn:
            webhook = await store.find(conn, id_of(webhook_id), project_of(request))
            delivery = await store.redeliver(conn, webhook.id, number_of(delivery_id))
        return _answer(request, shown_delivery(delivery), status=202)

    @post(
        "/{webhook_id:str}/replay",
        operation_id="webhooks_replay_create",
        summary="Deliver a range again",
        opt=route(WRITE, body=ReplayRange, logged=False),
        responses=documented(400, 401, 403, 404, 409, 413, 415, 429, 503),
        status_code=202,
    )
    async def replay(
        self, request: Request[Any, Any, Any], webhook_id: FromPath[str], body: RawBody
    ) -> Response[ReplayAnswer]:
        """All events of a range of positions that pass the filters, in order, with their old ids."""
        data = await read(ReplayRange, body, header_of(request, b"content-type"))
        if data.last < data.first:
            raise Invalid("The range ends before it begins.", code="invalid_range", attr="to")
        async with services(request).pool.connection() as conn:
            webhook = await store.find(conn, id_of(webhook_id), project_of(request))
            last = min(data.last, await head(conn))
            if data.first <= last:
                await store.replay(conn, webhook.id, first=data.first, last=last)
        return _answer(request, ReplayAnswer("accepted", data.first, last), status=202)


async def request_of(request: Request[Any, Any, Any], body: bytes) -> store.Request | None:
    """What recognises a repetition; None without an ``Idempotency-Key``. Raises Invalid for a malformed one."""
    caller = await caller_of(context(request), body)
    if caller.idempotency_key is None:
        return None
    return store.Request(caller.key_id, caller.idempotency_key, caller.fingerprint)


async def made_before(conn: Connection, sealer: Sealer, sent: store.Request | None) -> Response[Any] | None:
    """The answer to a request that has made its webhook before. Raises IdempotencyKeyReused."""
    if sent is None:
        return None
    try:
        made = await store.made_by(conn, sealer, sent)
    except store.OtherRequest:
        raise IdempotencyKeyReused(
            "This Idempotency-Key came with another request before; use a new key for a new request."
        ) from None
    return made and created(*made, replayed=True)


def created(webhook: Webhook, secret: str, *, replayed: bool = False) -> Response[Any]:
    body = _encoder.encode(NewWebhook(**fields(webhook), secret=secret))
    extra = [(b"idempotent-replayed", b"true")] if replayed else []
    return to_response(json_answer(body, status=201, cache_control=b"no-store", extra=extra))


def id_of(text: str) -> UUID:
    """Raises NotFound for what is no id."""
    found = as_uuid(text)
    if found is None:
        raise NotFound("There is no such webhook in this project.")
    return found


def number_of(text: str) -> int:
    """Raises NotFound for what is no id of a delivery."""
    if not DELIVERY.fullmatch(text):
        raise NotFound("This webhook has no such delivery.")
    return int(text)


def sealer_of(request: Request[Any, Any, Any]) -> Sealer:
    """Raises Unavailable when there is no key to seal by."""
    sealer = services(request).sealer
    if sealer is None:
        raise Unavailable(
            "Webhooks are off: their secrets cannot be kept safe until SKALD_SECRET_KEY is set.",
            retry_after=60,
        )
    return sealer


def checked_url(request: Request[Any, Any, Any], url: str) -> str:
    """Raises Invalid."""
    try:
        return check_url(url, allow_private=services(request).webhook_allow_private)
    except Refused as refused:
        raise refused.within("url") from None


def unique(types: "list[str]") -> "list[str]":
    return [*dict.fromkeys(types)]


def fields(webhook: Webhook) -> dict[str, Any]:
    """What an answer shows of it."""
    return {
        "id": webhook.id,
        "url": webhook.url,
        "types": webhook.types,
        "names": webhook.names,
        "enabled": webhook.enabled,
        "description": webhook.description,
        "disabled_reason": webhook.disabled_reason,
        "position": webhook.position,
        "pending": webhook.pending,
        "failing_since": None if webhook.failing_since is None else timestamp(webhook.failing_since),
        "created_at": timestamp(webhook.created_at),
        "updated_at": timestamp(webhook.updated_at),
    }


def shown(webhook: Webhook) -> WebhookAnswer:
    return WebhookAnswer(**fields(webhook))


def shown_delivery(delivery: Delivery) -> DeliveryAnswer:
    last = None
    if delivery.attempted_at is not None:
        body = delivery.response_body
        last = AttemptAnswer(
            at=timestamp(delivery.attempted_at),
            duration_ms=delivery.duration_ms or 0,
            response_status=delivery.response_status,
            response_body=None if body is None else bytes(body).decode("utf-8", "replace"),
            error=delivery.error,
        )
    return DeliveryAnswer(
        id=delivery.id,
        event_id=f"evt_{delivery.position}",
        position=delivery.position,
        type=delivery.type,
        subject=delivery.subject,
        cause=delivery.cause,
        status=delivery.status,
        attempts=delivery.attempts,
        created_at=timestamp(delivery.created_at),
        next_attempt_at=timestamp(delivery.due_at) if delivery.status == "pending" else None,
        last_attempt=last,
    )


def _answer(request: Request[Any, Any, Any], content: msgspec.Struct, *, status: int = 200) -> Response[Any]:
    body = _encoder.encode(content)
    if request.method == "GET":
        return conditional.answer(request, body)
    # A secret may be in it, so it must not be cached.
    return to_response(json_answer(body, status=status, cache_control=b"no-store"))
