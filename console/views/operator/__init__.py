"""What who operates a project sees of it: keys, people, shares, webhooks, and how the service is. Always of now."""

from typing import Any

from litestar import Request, Response, get

from console.page import frame_of, redirect
from console.views.operator import health, keys, people, shares, webhooks
from console.views.operator.parts import tabs_of


@get("/operate")
async def operate(request: Request[Any, Any, Any]) -> Response[Any]:
    """The first of the views that the session may see."""
    frame = frame_of(request)
    return redirect(request, frame.now(tabs_of(frame)[0].place))


HANDLERS = (
    operate,
    *keys.HANDLERS,
    *people.HANDLERS,
    *shares.HANDLERS,
    *webhooks.HANDLERS,
    *health.HANDLERS,
)
