"""Owners: the users who answer for an artifact. They belong to its stream, not to one of its versions."""

from collections.abc import Iterable

from domain.errors import Invalid
from domain.events import Event

MAX_OWNERS = 25  # of one artifact; each answer shows all of them


class OwnersSet(Event, frozen=True, kw_only=True):
    """``owners`` are the ids of users from here on, all of them."""

    owners: tuple[int, ...]


def checked_owners(owners: Iterable[int]) -> tuple[int, ...]:
    """Without doubles, in their order. Raises Invalid when they are too many."""
    found = tuple(dict.fromkeys(owners))
    if len(found) > MAX_OWNERS:
        raise Invalid(
            f"There are at most {MAX_OWNERS} owners; these are {len(found)}.",
            code="max_length",
            attr="owners",
        )
    return found
