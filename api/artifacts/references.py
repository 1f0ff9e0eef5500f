"""What a change of a prompt means for the prompts that it refers to, and for those that refer to it.

Each check raises why not, or fills the guards that hold it so until the append; what is no prompt refers to nothing.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from litestar import Request

from api.artifacts import common as artifacts
from api.commands.execute import Guards
from api.http.context import RequestContext
from api.http.query import Query
from domain.artifacts.prompts import Prompt
from domain.artifacts.references import Reference, Referenced, found_in
from domain.artifacts.versioned import Versioned
from domain.errors import Invalid, NameChanged, NotFound
from projections.events.states import at_number
from projections.read.references import led_by, referenced_by
from projections.read.renames import led_to
from projections.read.versions import Version
from projections.write.references import THERE, UNLED, UNREFERENCED, wanted
from store.log.statements import Row

KIND = Prompt.KIND


async def check_there(
    context: RequestContext, references: Sequence[Reference], guards: Guards, *, attr: str | None = "prompt"
) -> None:
    """Raises Invalid unless each leads to a text that refers to nothing itself."""
    guards.pop(THERE, None)
    if references:
        guards[THERE] = list(await asyncio.gather(*(_checked(context, one, attr) for one in references)))


async def check_latest(
    context: RequestContext, current: Versioned, guards: Guards, *, attr: str | None = None
) -> None:
    """Whether what the latest version refers to is there: one that comes back from the past may have lost it. Raises Invalid."""
    if current.KIND == KIND:
        body = await context.services.reader.content(current.text.digest)
        await check_there(context, found_in(body), guards, attr=attr)


async def check_restored(context: RequestContext, current: Versioned, guards: Guards) -> None:
    """The same for one that comes back from an archive: no read finds its own versions yet. Raises Invalid."""
    if current.KIND != KIND:
        return
    found = found_in(await context.services.reader.content(current.text.digest))
    own = [one for one in found if one.version is not None and await _is_own(context, current, one)]
    await check_there(context, [one for one in found if one not in own], guards, attr=None)
    for one in own:
        assert one.version is not None
        async with context.services.pool.connection() as conn:
            state = await at_number(conn, type(current), current.id, one.version)
        body = await context.services.reader.content(state.text.digest)
        guards.setdefault(THERE, []).append(_row(context, current.name, one, body, None))


async def _is_own(context: RequestContext, current: Versioned, reference: Reference) -> bool:
    async with context.services.pool.connection() as conn:
        return await led_to(conn, context.project_id, KIND, reference.name) == current.id


async def check_labels(context: RequestContext, before: Versioned, after: Versioned, guards: Guards) -> None:
    """Whether the labels may stand so: what one points to has what it refers to, and one that is referred to is a text without
    references. Raises Invalid, Referenced.
    """
    if after.KIND != KIND:
        return
    for label in before.labels.keys() | after.labels.keys():
        number = after.labels.get(label)
        if number != before.labels.get(label):
            await _check_label(context, after, label, number, guards)


async def _check_label(
    context: RequestContext, current: Versioned, label: str, number: int | None, guards: Guards
) -> None:
    if number is not None:
        version = await context.services.reader.version(context.project_id, KIND, current.name, number)
        references = found_in(version.body)
        await check_there(context, references, guards, attr="version")
        if version.body[:1] == b'"' and not references:
            return
    await _check_unreferenced(context, current, guards, label)


async def check_leaving(context: RequestContext, current: Versioned, guards: Guards) -> None:
    """Whether it may be archived. Raises Referenced."""
    if current.KIND == KIND:
        await _check_unreferenced(context, current, guards)


async def check_yank(context: RequestContext, current: Versioned, number: int, guards: Guards) -> None:
    """Whether a version may be yanked: no label that points to it is referred to, as that would be left without a text. Raises Referenced."""
    if current.KIND == KIND:
        for label, labelled in current.labels.items():
            if labelled == number:
                await _check_unreferenced(context, current, guards, label)


async def check_taking(context: RequestContext, taking: Versioned, guards: Guards) -> None:
    """Whether it may take its name: marks that lead to another prompt by that name would lead to this one. Raises Referenced."""
    if taking.KIND == KIND:
        async with context.services.pool.connection() as conn:
            found = await led_by(conn, context.project_id, taking.id, taking.name)
        if found:
            raise Referenced(f"The earlier name '{taking.name}' of another prompt", found)
        guards[UNLED] = [(taking.id, context.project_id, taking.name)]


async def _checked(context: RequestContext, reference: Reference, attr: str | None) -> Row:
    pick = reference.version or reference.label
    try:
        version = await context.services.reader.version_led_to(context.project_id, KIND, reference.name, pick)
    except NotFound as error:
        raise Invalid(
            f"{reference} refers to nothing: {error.detail}", code="invalid_reference", attr=attr
        ) from None
    return _row(context, version.name, reference, version.body, attr)


def _row(context: RequestContext, name: str, reference: Reference, body: bytes, attr: str | None) -> Row:
    """The guard that what is referred to stays there; ``name`` is its name now. Raises Invalid for what may not be referred to."""
    if body[:1] != b'"':
        raise Invalid(f"{reference} refers to what is no text.", code="invalid_reference", attr=attr)
    if found_in(body):
        raise Invalid(
            f"{reference} refers to a prompt that refers to others itself; refer to those.",
            code="invalid_reference",
            attr=attr,
        )
    return wanted(context.project_id, name, reference)


async def _check_unreferenced(
    context: RequestContext, current: Versioned, guards: Guards, label: str | None = None
) -> None:
    async with context.services.pool.connection() as conn:
        found = await referenced_by(conn, context.project_id, current.id, label)
    if found:
        what = f"The prompt '{current.name}'"
        raise Referenced(what if label is None else f"The label '{label}' of '{current.name}'", found)
    guards.setdefault(UNREFERENCED, []).append((current.id, context.project_id, label or ""))


async def past_texts(
    request: Request[Any, Any, Any], query: Query, version: Version
) -> dict[Reference, Version]:
    """What a version referred to, at the position or time of the query."""
    found: dict[Reference, Version] = {}
    for one in found_in(version.body):
        pick = one.version or one.label
        with suppress(NotFound):
            try:
                found[one] = await artifacts.version(request, query, KIND, one.name, pick)
            except NameChanged as changed:
                found[one] = await artifacts.version(request, query, KIND, changed.new_name, pick)
    return found
