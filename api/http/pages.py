"""Pages of a list by limit and offset."""

from typing import Any

import msgspec
from litestar import Request

from api.http.query import Query
from api.http.requests import link

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_OFFSET = 2**31


def page_bounds(query: Query) -> tuple[int, int]:
    """``limit`` and ``offset`` of a list. Raises Invalid."""
    limit = query.integer("limit", minimum=1, maximum=MAX_LIMIT, cut=True)
    offset = query.integer("offset", minimum=0, maximum=MAX_OFFSET, cut=True)
    return limit or DEFAULT_LIMIT, offset or 0


def page_links(
    request: Request[Any, Any, Any], query: Query, count: int, limit: int, offset: int, came: int
) -> tuple[str | None, str | None]:
    """Absolute addresses of the next and the previous page, with the rest of the query as it came.

    The next begins behind the rows that ``came``, which are fewer than ``limit`` where a page ends early.
    """
    end = offset + (came or limit)
    following = _link(request, query, limit, end) if end < count else None
    previous = _link(request, query, limit, max(offset - limit, 0)) if offset > 0 else None
    return following, previous


def _link(request: Request[Any, Any, Any], query: Query, limit: int, offset: int) -> str:
    values = {**query.values, "limit": str(limit), "offset": str(offset)}
    if offset == 0:
        del values["offset"]
    return link(request, values)


def page_json(count: int, links: tuple[str | None, str | None], rows: list[bytes]) -> bytes:
    return b"".join(
        (
            f'{{"count":{count},"next":'.encode(),
            msgspec.json.encode(links[0]),
            b',"previous":',
            msgspec.json.encode(links[1]),
            b',"results":[',
            b",".join(rows),
            b"]}",
        )
    )
