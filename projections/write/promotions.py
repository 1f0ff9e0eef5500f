"""Promotions and their approvals: the tables ``promotions`` and ``promotion_approvals``.

The statements run once for all events of a batch, in their order; positions say what came before what.
"""

from uuid import UUID

from domain.artifacts.labels import LabelRemoved, LabelSet
from domain.artifacts.promotions import (
    PromotionApproved,
    PromotionEvent,
    PromotionRejected,
    PromotionRequested,
)
from store.log.statements import Row, SetStatement, arrays

REQUESTED = SetStatement(
    "promotions.request",
    91,
    f"""
    INSERT INTO promotions (id, stream_id, project_id, kind, label, number, from_number, note, requested_by, requested_at,
                            requested_position, status)
    SELECT id, new.stream_id, new.project_id, kind, label, number, from_number, note, requested_by, recorded_at, position, 'open'
    FROM {
        arrays(
            "id uuid, stream_id uuid, stream_version int, project_id bigint, kind text, label text, number int, "
            "from_number int, note text, requested_by bigint"
        )
    } AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    """,
)

APPROVED = SetStatement(
    "promotion_approvals.add",
    92,
    f"""
    INSERT INTO promotion_approvals (promotion_id, position, approved_by, approved_at, comment)
    SELECT id, position, approved_by, recorded_at, comment
    FROM {arrays("id uuid, stream_id uuid, stream_version int, approved_by bigint, comment text")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    """,
)

DECIDED = SetStatement(
    "promotions.decide",
    93,
    f"""
    UPDATE promotions SET status = new.status, decided_at = recorded_at, decided_position = position
    FROM {arrays("id uuid, stream_id uuid, stream_version int, status text")} AS new
    JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
    WHERE promotions.id = new.id
    """,
)

# promotions_open. Behind the others, so those that a move has promoted are not open any more. Of several moves the first counts.
OUTDATED = SetStatement(
    "promotions.outdate",
    94,
    f"""
    UPDATE promotions SET status = 'outdated', decided_at = ended.at, decided_position = ended.position
    FROM (
        SELECT open.id, min(position) AS position, min(recorded_at) AS at
        FROM {arrays("stream_id uuid, stream_version int, label text")} AS new
        JOIN events ON events.stream_id = new.stream_id AND events.stream_version = new.stream_version
        JOIN promotions AS open ON open.stream_id = new.stream_id AND open.status = 'open'
                               AND open.label = coalesce(new.label, open.label) AND open.requested_position < position
        GROUP BY open.id
    ) AS ended
    WHERE promotions.id = ended.id
    """,
)

STATEMENTS = (REQUESTED, APPROVED, DECIDED, OUTDATED)


class Promotions:
    """The rows that events of promotions, moves of labels and archives bring."""

    def __init__(self) -> None:
        self._requested: list[Row] = []
        self._approved: list[Row] = []
        self._decided: list[Row] = []
        self._outdated: list[Row] = []

    def follow(self, event: PromotionEvent, project_id: int, kind: str) -> None:
        at = (event.promotion_id, event.originator_id, event.originator_version)
        if isinstance(event, PromotionRequested):
            row = (event.label, event.number, event.from_number, event.note, event.requested_by)
            self._requested.append((*at, project_id, kind, *row))
        elif isinstance(event, PromotionApproved):
            self._approved.append((*at, event.approved_by, event.comment))
        else:
            self._decided.append((*at, "rejected" if isinstance(event, PromotionRejected) else "withdrawn"))

    def moved(self, event: LabelSet | LabelRemoved) -> None:
        """A move promotes the one that it came by, and outdates the others of its label."""
        stream, version = event.originator_id, event.originator_version
        if isinstance(event, LabelSet) and event.promotion_id is not None:
            self._decided.append((event.promotion_id, stream, version, "promoted"))
        self._outdated.append((stream, version, event.label))

    def end_all(self, stream: UUID, version: int) -> None:
        """The archive of a stream."""
        self._outdated.append((stream, version, None))

    def rows(self) -> dict[SetStatement, list[Row]]:
        return {
            REQUESTED: self._requested,
            APPROVED: self._approved,
            DECIDED: self._decided,
            OUTDATED: self._outdated,
        }
