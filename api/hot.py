"""The short way of the hottest read: a GET of a latest version that this process has and knows to be true.

It answers exactly what the controller would, without routing, parsing or waiting; whatever is not plain, a query, an unknown
key, a name that is not cached, goes on to the controller.
"""

import re
from typing import Any

from api.artifacts import READ_SCOPES
from api.auth import CURRENT
from api.gate import Gate
from api.http import REVALIDATE, header, json_answer, send_answer
from api.metrics import Metrics
from api.reader import Reader
from domain.errors import Refused
from domain.keys import allows

# Names that need no decoding; the templates are those of the routes.
PATH = re.compile(
    r"/api/(environments|projects)/([0-9]{1,18}|@current)/(llm_skills|llm_prompts)/name/([A-Za-z0-9_-]+)/?"
)


class HotPath:
    """ASGI middleware in front of the Litestar application; ``arm`` it when the service is up."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._gate: Gate | None = None
        self._reader: Reader | None = None
        self._metrics: Metrics | None = None

    def arm(self, gate: Gate, reader: Reader, metrics: Metrics) -> None:
        self._gate, self._reader, self._metrics = gate, reader, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]:
            found = PATH.fullmatch(scope["path"])
            if found is not None and self._reader is not None and await self._answer(scope, send, found):
                return
        await self._app(scope, receive, send)

    async def _answer(self, scope: Any, send: Any, found: "re.Match[str]") -> bool:
        gate, reader, metrics = self._gate, self._reader, self._metrics
        if gate is None or reader is None or metrics is None:
            return False
        prefix, project, resource, name = found.groups()
        kind, required = READ_SCOPES[resource]
        try:
            principal = gate.authenticator.known(header(scope["headers"], b"authorization"))
        except Refused:
            return False
        if principal is None or project == CURRENT or not allows(principal.scopes, required):
            return False
        number = int(project)
        allowed = principal.project_ids
        if allowed is not None and number not in allowed:
            return False
        entry = reader.peek(number, kind, name)
        # Last, because it counts the request.
        if entry is None or not gate.limiter.admit_now(principal.key_id):
            return False
        metrics.observe_cache("process", "hit")
        state = scope["state"]
        state["route"] = f"/api/{prefix}/{{project_id}}/{resource}/name/{{{kind}_name}}"
        state["project_id"], state["key_id"] = number, principal.key_id
        condition = header(scope["headers"], b"if-none-match")
        await send_answer(send, json_answer(entry.body, condition, etag=entry.etag, cache_control=REVALIDATE))
        return True
