"""Publishes by day, author or name, counted by an async projection; a reader may wait until it has come to a position."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
from litestar import Controller, Request, Response, get
from msgspec import UNSET

from api.activity.schemas import Activity, ActivityRow
from api.artifacts import common as artifacts
from api.artifacts.waiting import AFTER, wait_for
from api.http import conditional
from api.http.context import context
from api.http.errors import documented
from api.http.query import Query, parse_instant
from api.http.requests import project_of, query_of
from api.openapi.parameters import Param, route
from api.services import services
from domain.artifacts.kinds import KINDS
from domain.errors import Invalid
from domain.keys import allows
from projections.declared import ACTIVITY
from projections.encoding import timestamp
from projections.read import activity
from projections.read.activity import BY, MAX_ROWS, Count, Period

# Any of them will do: what the key may not read is not counted.
READ = tuple(f"{kind.SCOPE}:read" for kind in KINDS.values())

DEFAULT_DAYS = 30

_DAY = {"type": "string", "format": "date"}
FROM = Param(
    "from",
    _DAY,
    "The first day: a date, or an RFC 3339 instant of that day in UTC. 29 days before `to`.",
    "2026-03-01",
)
TO = Param("to", _DAY, "The last day, counted as a whole. Today.", "2026-03-30")
COUNT_BY = Param("by", {"type": "string", "enum": list(BY), "default": "day"}, "What a row is of.", "day")


class ActivityController(Controller):
    """Needs a scope that reads skills or prompts."""

    path = "/activity"
    tags = ("history",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="activity_retrieve",
        summary="Count publishes by day, author or name",
        opt=route(READ, query=(FROM, TO, COUNT_BY, AFTER)),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def retrieve(self, request: Request[Any, Any, Any]) -> Response[Activity]:
        """Every version that came into being in the period, those of archived names as well; only of the kinds that the key may read.

        Days come in their order, without those on which nothing was published; authors and names with the most publishes
        first. A publish is counted within a second; `after` waits for it, up to 10 seconds, and is refused by 503 then.
        """
        query = query_of(request)
        period, by = period_of(query, datetime.now(UTC).date()), query.choice("by", BY) or "day"
        await wait_for(request, query, ACTIVITY.name, "counted")
        async with services(request).pool.connection() as conn:
            found = await activity.counts(conn, project_of(request), _readable(request), period, by)
        rows = [_row(by, count) for count in found.rows]
        answer = Activity(found.total, rows, found.found > MAX_ROWS, found.position)
        return conditional.answer(request, msgspec.json.encode(answer))


def period_of(query: Query, today: date) -> Period:
    """Raises Invalid."""
    until = _day(query, "to") or today
    since = _day(query, "from") or date.fromordinal(max(1, until.toordinal() - DEFAULT_DAYS + 1))
    if since > until:
        raise Invalid(
            f"The period begins on {since} and ends on {until}; `from` must not be behind `to`.",
            code="invalid_range",
            attr="from",
        )
    return Period(since, until)


def _day(query: Query, name: str) -> date | None:
    text = query.text(name)
    if text is None:
        return None
    try:
        if len(text) == len("2026-03-03"):
            return date.fromisoformat(text)
        instant = parse_instant(text, name)
    except (ValueError, Invalid):
        raise Invalid(
            "This must be a date, such as 2026-03-03, or an RFC 3339 instant, such as 2026-03-03T09:30:00Z.",
            attr=name,
        ) from None
    try:
        return instant.astimezone(UTC).date()
    except OverflowError:
        # In another time zone, at an end of what a date can be.
        return instant.date()


def _readable(request: Request[Any, Any, Any]) -> list[str]:
    scopes = context(request).principal.scopes
    return [name for name, kind in KINDS.items() if allows(scopes, f"{kind.SCOPE}:read")]


def _row(by: str, count: Count) -> ActivityRow:
    key = dict(zip(("kind", "name") if by == "name" else (by,), count.key, strict=True))
    return ActivityRow(
        day=key.get("day", UNSET),
        author=key.get("author", UNSET),
        kind=key.get("kind", UNSET),
        name=key.get("name", UNSET),
        publishes=count.publishes,
        first_at=timestamp(count.first_at),
        last_at=timestamp(count.last_at),
    )
