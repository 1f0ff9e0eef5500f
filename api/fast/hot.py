"""The short way of the two hottest requests: a GET by name of a version that this process has and knows to be true, and a
publish by name.

Both answer exactly what the controllers do. The read is answered without routing or waiting; whatever is not plain, an
unknown key, a name that is not cached, another parameter, goes on to the controller. The publish is the function that the
controller calls (``api.kinds``), without the way there: that is a fifth of the time it takes.
"""

import re
from collections.abc import Awaitable
from functools import partial
from typing import Any, Protocol

from api.http.context import RequestContext, RequestRecord, record
from api.http.query import parse_query
from api.http.responses import REVALIDATE, Answer, headers_by_name, json_answer, send_whole, unchanged
from api.http.state import HEAD_ONLY, MISSED, RECORD
from api.kinds import KINDS
from api.payload.bodies import Receive, read_body, unpacked
from api.server.admission import PROBES, Admission
from api.server.metrics import Metrics
from api.services import Services
from domain.errors import Refused
from domain.keys import allows
from projections.read.versions import Pick

# Names that need no decoding; the templates are those of the routes.
PATH = re.compile(
    rf"/api/(environments|projects)/([0-9]{{1,18}}|@current)/({'|'.join(KINDS)})/name/([A-Za-z0-9_-]+)/?"
)
# What SDKs send; anything else may change the answer.
PLAIN = {"token", "label", "version"}
PICKS = {"label", "version"}
NUMBER = re.compile(r"[1-9][0-9]{0,8}")

# By prefix and resource: the kind, its route, the scopes that this names, the function that publishes. Put together once: every
# request needs it.
BY_ROUTE = {
    (prefix, resource): (
        kind.aggregate.KIND,
        f"/api/{prefix}/{{project_id}}/{resource}/name/{{{kind.aggregate.KIND}_name}}",
        kind.read_scope,
        kind.write_scope,
        kind.publish,
    )
    for resource, kind in KINDS.items()
    for prefix in ("environments", "projects")
}


class FastPath(Protocol):
    """What is answered without the framework; None is for the framework to answer, in the same way."""

    def answer(self, scope: Any) -> Answer | None:
        """The answer to a GET, without waiting. Raises RateLimited."""

    def publish(self, scope: Any, receive: Receive) -> Awaitable[Answer] | None:
        """The answer to a PATCH. It raises what the controller raises."""


class Off:
    """Leaves everything to the framework: until the service is up, and by the setting."""

    def answer(self, scope: Any) -> Answer | None:
        return None

    def publish(self, scope: Any, receive: Receive) -> Awaitable[Answer] | None:
        return None


class FastPathMiddleware:
    """In front of the Litestar application: admission, unpacked bodies, and what ``fast`` answers."""

    def __init__(self, app: Any, admission: Admission, max_body: int) -> None:
        self._next = app
        self._admission = admission
        self._max_body = max_body
        self.fast: FastPath = Off()

    def answer_now(self, scope: Any) -> Answer | None:
        """The answer to a GET when this process has it. Raises RateLimited."""
        answer = self.fast.answer(scope)
        scope["state"][MISSED] = True
        return answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._next(scope, receive, send)
            return
        if scope["method"] == "GET" and MISSED not in scope["state"]:
            answer = self.answer_now(scope)
            if answer is not None:
                await send_whole(send, answer)
                return
        with await self._admission.slot(scope) as slot:
            reading: Receive = partial(slot.receive, receive)
            if scope["method"] != "GET":
                reading = unpacked(scope, reading, self._max_body)
            sending = partial(slot.send, send)
            answering = self.fast.publish(scope, reading) if scope["method"] == "PATCH" else None
            if answering is not None:
                await send_whole(sending, await answering)
            else:
                await self._next(scope, reading, sending)


# RESULTS.md: "a publish led past the framework's routing"
class On:
    """The fast path of a service that is up."""

    def __init__(self, services: Services, metrics: Metrics, max_body: int) -> None:
        self._services = services
        self._metrics, self._max_body = metrics, max_body
        self._authorizer = services.authorizer
        self._reader, self._counter = services.reader, services.read_counter

    def answer(self, scope: Any) -> Answer | None:
        path = PATH.fullmatch(scope["path"])
        return self._known(scope, path) if path is not None else None

    def publish(self, scope: Any, receive: Receive) -> Awaitable[Answer] | None:
        path = PATH.fullmatch(scope["path"])
        return self._publish(scope, receive, path) if path is not None else None

    async def _publish(self, scope: Any, receive: Receive, path: "re.Match[str]") -> Answer:
        prefix, project, resource, name = path.groups()
        _, route, _, required, publish = BY_ROUTE[prefix, resource]
        record(scope).route = route
        authorizer = self._authorizer
        entered = authorizer.authorize_cached(scope, project, required) or await authorizer.enter_project(
            scope, project, required
        )
        body = await read_body(scope, receive, self._max_body)
        return await publish(RequestContext.of(scope, self._services, *entered), name, body)

    def _known(self, scope: Any, path: "re.Match[str]") -> Answer | None:
        authorizer, reader, metrics = self._authorizer, self._reader, self._metrics
        prefix, project, resource, name = path.groups()
        kind, route, required, _, _ = BY_ROUTE[prefix, resource]
        headers = headers_by_name(scope["headers"])
        try:
            principal = authorizer.authenticator.known(headers.get(b"authorization"))
        except Refused:
            return None
        if principal is None or not allows(principal.scopes, required):
            return None
        selected = _selected(scope["query_string"])
        if selected is None:
            return None
        token, pick = selected
        number = authorizer.authenticator.known_project(principal, project, token)
        if number is None:
            return None
        entry = reader.get_cached(number, kind, name, pick)
        if entry is None:
            return None
        found: RequestRecord = scope["state"][RECORD]
        found.route, found.project_id, found.key_id = route, number, principal.key_id
        # Last, because it counts the request.
        if not authorizer.limiter.admit_now(principal.key_id):
            return None
        metrics.observe_cache("process", "hit")
        condition = headers.get(b"if-none-match")
        # What nearly every condition is; others, lists of tags, are for the slower look.
        answer = (
            unchanged(entry.etag, REVALIDATE)
            if condition == entry.etag
            else json_answer(entry.body, condition, etag=entry.etag, cache_control=REVALIDATE)
        )
        if HEAD_ONLY not in scope["state"]:
            self._counter.count_cached(
                entry, kind, principal, headers.get(b"user-agent"), unchanged=answer.status == 304
            )
        return answer


def _selected(query_string: bytes) -> tuple[str | None, Pick] | None:
    """The project token and the version that a query names; None when it has any other parameter."""
    if not query_string:
        return None, None
    try:
        query = parse_query(query_string)
    except Refused:
        return None
    if not query.keys() <= PLAIN or len(query.keys() & PICKS) > 1:
        return None
    token = query.get("token")
    if "version" in query:
        number = query["version"]
        return (token, int(number)) if NUMBER.fullmatch(number) else None
    return token, query.get("label")
