"""Writing: the form of a skill or prompt, its files, the look at what changes, and a version that was published meanwhile.

Every button sends the whole form to one address, which keeps what was written as a draft before it does anything else.
"""

from typing import Any

from litestar import Request, Response, get, post

from api.http.requests import as_uuid, project_of, query_of
from api.offload import offload
from api.services import services
from console import usage
from console.editing import carrying, drafts, work
from console.editing.drafts import Draft, apply, with_ends_of
from console.editing.work import Work
from console.forms import Form, flash
from console.kinds import kind_of
from console.page import frame_of, page, redirect
from console.picking import Picked
from domain.content import MAX_FILES, text_of
from domain.errors import NameChanged, NotFound, Refused, VersionConflict
from projections.read.versions import Version
from store.tables import console_drafts
from store.tables.console_drafts import DraftLine, NoRoom

VIEWS = ("unified", "beside")
NEW = "new"
PATHS = [f"/{NEW}", "/{name:str}/edit"]
PUBLISHED = "It is published as version {}."


@get(PATHS)
async def edit(request: Request[Any, Any, Any]) -> Response[Any]:
    found = await _opened(request)
    return found if isinstance(found, Response) else await _form(request, found)


@get([f"{path}/file" for path in PATHS])
async def edit_file(request: Request[Any, Any, Any]) -> Response[Any]:
    found = await _opened(request)
    if isinstance(found, Response):
        return found
    file = found.draft.file(query_of(request).integer("file", minimum=1, maximum=10**9) or 0)
    if file is None or file.is_removed:
        raise NotFound("The draft has no such file.")
    data = file.data if file.kept is None else await services(request).reader.content(file.kept.ref.digest)
    return await page(
        request,
        "edit-file.html",
        size=2 * len(data or b""),
        active=found.kind.plural,
        **_shared(request, found),
        file=file,
        content=text_of(data or b""),
    )


@get([f"{path}/preview" for path in PATHS])
async def preview(request: Request[Any, Any, Any]) -> Response[Any]:
    found = await _opened(request)
    if isinstance(found, Response):
        return found
    if found.is_stale:
        return redirect(request, _address(request, found, "conflict"))
    problems = await work.problems_of(request, found)
    if work.has_errors(problems):
        return redirect(
            request,
            _address(request, found),
            flash(request, "refused", "It cannot be published yet: see what is wrong below."),
        )
    view = query_of(request).choice("view", VIEWS) or VIEWS[0]
    before = await work.before_of(request, found)
    difference = await work.difference(request, found, before, found.draft, view)
    return await page(
        request,
        "edit-preview.html",
        size=difference.size,
        active=found.kind.plural,
        **_shared(request, found),
        problems=problems,
        difference=difference,
        view=view,
        next_number=await work.next_number(request, found),
        radius=await usage.blast_radius(request, found.version) if found.version else None,
    )


@get("/{name:str}/edit/conflict")
async def conflict(request: Request[Any, Any, Any]) -> Response[Any]:
    """Two changes of one version: what each has changed, and both together."""
    found = await _opened(request)
    if isinstance(found, Response):
        return found
    before = await work.before_of(request, found)
    if not found.is_stale or found.version is None or before is None:
        return redirect(request, _address(request, found))
    theirs = found.editing.opened(found.version)
    # What has errors cannot be compared; it can be merged all the same.
    problems = await work.problems_of(request, found)
    mine = (
        None
        if work.has_errors(problems)
        else await work.difference(request, found, before, found.draft, VIEWS[0])
    )
    other = await work.difference(request, found, before, theirs, VIEWS[0])
    merged = await work.rebase(request, found)
    return await page(
        request,
        "edit-conflict.html",
        size=other.size + (mine.size if mine else 0),
        active=found.kind.plural,
        **_shared(request, found),
        note=found.kind.content(found.version).note,
        mine=mine,
        theirs=other,
        merged=merged,
    )


@post(PATHS)
async def send(request: Request[Any, Any, Any]) -> Response[Any]:
    """Whatever a button of these pages does."""
    form, refused = await carrying.enter(request)
    if refused is not None:
        return refused
    try:
        return await _sent(request, form)
    except Exception as error:
        return await carrying.kept_back(request, form, error)


async def _sent(request: Request[Any, Any, Any], form: Form) -> Response[Any]:
    version, is_gone = await _latest(request)
    kept = await work.kept_of(request, form.line("draft"), version)
    if kept is not None and kept.published is not None:
        return _done(request, kept.name, kept.published, "It has been published already, as version {}.")
    do, _, detail = form.line("do").partition(":")
    if kept is not None and do == "discard":
        return await _discard(request, kept.id, version)
    if kept is not None:
        found = work.resumed(request, version, kept)
    elif do == "publish" and is_gone:
        return _gone(request)
    elif do == "publish":
        raise work.missing()
    else:
        found = await _at_base(request, version, form)
    if do == "publish" and kept is not None and not is_gone:
        return await _publish(request, found, form, kept.content)
    await _apply(request, found, form)
    if do == "copy" and version is None:
        found.draft = await _copied(request, detail)
    if kept is not None and kept.revision != _number(form, "revision"):
        # Another tab has changed it since: this is a draft of its own.
        found.id, found.revision = None, 0
    if is_gone:
        _orphan(found, request)
    return await _keep(request, found, "keep" if is_gone else do, detail, is_part="part" in form.line("as"))


