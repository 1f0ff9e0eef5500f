"""The first line of an imported version's description: who published it there, and when.

It is all that an import remembers. The next one finds by the time how far the last one came, in the target itself.
"""

import re
from datetime import UTC, datetime

from domain.artifacts.versioned import MAX_VERSION_DESCRIPTION

MAX_NAME = 80  # characters of a name, and of an address, so that the time always has room
MAX_TIME = 40  # characters
NOBODY = "unknown"

HEADER = re.compile(r"imported: [^,\n]*, ([0-9TZ:.-]{1,40}|version [0-9]{1,18})(?=\n|$)")
UTC_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z")
UNWANTED = re.compile(r"[\s,<>\x00-\x1f\x7f-\x9f]+")
SURROGATES = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def describe(author: str, mail: str, time: str, note: str) -> str:
    """``imported: NAME <MAIL>, TIME``, the note of the author below, as far as there is room."""
    name, address = _one(author), _one(mail).replace(" ", "")
    who = " ".join(
        part for part in (name or (NOBODY if not address else ""), address and f"<{address}>") if part
    )
    said = SURROGATES.sub(REPLACEMENT, note).replace("\0", "").strip()
    text = f"imported: {who}, {time}\n{said}"
    return text[:MAX_VERSION_DESCRIPTION].strip()


def time_of(description: str) -> str | None:
    """When the version was published where it comes from; None for one that was not imported."""
    found = HEADER.match(description)
    return found[1] if found else None


def instant(value: object, otherwise: str) -> str:
    """A time as the header has it, in UTC; ``version N`` for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return f"{datetime.fromtimestamp(value, UTC).replace(tzinfo=None).isoformat()}Z"
        except (ValueError, OverflowError, OSError):
            return f"version {otherwise}"
    if isinstance(value, str) and UTC_TIME.fullmatch(value):
        return value
    if isinstance(value, str) and len(value) <= MAX_TIME:
        try:
            at = datetime.fromisoformat(value)
            at = at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
        except (ValueError, OverflowError):
            return f"version {otherwise}"
        return f"{at.isoformat()}Z"
    return f"version {otherwise}"


def _one(text: str) -> str:
    return UNWANTED.sub(" ", SURROGATES.sub(REPLACEMENT, text)).strip()[:MAX_NAME].strip()
