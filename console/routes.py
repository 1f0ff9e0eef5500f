"""Everything of the console at its address. A view is a module of ``console.views``; one that shows artifacts is there for each kind."""

from typing import Any

from litestar import Router

from console import assets, errors
from console.access import NOW, in_project
from console.issuer import Issuer, Settings
from console.kinds import SHOWN, Shown
from console.links import ROOT
from console.views import (
    archive,
    artifact,
    audit,
    blame,
    compare,
    drafts,
    edit,
    files,
    labels,
    listing,
    live,
    manage,
    openid,
    operator,
    owners,
    policies,
    projects,
    promotions,
    search,
    sessions,
    signin,
    then,
    timeline,
    usage,
    yank,
)

# Views of a kind of artifact: their ``opt`` has the ``kind``, and the ``scope`` that shows it.
OF_A_KIND: tuple[Any, ...] = (
    *listing.HANDLERS,
    *artifact.HANDLERS,
    *files.HANDLERS,
    *timeline.HANDLERS,
    *compare.HANDLERS,
    *blame.HANDLERS,
    *usage.HANDLERS,
    *labels.HANDLERS,
    *archive.OF_A_KIND,
    *manage.HANDLERS,
    *yank.HANDLERS,
)
# Views of a project.
OF_A_PROJECT: tuple[Any, ...] = (
    *then.HANDLERS,
    *search.HANDLERS,
    *audit.HANDLERS,
    *live.HANDLERS,
    *promotions.HANDLERS,
    *policies.HANDLERS,
    *archive.OF_A_PROJECT,
    Router(path="/", route_handlers=[*operator.HANDLERS, *drafts.HANDLERS], opt=NOW),
)


def _written(kind: Shown) -> dict[str, Any]:
    return {"kind": kind.kind, "scope": kind.write_scope, **NOW}


def handlers(issuer: Settings | None = None) -> list[Any]:
    """What the application serves beside the API; people sign in at the ``issuer``, too."""
    kinds = [
        Router(
            path=f"/{kind.plural}",
            route_handlers=OF_A_KIND,
            opt={"kind": kind.kind, "scope": kind.read_scope},
        )
        for kind in SHOWN.values()
    ]
    written = [
        Router(path=f"/{kind.plural}", route_handlers=[*edit.HANDLERS, *owners.HANDLERS], opt=_written(kind))
        for kind in SHOWN.values()
    ]
    project = Router(
        path="/projects/{project_id:str}",
        route_handlers=[*kinds, *written, *OF_A_PROJECT],
        guards=[in_project],
    )
    # They let in by themselves.
    forms = [
        Router(
            path=f"/projects/{{project_id:str}}/{kind.plural}", route_handlers=edit.FORMS, opt=_written(kind)
        )
        for kind in SHOWN.values()
    ]
    return [
        Router(
            path=ROOT,
            route_handlers=[
                assets.asset,
                *signin.HANDLERS,
                *openid.HANDLERS,
                *sessions.HANDLERS,
                *projects.HANDLERS,
                project,
                *forms,
            ],
            exception_handlers=errors.EXCEPTION_HANDLERS,
            opt={"issuer": Issuer(issuer) if issuer else None},
            include_in_schema=False,
        )
    ]