async def _opened(request: Request[Any, Any, Any]) -> Work | Response[Any]:
    """The draft of the address, else the newest of the user for what it names, else a new one."""
    query = query_of(request)
    name = request.path_params.get("name")
    version = None if name is None else await work.version_of(request, name)
    wanted = query.text("draft")
    if wanted is not None:
        kept = await work.kept_of(request, wanted, version)
        if kept is None:
            raise work.missing()
        if kept.published is not None:
            return _done(request, kept.name, kept.published, PUBLISHED)
        return work.resumed(request, version, kept)
    if version is not None:
        async with services(request).pool.connection() as conn:
            newest = await console_drafts.newest(conn, work.place_of(request, version))
        if newest is not None:
            return work.resumed(request, version, newest)
    return work.begun(request, version)


async def _latest(request: Request[Any, Any, Any]) -> tuple[Version | None, bool]:
    """What the address names, by its name of now; and whether it is there no more."""
    name = request.path_params.get("name")
    if name is None:
        return None, False
    try:
        return await work.version_of(request, name), False
    except NameChanged as changed:
        return await work.version_of(request, changed.new_name), False
    except NotFound:
        return None, True


async def _at_base(request: Request[Any, Any, Any], version: Version | None, form: Form) -> Work:
    """A form that was never kept: a draft of the version that it was made from."""
    found = work.begun(request, version)
    number = _number(form, "base")
    if version is not None and number and number != version.number:
        base = await work.version_of(request, version.name, number)
        found.draft = found.editing.opened(base)
        # Tags that came meanwhile are no change of this form.
        found.draft.fields["tags"] = form.text("tags_before")
    if version is not None and "tags_before" in {name for name, _ in form.fields}:
        found.draft.tags_before = form.text("tags_before")
    return found


def _number(form: Form, name: str) -> int:
    return _whole(form.line(name))


