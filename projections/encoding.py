"""Small pieces of JSON that all representations share: people, times, entity tags."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec

encode = msgspec.json.encode

AUTHOR = """users.id, users.uuid, users.distinct_id, users.first_name, users.last_name, users.email,
            users.is_email_verified, users.role_at_organization"""

# Counts the shapes in which versions are stored and answered: raise it with every change of them, such as a new field. Versions
# of an older number are rendered anew by the replay that a migration ends with, and Redis holds each number's values apart.
RENDERING = 3

# An erased user is shown as null.
JOIN_AUTHOR = "LEFT JOIN users ON users.erased_at IS NULL AND users.id ="


ETAG_BYTES = 16  # 128 bits: two representations never share one by chance


class Author(msgspec.Struct, frozen=True):
    """A user as answers show one."""

    id: int
    uuid: UUID
    distinct_id: str
    first_name: str
    last_name: str
    email: str
    is_email_verified: bool
    hedgehog_config: dict[str, Any] | None
    role_at_organization: str


def author(columns: Sequence[Any]) -> bytes:
    """The ``created_by`` of a row that ends in the AUTHOR columns, encoded; ``null`` for an erased user."""
    id, uuid, distinct_id, first_name, last_name, email, verified, role = columns
    if id is None:
        return b"null"
    return encode(Author(id, uuid, distinct_id, first_name, last_name, email, verified, None, role))


# Of the owners that a row ``{stream}`` has, or had where ``{held}`` says so; read by ``owners``. owners_pkey, users_pkey
OWNERS = """(
    SELECT convert_to(json_agg(json_build_object(
        'id', users.id, 'uuid', users.uuid, 'distinct_id', users.distinct_id, 'first_name', users.first_name,
        'last_name', users.last_name, 'email', users.email, 'is_email_verified', users.is_email_verified,
        'hedgehog_config', NULL, 'role_at_organization', users.role_at_organization) ORDER BY owners.place)::text, 'UTF8')
    FROM owners JOIN users ON users.id = owners.user_id AND users.erased_at IS NULL
    WHERE owners.stream_id = {stream} AND {held})"""

_authors = msgspec.json.Decoder(list[Author])

# Why, by whom and when a version was yanked, where ``{held}`` says that it is or was; read by ``yanked``. yanks_pkey, users_pkey
YANKED = """(
    SELECT convert_to(json_build_object('reason', reason, 'by', CASE WHEN users.id IS NOT NULL THEN json_build_object(
        'id', users.id, 'uuid', users.uuid, 'distinct_id', users.distinct_id, 'first_name', users.first_name,
        'last_name', users.last_name, 'email', users.email, 'is_email_verified', users.is_email_verified,
        'hedgehog_config', NULL, 'role_at_organization', users.role_at_organization) END, 'at', yanked_at)::text, 'UTF8')
    FROM yanks LEFT JOIN users ON users.id = yanks.yanked_by AND users.erased_at IS NULL
    WHERE yanks.stream_id = versions.stream_id AND yanks.number = versions.number AND {held})"""

NOT_YANKED = b"null"


class Yanked(msgspec.Struct, frozen=True):
    """As answers show it; ``by`` is null for an erased user."""

    reason: str
    by: Author | None
    at: datetime


_yanks = msgspec.json.Decoder(Yanked)


@lru_cache(1024)
def owners(column: bytes | None) -> bytes:
    """The ``owners`` of an answer out of the column OWNERS: users as everywhere, erased ones left out. Most rows of a list have the same."""
    return b"[]" if column is None else encode(_authors.decode(column))


def yanked(column: bytes | None) -> bytes:
    """The ``yanked`` of an answer out of the column YANKED."""
    if column is None:
        return NOT_YANKED
    found = _yanks.decode(column)
    return encode({"reason": found.reason, "by": found.by, "at": timestamp(found.at)})


def etag_of(body: bytes) -> bytes:
    """The strong entity tag of a representation, quotes included."""
    return b'"%b"' % blake2b(body, digest_size=ETAG_BYTES).hexdigest().encode()


@lru_cache(4096)
def timestamp(at: datetime) -> str:
    """ISO 8601 in UTC with microseconds and ``Z``. Those of one batch of appends, and of first versions, come again."""
    # A tenth of what strftime costs.
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
