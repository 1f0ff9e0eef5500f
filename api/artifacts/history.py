"""What happened to a name, and the way back: history, diff, blame, revert, restore and the list of archived streams.

Skills and prompts differ in their addresses and answers only; the functions below the controllers serve both.
"""

from typing import Any

from litestar import Request, Response

from api.artifacts import common as artifacts
from api.artifacts import schemas as schemas_history
from api.artifacts.common import base_version
from api.cache.reader import missing
from api.http import pages
from api.http.context import context
from api.http.requests import header_of, project_of, query_of
from api.openapi.parameters import Param
from api.payload.decode import read
from api.services import services
from projections.events import archives, history
from projections.events.archives import ArchivedRow
from projections.read.kinds import Kind
from store.postgres.connection import Connection

INCLUDE_ARCHIVED = Param(
    "include_archived",
    {"type": "string", "enum": ["true", "false"], "default": "false"},
    "Whether the events of archived streams that held the name are listed, too.",
    "true",
)


HISTORY = (INCLUDE_ARCHIVED, artifacts.LIMIT, artifacts.OFFSET)


PAGE = (artifacts.LIMIT, artifacts.OFFSET)


READS = (400, 401, 403, 404, 429, 503)


WRITES = (400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503)


RESTORES = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503)


async def history_answer(request: Request[Any, Any, Any], kind: Kind, name: str) -> Response[Any]:
    """Raises Invalid, and NotFound for a name that nothing holds (with ``include_archived``: nothing ever held)."""
    query, project_id = query_of(request), project_of(request)
    archived = query.choice("include_archived", ("true", "false")) == "true"
    limit, offset = pages.page_bounds(query)

    async def read(conn: Connection) -> tuple[int, list[bytes]]:
        streams = await history.streams_of(conn, project_id, kind.aggregate.KIND, name, archived=archived)
        if not streams:
            raise await missing(conn, project_id, kind.aggregate.KIND, name)
        return await history.page(conn, project_id, kind.aggregate.KIND, streams, limit=limit, offset=offset)

    count, rows = await services(request).reads.ask(read)
    links = pages.page_links(request, query, count, limit, offset, len(rows))
    size = sum(map(len, rows))
    return await artifacts.large_answer(request, size, lambda: pages.page_json(count, links, rows))


async def revert_of(
    request: Request[Any, Any, Any], body: bytes
) -> tuple[schemas_history.Revert, int | None]:
    """The request and the version that it starts from. Raises Invalid."""
    data = await read(schemas_history.Revert, body, header_of(request, b"content-type"))
    return data, base_version(context(request), data.base_version, required=True)


async def archived_page(
    request: Request[Any, Any, Any], kind: str, *, with_body: bool
) -> tuple[int, list[ArchivedRow], tuple[str | None, str | None]]:
    query = query_of(request)
    limit, offset = pages.page_bounds(query)
    count, rows = await services(request).reads.ask(
        lambda conn: archives.page(
            conn, project_of(request), kind, limit=limit, offset=offset, with_body=with_body
        )
    )
    return count, rows, pages.page_links(request, query, count, limit, offset, len(rows))


def archived_json(row: bytes, one: ArchivedRow) -> bytes:
    """A row of a list with when and by whom it was archived."""
    taken = b"true" if one.name_taken else b"false"
    end = f',"archived_at":"{one.archived_at}","archived_by":'.encode()
    return b"".join((row[:-1], end, one.archived_by, b',"name_taken":', taken, b"}"))
