"""What the views that change labels, names and archives share: how a change is run, refused and looked at before."""

from typing import Any

import msgspec
from litestar import Request

from api.access.authenticate import require
from api.artifacts.common import Command
from api.artifacts.comparing import compared, moves
from api.cache.reader import RepresentationCache
from api.commands.caller import caller_of
from api.commands.execute import Done
from api.http.context import context
from api.http.errors import answer_for
from api.http.requests import project_of
from api.offload import offload
from api.services import services
from console import access
from console.changes import Change, Value, changes_of, values_of, with_same_contents
from console.kinds import kind_of
from domain.artifacts.policies import LabelPolicies, Policy
from domain.errors import NameChanged, Refused
from projections.events import policies
from projections.events.policies import PolicyRow
from projections.read.kinds import KINDS
from projections.read.models import CURRENT
from projections.read.versions import Version
from store.postgres.connection import Connection

# Sentences that blame a field without naming it begin so.
NAMELESS = ("This ", "Use ", "Say ")
FIELDS = {
    "label_name": "Label",
    "label": "Label",
    "version": "Version",
    "note": "Note",
    "comment": "Comment",
    "approvals": "Approvals",
    "new_name": "Name",
    "owners": "Owners",
    "tags": "Tags",
}


class Refusal(msgspec.Struct, frozen=True):
    """Why a form did nothing, as a sentence, and the status of the page that says so."""

    text: str
    status: int


def refusal_of(error: Refused) -> Refusal:
    """Raises an error that says what the name is now: it is for the address, not for the form."""
    if isinstance(error, NameChanged):
        raise error
    field = FIELDS.get((error.attr or "").split("__")[0])
    text = f"{field}: {error.detail}" if field and error.detail.startswith(NAMELESS) else error.detail
    return Refusal(text, answer_for(error).status)


def check_scope(request: Request[Any, Any, Any], scope: str) -> None:
    """Raises PermissionDenied unless the session's key has it."""
    require(access.session(request).principal, scope)


async def execute(request: Request[Any, Any, Any], command: Command) -> Done:
    """Run a command as the API does. Raises whatever it is refused by."""
    return await command(await caller_of(context(request)), services(request).commands)


class Difference(msgspec.Struct, frozen=True):
    """What lies between two versions, as pages show it; ``size`` are the bytes of the texts in it."""

    values: list[Value]
    changes: list[Change]
    size: int

    @property
    def added(self) -> int:
        return sum(one.added for one in self.changes)

    @property
    def removed(self) -> int:
        return sum(one.removed for one in self.changes)


async def version_now(
    conn: Connection, request: Request[Any, Any, Any], name: str, number: int | None = None
) -> Version:
    """The latest version of what the address is about, or the one with a number, in the present.

    Raises NotFound, NameChanged, VersionNotFound.
    """
    project_id, kind = project_of(request), kind_of(request).kind
    return await RepresentationCache.version_in(conn, project_id, kind, name, number, CURRENT)


async def difference(
    request: Request[Any, Any, Any], kind: str, older: Version | None, newer: Version
) -> Difference:
    """``older`` is None for nothing."""
    served, model = services(request), KINDS[kind]
    async with served.pool.connection() as conn:
        moved = await moves(conn, older, newer)
    both = await compared(served.reader, model, older, newer, with_same_contents(older, newer, moved))
    changes = await offload(lambda: changes_of(both.comparison, both.hunks(model), "unified"))
    return Difference(values_of(both.comparison), changes, sum(map(len, both.texts.values())))


async def policies_of(conn: Connection, project_id: int, position: int | None) -> dict[str, PolicyRow]:
    """The label policies by label, now or when the log ended at a position."""
    return {row.label: row for row in await policies.at(conn, project_id, position)}


def is_direct(found: Policy | PolicyRow | None, *, may_promote: bool) -> bool:
    """Whether a label of this policy may be moved as it is, by who may write."""
    if found is None or not found.protected:
        return True
    return may_promote and found.approvals == 0


async def policy_now(request: Request[Any, Any, Any], label: str) -> Policy | None:
    found: LabelPolicies = await services(request).commands.policies(context(request).project_id)
    return found.policies.get(label)
