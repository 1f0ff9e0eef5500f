"""The list of one kind: search, filters, order, pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Request, Response, get

from api.access.authenticate import require
from api.artifacts.common import is_past
from api.artifacts.filters import tags_of
from api.http.query import BOOLEANS
from api.http.requests import project_of, query_of
from console import access, past, usage
from console.filters import author, person
from console.kinds import Entry, kind_of
from console.page import page
from console.paging import PAGE, offset_of
from console.past import Past
from domain.errors import Invalid
from domain.names import MAX_LABEL
from projections.encoding import Author
from projections.read import versions
from projections.read.models import ReadModel
from projections.read.versions import PageQuery, Row
from store.postgres.connection import Connection

ORDERS = {
    "-created_at": "changed last",
    "created_at": "changed first",
    "name": "name",
    "-version_count": "most versions",
}

UNUSED_DAYS = (7, 30, 90, 365)  # that are offered
MAX_UNUSED = 3650

_labels = msgspec.json.Decoder(list[dict[str, Any]])
_owners = msgspec.json.Decoder(list[Author])


class Line(msgspec.Struct, frozen=True):
    """A row and what its kind makes of it."""

    row: Row
    entry: Entry
    labels: list[dict[str, Any]]
    owners: list[Author]


@get("/")
async def listing(request: Request[Any, Any, Any]) -> Response[Any]:
    query = query_of(request)
    kind = kind_of(request)
    label = query.text("label", max_length=MAX_LABEL)
    order = query.choice("order_by", versions.ORDERS) or versions.DEFAULT_ORDER
    offset = offset_of(query)
    unused = query.integer("unused", minimum=1, maximum=MAX_UNUSED, cut=True)
    problems = query.choice("problems", BOOLEANS) == "true"
    if unused is not None:
        require(access.session(request).principal, usage.READ)
    if is_past(query) and (problems or unused is not None):
        raise Invalid("What is unused or has problems is known of the present alone; leave the past first.")
    wanted = PageQuery(
        search=query.text("search"),
        author_id=query.integer("created_by_id", cut=True),
        order=order,
        limit=PAGE,
        offset=offset,
        label=label,
        owner_id=query.integer("owner_id", cut=True),
        tags=tags_of(query),
        unused_since=None if unused is None else datetime.now(UTC) - timedelta(days=unused),
        with_problems=problems,
    )

    async def read(conn: Connection, read_model: ReadModel, _: Past | None) -> tuple[int, list[Row]]:
        return await read_model.page(conn, project_of(request), kind.kind, wanted)

    (count, rows), then = await past.read(request, query, read)
    lines = [
        Line(row, kind.entry(row), _labels.decode(row.labels or b"[]"), _owners.decode(row.owners))
        for row in rows
    ]
    return await page(
        request,
        "list.html",
        past=then,
        size=sum(row.size for row in rows),
        active=kind.plural,
        kind=kind,
        lines=lines,
        count=count,
        wanted=wanted,
        orders=ORDERS,
        labels=sorted({label["name"] for line in lines for label in line.labels}),
        author=_author_name(wanted, rows),
        owner=_owner_name(wanted, lines),
        filters={**_filters(wanted), "unused": unused, "problems": "true" if problems else None},
        unused=unused,
        unused_days=UNUSED_DAYS,
        may_see_usage=access.may(request, usage.READ),
        end=offset + len(rows),
    )


def _filters(wanted: PageQuery) -> dict[str, Any]:
    """The parameters that lead to the same list from its beginning."""
    return {
        "search": wanted.search,
        "created_by_id": wanted.author_id,
        "label": wanted.label,
        "owner_id": wanted.owner_id,
        "tags": ",".join(wanted.tags) or None,
        "order_by": None if wanted.order == versions.DEFAULT_ORDER else wanted.order,
    }


def _author_name(wanted: PageQuery, rows: list[Row]) -> str | None:
    """How the chip of a filter by author calls that person: each row of the page is theirs."""
    if wanted.author_id is None:
        return None
    found = author(rows[0].author) if rows else None
    return person(found) if found else f"user {wanted.author_id}"


def _owner_name(wanted: PageQuery, lines: list[Line]) -> str | None:
    """The same of a filter by owner."""
    if wanted.owner_id is None:
        return None
    found = [owner for line in lines[:1] for owner in line.owners if owner.id == wanted.owner_id]
    return person(found[0]) if found else f"user {wanted.owner_id}"


HANDLERS = (listing,)
