"""What may be done with a promotion, and by whom: the decisions; ``promotions`` has their events and what these come to."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from domain.artifacts.promotions import MAX_OPEN, Promotion, PromotionEvent
from domain.artifacts.versioned import Versioned
from domain.errors import Conflict, Invalid, PermissionDenied


class Decided(Conflict):
    """The promotion is not open any more; ``code`` is its status."""

    code = "decided"

    def __init__(self, status: str = "decided") -> None:
        detail = (
            "The label has been moved since the promotion was requested, or what has it was archived; request another one."
            if status == "outdated"
            else f"The promotion is {status} already; request another one."
        )
        super().__init__(detail, code=status)


def request(artifact: Versioned, id: UUID, label: str, number: int, *, by: int, note: str = "") -> None:
    """Propose a version for the label. Raises VersionNotFound, Invalid, and Conflict when it points there already."""
    try:
        artifact.check_label(label, number)
    except Invalid as error:
        error.attr = "label"
        raise
    current = artifact.labels.get(label)
    if current == number:
        raise Conflict(
            f"The label '{label}' points to version {number} already; request another version.",
            code="already_there",
            attr="version",
        )
    if len(artifact.promotions) >= MAX_OPEN:
        raise Invalid(
            f"A {artifact.KIND} has at most {MAX_OPEN} open promotions; decide or withdraw some first.",
            code="max_length",
        )
    _trigger(
        artifact,
        artifact.PROMOTION.requested,
        id,
        label=label,
        number=number,
        requested_by=by,
        from_number=current,
        note=note,
    )


def approve(artifact: Versioned, id: UUID, *, by: int, required: int, comment: str = "") -> None:
    """One approval more; the label moves with the last one that is ``required``. The same person again changes nothing.

    Raises PermissionDenied for the requester, and Decided.
    """
    promotion = _open(artifact, id)
    if by == promotion.requested_by:
        raise own_promotion()
    if by in promotion.approved_by:
        return
    _trigger(artifact, artifact.PROMOTION.approved, id, approved_by=by, required=required, comment=comment)
    if len(promotion.approved_by) + 1 >= required:
        artifact.set_label(promotion.label, promotion.number, promotion_id=id)


def reject(artifact: Versioned, id: UUID, *, by: int, comment: str = "") -> None:
    """End it without a move. Raises Decided."""
    _open(artifact, id)
    _trigger(artifact, artifact.PROMOTION.rejected, id, rejected_by=by, comment=comment)


def withdraw(artifact: Versioned, id: UUID, *, by: int) -> None:
    """Take it back. Raises PermissionDenied for others than the requester, and Decided."""
    if _open(artifact, id).requested_by != by:
        raise not_requester()
    _trigger(artifact, artifact.PROMOTION.withdrawn, id)


def _trigger(artifact: Versioned, event: Callable[..., PromotionEvent], id: UUID, **fields: Any) -> None:
    artifact.trigger(
        event(originator_id=artifact.id, originator_version=artifact.version + 1, promotion_id=id, **fields)
    )


def own_promotion() -> PermissionDenied:
    return PermissionDenied(
        "This promotion was requested by the same person; another one has to approve it.",
        code="own_promotion",
    )


def not_requester() -> PermissionDenied:
    return PermissionDenied(
        "A promotion is withdrawn by the person who requested it alone; others reject it."
    )


def _open(artifact: Versioned, id: UUID) -> Promotion:
    """Raises Decided. Which way it was decided is for the read models to say."""
    promotion = artifact.promotions.get(id)
    if promotion is None:
        raise Decided
    return promotion
