"""Owners and tags of an artifact: what bodies say of them, and a change of nothing else."""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from api.artifacts.common import Command, check_etag, run
from api.commands.execute import Caller, Commands, Done
from api.commands.repository import Loaded
from api.http.context import RequestContext
from api.http.responses import Answer
from domain.artifacts.versioned import Versioned
from domain.content import Content
from domain.errors import Invalid
from store.tables import identity

MARKS = ("owners", "tags")


class Marks(msgspec.Struct, frozen=True):
    """The owners (ids of users) and tags that a request sets; UNSET for those that stay."""

    owners: tuple[int, ...] | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET

    def set_on(self, artifact: Versioned) -> None:
        """Raises Invalid."""
        if self.owners is not UNSET:
            artifact.set_owners(self.owners)
        if self.tags is not UNSET:
            artifact.set_tags(self.tags)


NONE = Marks()


async def marks_of(context: RequestContext, data: Any) -> Marks:
    """The marks that a body brings. Raises Invalid for an owner who may not enter the project."""
    if data.owners is UNSET and data.tags is UNSET:
        return NONE
    owners = UNSET if data.owners is UNSET else await _owners(context, data.owners)
    return Marks(owners, UNSET if data.tags is UNSET else tuple(data.tags))


async def _owners(context: RequestContext, owners: list[str]) -> tuple[int, ...]:
    wanted = [UUID(owner) for owner in owners]
    async with context.services.pool.connection() as conn:
        found = await identity.members(conn, context.project_id, wanted)
    for place, owner in enumerate(wanted):
        if owner not in found:
            raise Invalid(
                f"No user with a live key for this project has the uuid {owner}.",
                code="does_not_exist",
                attr=f"owners__{place}",
            )
    return tuple(dict.fromkeys(found[owner] for owner in wanted))


def brings_no_version(data: msgspec.Struct) -> bool:
    """Whether the body of a publish has owners or tags, and no more."""
    values, defaults = _content_of(type(data))
    return bool(values(data) == defaults)


@cache
def _content_of(body: type[msgspec.Struct]) -> tuple[Callable[[Any], Any], tuple[Any, ...]]:
    """What reads the fields of a body that make a version, and their values when they are absent."""
    fields = [field for field in msgspec.structs.fields(body) if field.name not in (*MARKS, "base_version")]
    return attrgetter(*(field.name for field in fields)), tuple(field.default for field in fields)


async def set_marks(
    context: RequestContext, cls: type[Versioned], name: str, marks: Marks, base: int | None, body: bytes
) -> Answer:
    """Owners and tags without a new version. Raises whatever the request is refused by."""
    return await run(context, body, cls.KIND, marking(context, cls, name, marks, base))


def marking(
    context: RequestContext, cls: type[Versioned], name: str, marks: Marks, base: int | None
) -> Command:
    """The command that sets them."""

    async def decide(loaded: Loaded[Any], artifact: Any) -> list[Content]:
        await check_etag(context, loaded)
        artifact.check_base(base)
        marks.set_on(artifact)
        return []

    async def execute(caller: Caller, commands: Commands) -> Done:
        return await commands.unchanged(await commands.change(caller, cls, name, decide))

    return execute
