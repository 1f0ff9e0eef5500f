"""The usage of one artifact: reads by day and version, by door, and who read which version last."""

from datetime import UTC, datetime
from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from api.access.authenticate import require
from api.services import services
from console import access, usage
from console.access import NOW
from console.governing import version_now
from console.kinds import kind_of
from console.page import page
from console.picking import Picked
from projections.read import usage as counting

READERS = 50  # lines of a table


@get("/{name:str}/usage", opt=NOW)
async def usage_of(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    """Counts are no events: no page of the past has them."""
    require(access.session(request).principal, usage.READ)
    kind = kind_of(request)
    period = usage.period(datetime.now(UTC))
    await services(request).read_counter.add()
    async with services(request).pool.connection() as conn:
        version = await version_now(conn, request, name)
        days = await counting.days(conn, version.stream_id, period)
        versions = await counting.counts(conn, version.stream_id, period, "version")
        doors = await counting.counts(conn, version.stream_id, period, "door")
        readers = await usage.readers(conn, version, period)
    return await page(
        request,
        "usage.html",
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=Picked(None, None),
        chart=usage.chart(days, period),
        versions=versions,
        doors=doors,
        radius=readers,
        most=READERS,
    )


HANDLERS = (usage_of,)
