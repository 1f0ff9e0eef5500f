"""How a view becomes a page: the environment of the templates, addresses, headers, and what every page shows.

Pages hold no script and no style of their own, nothing from elsewhere, and no secret but one that is new with the page
and on no other, so that they may be packed.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template.config import TemplateConfig

from api.http.answers import rendered
from api.http.context import context
from api.http.requests import public
from api.http.responses import VARY_ENCODING, Answer, Header, to_response
from api.http.state import CONTEXT
from api.services import services
from console import access, assets, filters, forms, kinds, links
from console.access import SESSION
from console.past import Past
from domain.keys import allows
from projections.read import promotions
from store.tables.console_sessions import Session

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: list[Header] = [
    (b"content-type", b"text/html; charset=utf-8"),
    # Nothing of a page is kept: behind it may stand a session that has ended.
    (b"cache-control", b"private, no-store"),
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    # Without any, a browser would not say where a form comes from.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    VARY_ENCODING,
]


def environment() -> Environment:
    """Every value is escaped, and one that a view has forgotten is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals |= {"kinds": kinds.SHOWN, "asset": assets.address}
    made.filters |= filters.FILTERS
    return made


def templates() -> TemplateConfig[JinjaTemplateEngine]:
    """All of them compiled: the first page waits for none."""
    made = environment()
    for name in made.list_templates():
        made.get_template(name)
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(made))


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What the layout shows around a view. ``project_id`` is None outside of projects, ``project`` its name and ``waiting`` how many promotions
    are open there, up to 100; ``past`` is None for the present."""

    prefix: str
    is_signed_in: bool
    user: str
    project_id: int | None
    project: str
    waiting: int
    past: Past | None
    flash: forms.Flash | None
    here: str
    scopes: frozenset[str]

    def url(self, *segments: object, **query: Any) -> str:
        """The address of a place in this project, at the instant that is shown; values that are None are left out."""
        return self.at(self.past, *segments, **query)

    def now(self, *segments: object, **query: Any) -> str:
        """The same in the present."""
        return self.at(None, *segments, **query)

    def at(self, past: Past | None, *segments: object, **query: Any) -> str:
        """The same at another instant."""
        when = {} if past is None else past.query
        values = {name: value for name, value in query.items() if value is not None and value != ""}
        return links.below(self.prefix, "projects", self.project_id, *segments, query={**values, **when})

    def top(self, *segments: object, **query: Any) -> str:
        """The address of a place outside of projects."""
        return links.below(self.prefix, *segments, query=query)

    def may(self, scope: str) -> bool:
        return allows(self.scopes, scope)


def frame_of(request: Request[Any, Any, Any], past: Past | None = None) -> Frame:
    state = request.scope["state"]
    session: Session | None = state.get(SESSION)
    return Frame(
        prefix=public(request).prefix(request.scope),
        is_signed_in=session is not None,
        user=filters.person(session.principal.user) if session else "",
        project_id=context(request).project_id if CONTEXT in state else None,
        project="",
        waiting=0,
        past=past,
        flash=forms.flash_of(request),
        here=access.address_of(request),
        scopes=session.principal.scopes if session else frozenset(),
    )


async def page(
    request: Request[Any, Any, Any],
    template: str,
    *,
    past: Past | None = None,
    status: int = 200,
    size: int = 0,
    headers: Sequence[Header] = (),
    is_whole_frame: bool = True,
    **values: Any,
) -> Response[Any]:
    """A view: the template with the values; ``size`` are the bytes of the texts in it, when there are large ones.

    Without a whole frame the database is asked for nothing.
    """
    frame = frame_of(request, past)
    if is_whole_frame and frame.project_id is not None:
        named = await services(request).authorizer.authenticator.project(frame.project_id)
        frame = msgspec.structs.replace(frame, project=named.name, waiting=await _waiting(request, frame))
    body = await rendered(size, partial(_text, request, template, frame, values))
    return _whole(request, frame, body, status, headers)


async def _waiting(request: Request[Any, Any, Any], frame: Frame) -> int:
    readable = [kind.kind for kind in kinds.SHOWN.values() if frame.may(kind.read_scope)]
    if not readable or frame.project_id is None:
        return 0
    async with services(request).pool.connection() as conn:
        return await promotions.count_open(conn, frame.project_id, readable)


def page_now(
    request: Request[Any, Any, Any],
    template: str,
    *,
    status: int,
    headers: list[Header] | None = None,
    **values: Any,
) -> Response[Any]:
    """The same without waiting, for small pages where nothing can be waited for."""
    frame = frame_of(request)
    return _whole(request, frame, _text(request, template, frame, values), status, headers or [])


def _whole(
    request: Request[Any, Any, Any], frame: Frame, body: bytes, status: int, headers: Sequence[Header] = ()
) -> Response[Any]:
    """A message that was left for the next page has been shown on it, and goes."""
    gone = [forms.no_flash(request)] if frame.flash else []
    return to_response(Answer(status, [*HEADERS, *headers, *gone], body))


def _text(request: Request[Any, Any, Any], template: str, frame: Frame, values: Mapping[str, Any]) -> bytes:
    found = request.app.template_engine.get_template(template)  # type: ignore[union-attr]
    text: str = found.render(**values, frame=frame, url=frame.url, past=frame.past)
    # A lone surrogate has no place in UTF-8; it may stand in an address that is shown.
    return text.encode("utf-8", "replace")


def redirect(request: Request[Any, Any, Any], address: str, *headers: Header) -> Response[Any]:
    """303: what was sent is not sent again when the page is loaded anew."""
    fields = [(b"location", address.encode()), (b"cache-control", b"no-store"), *headers]
    return to_response(Answer(303, fields, b""))