def _whole(text: str) -> int:
    """A whole number, 0 for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


async def _apply(request: Request[Any, Any, Any], found: Work, form: Form) -> None:
    await offload(lambda: apply(found.draft, form, [field.name for field in found.editing.fields]))
    file = found.draft.file(_number(form, "file"))
    sent = {name for name, _ in form.fields}
    if file is None or "content" not in sent:
        return
    file.content_type = form.line("content_type") or file.content_type
    data = file.data if file.kept is None else await services(request).reader.content(file.kept.ref.digest)
    before = text_of(data or b"") or ""
    if (after := with_ends_of(before, form.text("content"))) != before:
        file.write(after.encode())


async def _copied(request: Request[Any, Any, Any], id: str) -> Draft:
    """A draft as one of something new: what it changes may be archived. Raises NotFound."""
    number = as_uuid(id)
    place = work.place_of(request, None)
    async with services(request).pool.connection() as conn:
        kept = number and await console_drafts.find(conn, number, place.user_id, place.project_id, place.kind)
    if not kept or kept.published is not None:
        raise work.missing()
    draft = drafts.decode(kept.content)
    draft.base = 0
    return draft


def _orphan(found: Work, request: Request[Any, Any, Any]) -> None:
    """What it changes is archived: it is a draft of a new one by that name."""
    found.version, found.id, found.revision = None, None, 0
    found.draft.base, found.draft.name = 0, str(request.path_params.get("name", ""))


async def _keep(
    request: Request[Any, Any, Any], found: Work, do: str, detail: str, *, is_part: bool
) -> Response[Any]:
    added = None
    if do == "add":
        added = found.draft.add(f"new-{found.draft.next_file}.md", "text/markdown", b"")
    elif do == "revert" and found.version is not None:
        old = await work.version_of(request, found.version.name, _whole(detail))
        found.draft = work.reverted(found, old)
    elif do in ("merge", "mine") and found.is_stale:
        found.draft = await (work.rebase if do == "merge" else work.rest_on)(request, found)
    try:
        is_kept = await work.keep(request, found)
    except NoRoom as error:
        return await _form(request, found, error=error.detail, is_part=is_part)
    if is_part:
        return await _form(request, found, is_part=True)
    if do == "preview" and is_kept:
        return redirect(request, _address(request, found, "preview"))
    if do == "preview":
        nothing = "Nothing is written yet." if found.version is None else "Nothing has changed."
        said = f"{nothing} There is nothing to publish."
        return redirect(request, _address(request, found), flash(request, "refused", said))
    if do == "merge" and not found.draft.is_marked:
        return redirect(request, _address(request, found, "preview"))
    if added is not None:
        return redirect(request, _address(request, found, "file", file=added.id))
    if do == "file":
        return redirect(request, _address(request, found, "file", file=detail))
    said = "It is kept as a draft." if is_kept else "Nothing has changed, so there is no draft."
    return redirect(request, _address(request, found), flash(request, "done", said))


async def _publish(request: Request[Any, Any, Any], found: Work, form: Form, content: bytes) -> Response[Any]:
    if found.revision != _number(form, "revision"):
        said = "The draft has changed since: look at it again."
        return redirect(request, _address(request, found, "preview"), flash(request, "refused", said))
    if "note" in {name for name, _ in form.fields}:
        found.draft.note = form.text("note")
    if work.has_errors(await work.own_problems_of(found)):
        return redirect(request, _address(request, found))
    try:
        # Whether it still fits is for the command to say: of two clicks the second one finds what the first has done.
        done = await work.publish(request, found, content)
    except VersionConflict:
        return redirect(request, _address(request, found, "conflict"))
    except NameChanged as changed:
        # The address of the draft is that of the name of now.
        return redirect(
            request, _address(request, found, "preview"), flash(request, "refused", changed.detail)
        )
    except NotFound:
        return _gone(request)
    except Refused as error:
        return redirect(request, _address(request, found), flash(request, "refused", error.detail))
    name = done.version.name if done.version else found.draft.name
    number = done.version.number if done.version else found.draft.base
    async with services(request).pool.connection() as conn:
        if found.id is not None:
            await console_drafts.publish(conn, found.id, found.user_id, name, number)
    return _done(request, name, number, PUBLISHED)


def _done(request: Request[Any, Any, Any], name: str, number: int, said: str) -> Response[Any]:
    kind = kind_of(request)
    address = frame_of(request).now(kind.plural, name)
    return redirect(request, address, flash(request, "done", said.format(number)))


def _gone(request: Request[Any, Any, Any]) -> Response[Any]:
    """What the draft changes was archived meanwhile; the draft is among the others."""
    said = "It was archived meanwhile, so nothing is published. Your draft is here: it goes on as a new one, or once that is restored."
    return redirect(request, frame_of(request).now("drafts"), flash(request, "refused", said))


async def _discard(request: Request[Any, Any, Any], id: Any, version: Version | None) -> Response[Any]:
    async with services(request).pool.connection() as conn:
        await console_drafts.discard(conn, id, work.user_of(request), project_of(request))
    kind, frame = kind_of(request), frame_of(request)
    address = frame.now(kind.plural, version.name) if version else frame.now(kind.plural)
    return redirect(request, address, flash(request, "done", "The draft is discarded."))


def _address(request: Request[Any, Any, Any], found: Work, *more: str, **query: Any) -> str:
    """Of a page of the draft."""
    place = (found.name, "edit") if found.name is not None else (NEW,)
    return frame_of(request).now(found.kind.plural, *place, *more, draft=found.id, **query)


def _shared(request: Request[Any, Any, Any], found: Work) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "editing": found.editing,
        "name": found.name,
        "version": found.version,
        "picked": Picked(None, None),
        "draft": found.draft,
        "draft_id": found.id,
        "revision": found.revision,
        "is_stale": found.is_stale,
        "action": _address(request, found).partition("?")[0],
        "address": lambda *more, **query: _address(request, found, *more, **query),
    }


async def _others(request: Request[Any, Any, Any], found: Work) -> list[DraftLine]:
    """Other drafts of the user of the same skill or prompt, or of new ones."""
    place = work.place_of(request, found.version)
    async with services(request).pool.connection() as conn:
        kept = await console_drafts.list_of(conn, place.user_id, place.project_id)
    return [
        one
        for one in kept
        if (one.kind, one.stream_id) == (place.kind, place.stream_id) and one.id != found.id
    ]


def _words(found: Work) -> dict[str, str]:
    """What a problem is said of, by its field."""
    words = {"": "", "text": "Text", "name": "Name", "note": "Note", "files": "Files"}
    words |= {field.name: field.words for field in found.editing.fields}
    return words | {f"path.{file.id}": file.path for file in found.draft.files}


async def _form(
    request: Request[Any, Any, Any], found: Work, *, error: str = "", is_part: bool = False
) -> Response[Any]:
    """The form with what is wrong in it; a part of it for the script that keeps it while it is written."""
    # What is empty because nothing is written yet is not wrong yet.
    is_fresh = found.version is None and found.id is None and request.method == "GET"
    problems = [] if is_fresh else await work.problems_of(request, found)
    fields: dict[str, list[Any]] = {}
    for problem in problems:
        fields.setdefault(problem.field, []).append(problem)
    others = [] if is_part else await _others(request, found)
    return await page(
        request,
        "edit-state.html" if is_part else "edit.html",
        status=400 if error else 200,
        size=2 * len(found.draft.text),
        active=found.kind.plural,
        **_shared(request, found),
        problems=problems,
        fields=fields,
        words=_words(found),
        error=error,
        others=others,
        max_files=MAX_FILES,
    )


HANDLERS = (edit, edit_file, preview, conflict)
# Beside the guards of a project: a form of who may not send it is not lost.
FORMS = (send,)
