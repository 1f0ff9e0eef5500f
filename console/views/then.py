"""The way to an instant: the form at the top of each page leads to the same page as of then."""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from litestar import Request, Response, get

from api.http.query import parse_instant
from api.http.requests import public, query_of
from console import links
from console.page import frame_of, redirect
from console.past import instant_of

# They say when, or where in a list, which is another list then.
LEFT_OUT = ("position", "as_of", "offset", "after", "before")


@get("/then")
async def then(request: Request[Any, Any, Any]) -> Response[Any]:
    query = query_of(request)
    back, at = query.values.get("back", ""), query.text("at")
    parts = urlsplit(back if links.is_ours(back) else "")
    values = [(name, value) for name, value in parse_qsl(parts.query) if name not in LEFT_OUT]
    if at is not None:
        instant = instant_of(at) or at
        parse_instant(instant, "at")
        values.append(("as_of", instant))
    if not parts.path:
        return redirect(request, frame_of(request).now())
    end = f"?{urlencode(values)}" if values else ""
    return redirect(request, public(request).prefix(request.scope) + parts.path + end)


HANDLERS = (then,)
