"""How values look on pages: times, sizes, people, texts of others."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from markupsafe import Markup

from console.text.visible import visible
from projections.encoding import Author
from store.tables.identity import User

# Seconds of each step, its unit, and up to which it counts.
STEPS = ((60, "second", 1), (3600, "minute", 60), (86_400, "hour", 3600), (30 * 86_400, "day", 86_400))
BYTES = 1000.0

_author = msgspec.json.Decoder(Author | None)


def when(at: datetime | str | None) -> Markup:
    """A time as how long ago it was; the exact one on hover."""
    if at is None:
        return Markup("–")
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    exact = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.astimezone(UTC).isoformat(), exact, ago(at, datetime.now(UTC))
    )


def exact(at: datetime | str | None) -> str:
    if at is None:
        return "–"
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(at: datetime, now: datetime) -> str:
    """In words; a date when it is over a month ago, and "in …" for what is to come."""
    seconds = (now - at).total_seconds()
    span = abs(seconds)
    if span < 10:
        return "just now"
    for limit, unit, one in STEPS:
        if span < limit:
            count = int(span // one)
            words = f"{count} {unit}{'s' if count != 1 else ''}"
            return f"{words} ago" if seconds >= 0 else f"in {words}"
    return at.astimezone(UTC).strftime("%-d %b %Y")


def size(count: int) -> str:
    """Bytes in the largest unit that leaves a number above 1."""
    if count < BYTES:
        return f"{count} B"
    value, unit = float(count), "B"
    for unit in ("kB", "MB", "GB"):  # noqa: B007
        value /= BYTES
        if value < BYTES:
            break
    return f"{value:.1f} {unit}"


def person(user: User | Author | None) -> str:
    """The name of a person, else the mail address; of an erased one neither."""
    if user is None:
        return "erased user"
    return f"{user.first_name} {user.last_name}".strip() or user.email


def author(data: bytes) -> Author | None:
    """The person that a read model has encoded."""
    found: Author | None = _author.decode(data)
    return found


def by(data: bytes | msgspec.Raw) -> Markup:
    """The same by name, with the mail address on hover."""
    found = _author.decode(data)
    if found is None:
        return Markup('<span class="quiet">erased user</span>')
    return Markup('<span class="person" title="{}"><bdi>{}</bdi></span>').format(
        found.email, visible(person(found))
    )


class Yanked(msgspec.Struct, frozen=True):
    """Why a version should not be used any more, and who said so when."""

    reason: str
    by: msgspec.Raw
    at: str


_yanked = msgspec.json.Decoder(Yanked | None)


def said(data: bytes) -> Yanked | None:
    """The ``yanked`` of a version that a read model has encoded."""
    found: Yanked | None = _yanked.decode(data)
    return found


def number(count: int) -> str:
    return f"{count:,}"


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "when": when,
    "exact": exact,
    "size": size,
    "by": by,
    "author": author,
    "person": person,
    "said": said,
    "visible": visible,
    "number": number,
    "plural": plural,
}
