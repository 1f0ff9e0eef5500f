"""The people of a project: those whose keys open it. Who may do everything everywhere adds and erases people; all others change
their own name alone."""

from collections.abc import Sequence
from typing import Any, get_args

from litestar import Request, Response, get, post
from litestar.params import FromPath

from api.access.authenticate import require
from api.commands.caller import caller_of
from api.http.context import context
from api.http.requests import as_uuid, project_of, query_of
from api.payload.decode import checked
from api.services import services
from api.users.controller import WRITE
from api.users.schemas import ChangeUser, Role
from console.filters import exact, person, plural
from console.forms import Form, flash, form_of
from console.page import frame_of, redirect
from console.paging import PAGE, offset_of, part
from console.views.operator.keys import is_operator
from console.views.operator.parts import ADMIN, question, tab_page, typed
from domain.errors import PermissionDenied, Refused, Unavailable
from domain.keys import EVERYTHING
from store.errors import StreamConflict
from store.tables import identity, project_access
from store.tables.identity import Principal
from store.tables.project_access import Person

MAX_SEARCH = 300
MAX_ATTEMPTS = 10  # to erase a person, each lost to a key that was made or revoked meanwhile
ROLES: Sequence[str] = get_args(Role)


@get("/people")
async def people(request: Request[Any, Any, Any]) -> Response[Any]:
    """What the members of the organization are over the API; what their keys may do is for those who administer keys."""
    query, principal = query_of(request), context(request).principal
    offset = offset_of(query)
    search = query.text("search", max_length=MAX_SEARCH)
    async with services(request).pool.connection() as conn:
        count, found = await project_access.people(
            conn,
            project_of(request),
            everyone=is_operator(principal),
            search=search,
            limit=PAGE,
            offset=offset,
        )
    return await tab_page(
        request,
        "operator-people.html",
        "people",
        people=found,
        search=search,
        **part(count, offset, found),
        own=principal.user,
        is_operator=is_operator(principal),
        shows_keys=frame_of(request).may(ADMIN),
        may_give=frame_of(request).may(EVERYTHING),
        may_change=frame_of(request).may(WRITE),
    )


@get("/people/me", opt={"scope": WRITE})
async def own_person(request: Request[Any, Any, Any]) -> Response[Any]:
    return await _own_form(request)


@post("/people/me", opt={"scope": WRITE})
async def change_own_person(request: Request[Any, Any, Any]) -> Response[Any]:
    form, user = await form_of(request), context(request).principal.user
    sent = {name: form.line(name) for name in ("first_name", "last_name")}
    if role := form.line("role"):
        sent["role_at_organization"] = role
    try:
        data = checked(ChangeUser, sent)
    except Refused as refused:
        return await _own_form(request, form, refused)
    change = identity.UserChange(
        **{name: getattr(data, name) for name in sent if getattr(data, name) != getattr(user, name)}
    )
    if change != identity.UserChange():
        await services(request).commands.record(
            await caller_of(context(request)), *identity.change_user(user.id, change), status=200
        )
    return redirect(request, frame_of(request).now("people"), flash(request, "done", "Your name is changed."))


@get("/people/new", opt={"scope": EVERYTHING})
async def new_person(request: Request[Any, Any, Any]) -> Response[Any]:
    _check_operator(context(request).principal)
    return await _form(request)


@post("/people/new", opt={"scope": EVERYTHING})
async def add_person(request: Request[Any, Any, Any]) -> Response[Any]:
    """A key is what the person needs next."""
    _check_operator(context(request).principal)
    form = await form_of(request)
    names = {name: form.line(name) for name in ("first_name", "last_name")}
    try:
        # The same rules as when they change it.
        checked(ChangeUser, names)
        async with services(request).pool.connection() as conn:
            made = await identity.create_user(conn, email=form.line("email"), **names)
    except Refused as refused:
        return await _form(request, form, refused)
    place = frame_of(request).now("keys", "new", user=str(made.uuid))
    done = f"{person(made)} is known now; a key of this project is what is missing."
    return redirect(request, place, flash(request, "done", done))


@get("/people/{uuid:str}/erase", opt={"scope": EVERYTHING})
async def ask_to_erase(request: Request[Any, Any, Any], uuid: FromPath[str]) -> Response[Any]:
    found = await _find(request, uuid)
    return await question(
        request,
        "people",
        title="Erase this person?",
        text="Name and mail address are removed for good, here and wherever they are shown, and all keys of this person end in all "
        "projects. The versions that they published stay, without an author. This cannot be undone.",
        about=[
            ("Name", person(found.user)),
            ("Mail", found.user.email),
            ("Keys of this project", plural(found.keys, "key")),
            ("Since", exact(found.since)),
        ],
        button="Erase",
        back=frame_of(request).now("people"),
    )


@post("/people/{uuid:str}/erase", opt={"scope": EVERYTHING})
async def erase_person(request: Request[Any, Any, Any], uuid: FromPath[str]) -> Response[Any]:
    found = await _find(request, uuid)
    caller, commands = await caller_of(context(request)), services(request).commands
    for _ in range(MAX_ATTEMPTS):
        async with services(request).pool.connection() as conn:
            erased, revoked, writes = await identity.erasure(conn, found.user.email)
        try:
            await commands.record(caller, erased, writes, status=204, before=revoked)
        except StreamConflict:
            # A key was revoked in between, so the next look finds fewer of them.
            continue
        frame = frame_of(request)
        is_own = found.user.id == caller.actor_id
        place = frame.top("sign-in") if is_own else frame.now("people")
        return redirect(
            request, place, flash(request, "done", "The person is erased, and their keys have ended.")
        )
    raise Unavailable("Too many others are changing this at the same time; try again shortly.")


async def _own_form(
    request: Request[Any, Any, Any], form: Form | None = None, refused: Refused | None = None
) -> Response[Any]:
    return await tab_page(
        request,
        "operator-me.html",
        "people",
        status=400 if refused else 200,
        typed=typed(form, refused),
        user=context(request).principal.user,
        roles=ROLES,
    )


async def _form(
    request: Request[Any, Any, Any], form: Form | None = None, refused: Refused | None = None
) -> Response[Any]:
    return await tab_page(
        request, "operator-person.html", "people", status=400 if refused else 200, typed=typed(form, refused)
    )


async def _find(request: Request[Any, Any, Any], uuid: str) -> Person:
    """Raises NotFound, PermissionDenied."""
    _check_operator(context(request).principal)
    async with services(request).pool.connection() as conn:
        return await project_access.person(conn, project_of(request), as_uuid(uuid), everyone=True)


def _check_operator(principal: Principal) -> None:
    """Raises PermissionDenied."""
    require(principal, EVERYTHING)
    if not is_operator(principal):
        raise PermissionDenied(
            "People belong to all projects, so adding and erasing them needs a key that opens all of them; "
            "or `skald user` on the host."
        )


HANDLERS = (
    people,
    own_person,
    change_own_person,
    new_person,
    add_person,
    ask_to_erase,
    erase_person,
)
