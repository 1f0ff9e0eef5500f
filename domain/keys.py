"""API keys: what they may do, and the events of their streams. Ids only: names and mail never enter the log."""

import re
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import ClassVar

from domain.artifacts import policies
from domain.artifacts.kinds import KINDS
from domain.errors import Invalid
from domain.events import Event, event

# Only what can be checked without sending a mail: one @, something on both sides, no white space or control character.
EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
MAX_EMAIL_LENGTH = 254  # what a mail server has to accept
MAX_LABEL_LENGTH = 200  # one line of a list: names of projects, people and keys

EVERYTHING = "*"

# Scopes that can be given to a key, each with what it opens.
SCOPES = {
    **{
        f"{kind.SCOPE}:{action}": opens
        for kind in KINDS.values()
        for action, opens in (
            ("read", f"Read {kind.READS}."),
            ("write", f"Create, publish and archive {kind.KIND}s; includes reading."),
            (
                "promote",
                f"Move protected labels of {kind.KIND}s, and approve promotions; no part of writing.",
            ),
        )
    },
    policies.SCOPE: "Say which labels of a project are protected; make and revoke its keys in the console.",
    "event:read": "Follow the log of events.",
    "webhook:read": "Read webhooks and their deliveries.",
    "webhook:write": "Create, change and delete webhooks; includes reading.",
    "user:write": "Change the name, role and current project of the key's own user.",
    "usage:read": "See which versions are read, by whom and how often.",
    EVERYTHING: "All of the above, and what is added later.",
}


@event
class KeyCreated(Event, frozen=True, kw_only=True):
    """A key was given to a user. ``project_ids`` is None for every project, ``expires_at`` None for never."""

    TOPIC: ClassVar[str] = "key.created"

    user_id: int
    scopes: tuple[str, ...]
    project_ids: tuple[int, ...] | None = None
    expires_at: datetime | None = None


@event
class KeyRevoked(Event, frozen=True, kw_only=True):
    """The key opens nothing any more."""

    TOPIC: ClassVar[str] = "key.revoked"


@event
class UserErased(Event, frozen=True, kw_only=True):
    """The personal data of a user is erased; copies of it must be dropped. The stream is the user's UUID."""

    TOPIC: ClassVar[str] = "user.erased"

    user_id: int


@event
class UserChanged(Event, frozen=True, kw_only=True):
    """What is shown of a user has changed; copies of it must be dropped. Each has a stream of its own."""

    TOPIC: ClassVar[str] = "user.changed"

    user_id: int


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes without repetition, in the order given. Raises Invalid for none at all and for an unknown one."""
    wanted = tuple(dict.fromkeys(scopes))
    if not wanted:
        raise Invalid("A key needs at least one scope.", code="required", attr="scopes")
    for scope in wanted:
        if scope not in SCOPES:
            raise Invalid(f"Unknown scope '{scope}'; known are {', '.join(SCOPES)}.", attr="scopes")
    return wanted


def allows(scopes: Collection[str], required: str) -> bool:
    """Whether a key with ``scopes`` may do what needs ``required``: write includes read, ``*`` is everything."""
    if required in scopes or EVERYTHING in scopes:
        return True
    resource, _, action = required.partition(":")
    return action == "read" and f"{resource}:write" in scopes


def may_give(scopes: Collection[str], scope: str) -> bool:
    """Whether a key with ``scopes`` may make one with ``scope``: no more than it may do itself."""
    return scope in SCOPES and allows(scopes, scope)


def check_email(email: str) -> str:
    """The trimmed address. Raises Invalid when it cannot be one."""
    email = email.strip()
    if len(email) > MAX_EMAIL_LENGTH or not EMAIL.fullmatch(email) or not email.isprintable():
        raise Invalid("Enter a mail address such as ada@example.com.", attr="email")
    return email


def check_label(text: str, attr: str, *, blank: bool = False) -> str:
    """A trimmed line of at most ``MAX_LABEL_LENGTH`` characters. Raises Invalid that blames ``attr``."""
    text = text.strip()
    if not text and not blank:
        raise Invalid("This may not be blank.", code="blank", attr=attr)
    if len(text) > MAX_LABEL_LENGTH:
        raise Invalid(f"Use at most {MAX_LABEL_LENGTH} characters.", code="max_length", attr=attr)
    if not text.isprintable():
        raise Invalid("Use one line of printable characters.", attr=attr)
    return text
