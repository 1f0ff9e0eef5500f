"""Shares: secret addresses by which installers read the skills of one project, and the events of their streams.

Ids only, as with keys: neither the token nor the label, which people write, enters the log. The label that a share serves is
one of skills, which the log has anyway.
"""

from datetime import datetime, timedelta
from typing import ClassVar

from domain.errors import Invalid
from domain.events import Event, event
from domain.keys import MAX_LABEL_LENGTH
from domain.names import check_label as check_skill_label
from domain.names import check_line

MAX_EXPIRY = timedelta(days=36_500)  # a hundred years; beyond it, leave the expiry away
MAX_EXPIRY_SECONDS = int(MAX_EXPIRY.total_seconds())


@event
class ShareCreated(Event, frozen=True, kw_only=True):
    """The skills of a project can be read at a new address. ``expires_at`` is None for never.

    With ``serve_label`` they are the versions that this label points to.
    """

    TOPIC: ClassVar[str] = "share.created"

    project_id: int
    expires_at: datetime | None = None
    serve_label: str | None = None


@event
class ShareRevoked(Event, frozen=True, kw_only=True):
    """The address opens nothing any more."""

    TOPIC: ClassVar[str] = "share.revoked"

    project_id: int


def check_label(label: str) -> str:
    """The trimmed label. Raises Invalid."""
    label = label.strip()
    if len(label) > MAX_LABEL_LENGTH:
        raise Invalid(f"Use at most {MAX_LABEL_LENGTH} characters.", code="max_length")
    return check_line(label)


def check_serve_label(label: str) -> str:
    """The label of skills that a share serves. Raises Invalid."""
    try:
        return check_skill_label(label)
    except Invalid as error:
        raise error.within("serve_label") from None


def check_expiry(expires_in: timedelta | None) -> timedelta | None:
    """Raises Invalid unless it lies in the future, and near enough to be meant."""
    if expires_in is not None and not timedelta(0) < expires_in <= MAX_EXPIRY:
        raise Invalid("The expiry must lie in the future, at most 36,500 days ahead.", attr="expires_in")
    return expires_in
