"""What changes promotions and label policies, as commands: the controllers and the console run the same."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import UNSET

from api.artifacts.common import Command, check_etag
from api.artifacts.references import check_labels
from api.cache.reader import missing
from api.commands.caller import caller_of
from api.commands.execute import Caller, Commands, Done, Guards
from api.commands.repository import Loaded
from api.governance.schemas import RequestPromotion, SetPolicy
from api.http.context import RequestContext
from api.http.requests import as_uuid
from domain.artifacts import promoting
from domain.artifacts.kinds import KINDS
from domain.artifacts.mirrors import Mirror
from domain.artifacts.policies import LabelPolicies
from domain.artifacts.promoting import Decided
from domain.artifacts.versioned import Versioned
from domain.content import Content
from domain.errors import Invalid, NotFound, Unavailable
from projections.read import promotions
from projections.read.promotions import PromotionRow
from projections.write import names
from store.ids import new_id

# Each lost race means that what has the label was renamed or archived meanwhile.
MAX_ATTEMPTS = 20

# What is done with a promotion: of the artifact, by a caller, with a comment.
Decision = Callable[[Versioned, UUID, Caller, Commands, str], Awaitable[None]]


async def approve(artifact: Versioned, id: UUID, caller: Caller, commands: Commands, comment: str) -> None:
    promotion = artifact.promotions.get(id)
    policies = await commands.policies(caller.project_id)
    required = policies.required(promotion.label) if promotion else 0
    promoting.approve(artifact, id, by=caller.actor_id, required=required, comment=comment)


async def reject(artifact: Versioned, id: UUID, caller: Caller, commands: Commands, comment: str) -> None:
    promoting.reject(artifact, id, by=caller.actor_id, comment=comment)


async def withdraw(artifact: Versioned, id: UUID, caller: Caller, commands: Commands, comment: str) -> None:
    promoting.withdraw(artifact, id, by=caller.actor_id)


class Action(NamedTuple):
    """What may be done with an open promotion; ``scope`` is what stands behind that of its kind."""

    word: str
    scope: str
    summary: str
    text: str
    decide: Decision

    def scope_of(self, kind: type[Versioned]) -> str:
        return f"{kind.SCOPE}:{self.scope}"


ACTIONS = (
    Action(
        "approve",
        "promote",
        "Approve a promotion",
        "The label moves with the last approval that its policy asks for, at once without a policy. 403 `own_promotion` for the "
        "requester; an approval by the same person again changes nothing. 409 with the status as `code` when it is decided; it is "
        "`outdated` when the label has been moved since, or what has it was archived.",
        approve,
    ),
    Action(
        "reject",
        "promote",
        "Reject a promotion",
        "The label stays where it is. The comment is in the history. 409 with the status as `code` when it is decided.",
        reject,
    ),
    Action(
        "withdraw",
        "write",
        "Withdraw a promotion",
        "By its requester alone. 409 with the status as `code` when it is decided.",
        withdraw,
    ),
)


def request(context: RequestContext, cls: type[Versioned], name: str, data: RequestPromotion) -> Command:
    async def decide(loaded: Loaded[Any], current: Any) -> list[Content]:
        await check_etag(context, loaded)
        promoting.request(
            current, new_id(), data.label, data.version, by=context.principal.user.id, note=data.note
        )
        return []

    return lambda caller, commands: commands.change(caller, cls, name, decide, status=201)


def decide(context: RequestContext, action: Action, row: PromotionRow, comment: str) -> Command:
    async def execute(caller: Caller, commands: Commands) -> Done:
        return await _decide(context, caller, commands, action, row, comment)

    return execute


async def _decide(
    context: RequestContext,
    caller: Caller,
    commands: Commands,
    action: Action,
    row: PromotionRow,
    comment: str,
) -> Done:
    # Before its status: a person who may not do it hears that first.
    if action.word == "approve" and row.requester_id == caller.actor_id:
        raise promoting.own_promotion()
    if action.word == "withdraw" and row.requester_id != caller.actor_id:
        raise promoting.not_requester()

    guards: Guards = {}

    async def decide(loaded: Loaded[Any], artifact: Any) -> list[Content]:
        guards.clear()
        if artifact.id != row.stream_id:
            raise Decided
        await action.decide(artifact, row.id, caller, commands, comment)
        await check_labels(context, loaded.aggregate, artifact, guards)
        return []

    for _ in range(MAX_ATTEMPTS):
        if row.status != "open":
            raise Decided(row.status)
        # Which way it was decided, or what its name is now, is looked up.
        with suppress(Decided, NotFound):
            return await commands.change(caller, KINDS[row.kind], row.name, decide, guards=guards)
        row = await find(context, str(row.id))
    raise Unavailable("Too many others are changing this at the same time; try again shortly.")


async def find(
    context: RequestContext, promotion_id: str, kind: str | None = None, name: str | None = None
) -> PromotionRow:
    """Raises NotFound, also for what is no id and for promotions of other projects and names, and NameChanged."""
    id, project_id = as_uuid(promotion_id), context.project_id
    async with context.services.pool.connection() as conn:
        row = None if id is None else await promotions.find(conn, project_id, id)
        if row is not None and kind in (None, row.kind) and name in (None, row.name):
            return row
        if kind is not None and name is not None and await names.holder(conn, project_id, kind, name) is None:
            raise await missing(conn, project_id, kind, name)
    raise NotFound("There is no such promotion here.")


async def set_policy(context: RequestContext, label: str, data: SetPolicy) -> tuple[int, bool]:
    """Put a policy in place: the position of the last event of the policies, and whether the label had one. Raises Invalid."""
    if data.protected is UNSET and not data.approvals:
        raise Invalid("Say whether the label is protected.", code="required", attr="protected")
    known = False

    def decide(current: LabelPolicies) -> None:
        nonlocal known
        known = current.set(label, protected=data.protected is True, approvals=data.approvals)

    position = await context.services.commands.change_policies(await caller_of(context), decide)
    return position, known


async def begin_mirror(context: RequestContext, source: str) -> tuple[int, bool]:
    """Make the project a mirror that the key of the request writes to: the position of the last event, and whether it was one."""
    caller, known = await caller_of(context), False

    def decide(current: Mirror) -> None:
        nonlocal known
        known = current.begin(source, caller.key_id)

    position = await context.services.commands.change_mirror(caller, decide)
    return position, known


async def end_mirror(context: RequestContext) -> int:
    """The position of the event. Raises NotFound."""
    return await context.services.commands.change_mirror(await caller_of(context), Mirror.end)


async def remove_policy(context: RequestContext, label: str) -> int:
    """The position of the last event of the policies. Raises NotFound."""
    return await context.services.commands.change_policies(
        await caller_of(context), lambda current: current.remove(label)
    )
