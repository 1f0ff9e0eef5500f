"""Promotions: requests to move a label, which others approve. Their events stand in the stream of the artifact whose label it is.

So a move, an archive and two approvals at once are writers on one stream, of which one is first and the others look again.
"""

from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.artifacts.labels import LabelRemoved, LabelSet
from domain.events import Event

MAX_NOTE = 400  # characters, of a comment as well: what for, not a discussion
MAX_OPEN = 100  # of one artifact; each load of it holds them


class PromotionEvent(Event, frozen=True, kw_only=True):
    promotion_id: UUID


class PromotionRequested(PromotionEvent, frozen=True, kw_only=True):
    """Version ``number`` is proposed for a label that points to ``from_number`` (None: nowhere) now."""

    label: str
    number: int
    requested_by: int
    from_number: int | None = None
    note: str = ""


class PromotionApproved(PromotionEvent, frozen=True, kw_only=True):
    """One more has approved, when the policy of the label asked for ``required`` approvals. The last one moves the label as well."""

    approved_by: int
    required: int
    comment: str = ""


class PromotionRejected(PromotionEvent, frozen=True, kw_only=True):
    """The promotion has ended without a move."""

    rejected_by: int
    comment: str = ""


class PromotionWithdrawn(PromotionEvent, frozen=True, kw_only=True):
    """Its requester has taken it back."""


class PromotionEvents(NamedTuple):
    """Those of one kind."""

    requested: type[PromotionRequested]
    approved: type[PromotionApproved]
    rejected: type[PromotionRejected]
    withdrawn: type[PromotionWithdrawn]


class Promotion(msgspec.Struct, frozen=True):
    """One that is open: neither promoted, rejected, withdrawn nor outdated."""

    label: str
    number: int
    from_number: int | None
    requested_by: int
    approved_by: tuple[int, ...] = ()


Open = dict[UUID, Promotion]


def follow(promotions: Open, event: PromotionEvent) -> Open:
    """The open promotions after an event of one of them. Raises ValueError when it is not open."""
    if isinstance(event, PromotionRequested):
        made = Promotion(event.label, event.number, event.from_number, event.requested_by)
        return {**promotions, event.promotion_id: made}
    if event.promotion_id not in promotions:
        raise ValueError(f"{event.TOPIC} {event.originator_version}: the promotion is not open")
    if isinstance(event, PromotionApproved):
        before = promotions[event.promotion_id]
        after = msgspec.structs.replace(before, approved_by=(*before.approved_by, event.approved_by))
        return {**promotions, event.promotion_id: after}
    return {id: one for id, one in promotions.items() if id != event.promotion_id}


def moved(promotions: Open, event: LabelSet | LabelRemoved) -> Open:
    """The open promotions after a move of a label: those of that label are promoted or outdated by it."""
    if not promotions:
        return promotions
    return {id: one for id, one in promotions.items() if one.label != event.label}
