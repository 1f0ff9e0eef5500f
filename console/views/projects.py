"""The beginning: the project of a key, or the list of those that it may enter."""

from typing import Any

from litestar import Request, Response, get

from console import access
from console.access import in_project, signed_in
from console.kinds import SHOWN
from console.page import frame_of, page, redirect
from domain.keys import allows


@get("/", guards=[signed_in])
async def projects(request: Request[Any, Any, Any]) -> Response[Any]:
    found = await access.projects_of(request, access.session(request).principal)
    if len(found) == 1:
        return redirect(request, frame_of(request).top("projects", found[0].id))
    return await page(request, "projects.html", projects=found)


@get("/projects/{project_id:str}", guards=[in_project])
async def project(request: Request[Any, Any, Any]) -> Response[Any]:
    """The first view that the key may see."""
    frame = frame_of(request)
    for kind in SHOWN.values():
        if allows(frame.scopes, kind.read_scope):
            return redirect(request, frame.url(kind.plural))
    return redirect(request, frame.url("audit"))


HANDLERS = (projects, project)
