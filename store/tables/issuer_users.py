"""People who sign in at an OpenID Connect issuer: each is a user, with one key that the sessions of the console stand on.

The secret of that key is thrown away, so only sessions can use it. Other scopes than before are another key: what stood on the old
one ends with it.
"""

import hashlib
from collections.abc import Sequence
from uuid import UUID, uuid4

import msgspec
from psycopg.errors import UniqueViolation

from domain.errors import PermissionDenied
from domain.keys import MAX_LABEL_LENGTH, KeyRevoked, check_email
from store.log.log import Commit, append
from store.log.mapper import to_stored
from store.log.statements import SetStatement, arrays
from store.postgres.connection import Connection
from store.tables import identity

# Tries to go on from what another sign-in of the same person has done meanwhile.
MAX_TRIES = 5

# issuer_users_pkey, users_pkey, keys_pkey
FIND = """
SELECT users.id, keys.id, scopes, project_ids,
       keys.id IS NOT NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
FROM issuer_users JOIN users ON users.id = issuer_users.user_id LEFT JOIN keys ON keys.id = key_id
WHERE subject = %s AND erased_at IS NULL
"""

# issuer_users_pkey, users_email. A row that is there already is that of an erased user.
INSERT = """
WITH made AS (
    INSERT INTO users (uuid, distinct_id, email, first_name, last_name, is_email_verified, current_project_id)
    VALUES (%(uuid)s, %(uuid)s::text, %(email)s, %(first_name)s, %(last_name)s, %(is_verified)s, (SELECT min(id) FROM projects))
    RETURNING id
)
INSERT INTO issuer_users (subject, user_id) SELECT %(subject)s, id FROM made
ON CONFLICT (subject) DO UPDATE SET user_id = excluded.user_id, key_id = NULL
"""

# The same for a user that is there.
LINK = """
INSERT INTO issuer_users (subject, user_id)
SELECT %(subject)s, id FROM users WHERE lower(email) = lower(%(email)s) AND erased_at IS NULL
ON CONFLICT (subject) DO UPDATE SET user_id = excluded.user_id, key_id = NULL
"""

# issuer_users_pkey. With the next statement it changes a row only as long as that has the key it had.
RELEASED = SetStatement(
    "issuer_users.release",
    32,
    f"""
    DELETE FROM issuer_users USING {arrays("subject bytea, key_id uuid")} AS old
    WHERE issuer_users.subject = old.subject AND issuer_users.key_id IS NOT DISTINCT FROM old.key_id
    """,
)

# A row that another sign-in has put there meanwhile breaks the key of the table.
HELD = SetStatement(
    "issuer_users.hold",
    33,
    f"""
    INSERT INTO issuer_users (subject, user_id, key_id)
    SELECT subject, user_id, key_id FROM {arrays("subject bytea, user_id bigint, key_id uuid")} AS new
    """,
)


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an issuer says that a browser is of; ``is_verified``: so is the mail address."""

    issuer: str
    subject: str
    email: str
    is_verified: bool
    first_name: str
    last_name: str

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(f"{self.issuer}\n{self.subject}".encode()).digest()


class Held(msgspec.Struct, frozen=True):
    """The user, and the key if there is one. ``is_live``: it opens something now."""

    user_id: int
    key_id: UUID | None
    scopes: Sequence[str] | None
    project_ids: Sequence[int] | None
    is_live: bool

    def may(self, scopes: Sequence[str], project_ids: Sequence[int] | None) -> bool:
        """Whether the key opens this, and no more."""
        return (
            self.is_live
            and set(self.scopes or ()) == set(scopes)
            and (None if self.project_ids is None else set(self.project_ids))
            == (None if project_ids is None else set(project_ids))
        )


async def sign_in(
    conn: Connection,
    person: Person,
    *,
    scopes: Sequence[str],
    project_ids: Sequence[int] | None,
    label: str,
) -> UUID:
    """The key for sessions of the person: a new one when the last may do something else or has ended.

    Raises Invalid for what is no mail address, and PermissionDenied when it is that of another user.
    """
    for _ in range(MAX_TRIES):
        held = await _find(conn, person)
        if held is None:
            await _add(conn, person)
            continue
        if held.key_id is not None and held.may(scopes, project_ids):
            return held.key_id
        try:
            return await _replace(conn, person, held, scopes, project_ids, label)
        except UniqueViolation:
            # Another sign-in, or a revocation, was first.
            continue
    raise PermissionDenied("You are signing in several times at once; try again.")


async def end(conn: Connection, person: Person) -> None:
    """The person may do nothing any more: the key ends, and with it the sessions."""
    held = await _find(conn, person)
    if held is not None and held.key_id is not None and held.is_live:
        await identity.revoke_key(conn, held.key_id, actor_id=held.user_id)


async def _find(conn: Connection, person: Person) -> Held | None:
    row = await (await conn.execute(FIND, (person.digest,), binary=True)).fetchone()
    return None if row is None else Held(*row)


async def _add(conn: Connection, person: Person) -> None:
    values = {
        "uuid": uuid4(),
        "subject": person.digest,
        "email": check_email(person.email),
        "first_name": person.first_name,
        "last_name": person.last_name,
        "is_verified": person.is_verified,
    }
    try:
        await conn.execute(INSERT, values)
    except UniqueViolation:
        # The same person in another window, or one who has been a user before there was an issuer.
        if await _find(conn, person) is not None:
            return
        if not person.is_verified:
            raise PermissionDenied(
                f"There is a user with the address {values['email']} already, and the issuer does not say that this address is "
                "yours."
            ) from None
        await conn.execute(LINK, {"subject": values["subject"], "email": values["email"]})


async def _replace(
    conn: Connection,
    person: Person,
    held: Held,
    scopes: Sequence[str],
    project_ids: Sequence[int] | None,
    label: str,
) -> UUID:
    made = identity.draft(
        held.user_id,
        scopes=tuple(scopes),
        project_ids=None if project_ids is None else tuple(project_ids),
        label=label[:MAX_LABEL_LENGTH],
    )
    new = made.event.originator_id
    events = [to_stored(made.event)]
    writes = {
        **made.writes,
        RELEASED: [(person.digest, held.key_id)],
        HELD: [(person.digest, held.user_id, new)],
    }
    if held.is_live and held.key_id is not None:
        events.insert(0, to_stored(KeyRevoked(originator_id=held.key_id, originator_version=2)))
        writes[identity.REVOKE_KEYS] = [(held.key_id, 2)]
    commit = Commit(events=tuple(events), command_id=uuid4(), actor_id=held.user_id, writes=writes)
    await append(conn, [commit])
    return new
