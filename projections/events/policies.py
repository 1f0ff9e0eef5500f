"""The label policies of a project, read from their stream: it is short, so there is no table of them."""

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

import msgspec

from domain.artifacts import mirrors, policies
from domain.artifacts.policies import (
    MAX_APPROVALS,
    LabelPolicies,
    LabelPolicyEvent,
    LabelPolicySet,
    stream_of,
)
from projections.encoding import timestamp
from projections.events.history import people_of
from store.log.log import Recorded, read_stream
from store.log.mapper import decode
from store.postgres.connection import Connection


class PolicyRow(msgspec.Struct, frozen=True):
    """A policy, and by whom and when it was put in place. ``position`` is that of the event that did."""

    label: str
    protected: bool
    approvals: int
    updated_by: int | None
    updated_at: datetime
    position: int


def subject_of(recorded: Recorded, kind: str | None, name: str | None) -> tuple[str | None, str | None]:
    """What an event is about: ``kind`` and ``name`` of its artifact, the label of a policy, or the number of the project that is a mirror."""
    if kind is None and recorded.topic in policies.TOPICS:
        event = decode(recorded.topic, recorded.state)
        assert isinstance(event, LabelPolicyEvent)
        return policies.KIND, event.label
    if kind is None and recorded.topic in mirrors.TOPICS:
        return mirrors.KIND, str(recorded.project_id)
    return kind, name


async def at(conn: Connection, project_id: int, position: int | None = None) -> list[PolicyRow]:
    """The policies by label, now or when the log ended at a position."""
    rows: dict[str, PolicyRow] = {}
    async with aclosing(read_stream(conn, stream_of(project_id))) as batches:
        async for batch in batches:
            for recorded in batch:
                if position is not None and recorded.position > position:
                    break
                event = decode(recorded.topic, recorded.state)
                assert isinstance(event, LabelPolicyEvent)
                rows.pop(event.label, None)
                if isinstance(event, LabelPolicySet):
                    rows[event.label] = PolicyRow(
                        event.label,
                        event.protected,
                        event.approvals,
                        recorded.actor_id,
                        recorded.recorded_at,
                        recorded.position,
                    )
    return [rows[label] for label in sorted(rows)]


class RequiredApprovals:
    """How many approvals a move of each label took, at any position of the log."""

    def __init__(self) -> None:
        self._since: dict[str, list[tuple[int, int]]] = {}

    def add(self, label: str, position: int, approvals: int) -> None:
        """From ``position`` on; in the order of the log."""
        self._since.setdefault(label, []).append((position, approvals))

    def of(self, label: str, position: int | None) -> int:
        """At a position; None is now."""
        known = self._since.get(label, [])
        place = len(known) if position is None else bisect_right(known, (position, MAX_APPROVALS))
        return known[place - 1][1] if place else 0


async def required_approvals(conn: Connection, project_id: int) -> RequiredApprovals:
    required = RequiredApprovals()
    async with aclosing(read_stream(conn, stream_of(project_id))) as batches:
        async for batch in batches:
            for recorded in batch:
                event = decode(recorded.topic, recorded.state)
                assert isinstance(event, LabelPolicyEvent)
                approvals = event.approvals if isinstance(event, LabelPolicySet) else 0
                required.add(event.label, recorded.position, approvals)
    return required


async def load(
    conn: Connection, project_id: int, known: tuple[LabelPolicies, int] | None = None
) -> tuple[LabelPolicies, int]:
    """The policies, and the position of their last event (0: none), as the log has them; ``known`` is what was loaded before.

    The last event that is known is read once more: it is not in a log that went back.
    """
    state, position = known or (LabelPolicies.of_project(project_id), 0)
    state, seen = state.fork(), state.version
    last = 0
    async with aclosing(read_stream(conn, state.id, after=max(0, seen - 1))) as batches:
        async for batch in batches:
            for recorded in batch:
                if recorded.stream_version > seen:
                    state.evolve(decode(recorded.topic, recorded.state))
                elif recorded.position != position:
                    return await load(conn, project_id)
                last = recorded.position
    if seen and not last:
        return await load(conn, project_id)
    return state, last


async def rows_json(conn: Connection, rows: Sequence[PolicyRow]) -> list[bytes]:
    """``{label, protected, approvals, updated_by, updated_at}`` of each."""
    people = await people_of(conn, {row.updated_by for row in rows if row.updated_by is not None})
    return [_json(row, people.get(row.updated_by or 0, b"null")) for row in rows]


def _json(row: PolicyRow, person: bytes) -> bytes:
    fields: dict[str, Any] = {
        "label": row.label,
        "protected": row.protected,
        "approvals": row.approvals,
        "updated_by": msgspec.Raw(person),
        "updated_at": timestamp(row.updated_at),
    }
    return msgspec.json.encode(fields)
