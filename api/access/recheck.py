"""A request that has waited is authorized once more before it is answered: its key or its share may have ended meanwhile."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Request

from api.http.context import context, record
from api.http.state import CONTEXT
from api.services import services


async def recheck(request: Request[Any, Any, Any]) -> None:
    """Raises what letting the request in would raise now; it is not counted again.

    Costs no query while the log says nothing new of the key or share.
    """
    if CONTEXT in request.scope["state"]:
        entered = context(request)
        await services(request).authorizer.authenticator.check_again(entered.principal, entered.project_id)
    elif (opening := record(request.scope).opening) is not None:
        await services(request).discovery.shares.check_again(opening)


async def while_allowed(request: Request[Any, Any, Any], parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The parts of an answer that takes long, each if the request would still be authorized; else raises Refused."""
    async for part in parts:
        await recheck(request)
        yield part
