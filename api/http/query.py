"""Query strings, parsed by ourselves: the last of several values counts, an empty one is as good as absent."""

import re
from collections.abc import Collection
from datetime import datetime
from urllib.parse import unquote_to_bytes

from domain.errors import Invalid

MAX_BIGINT = 2**63 - 1
MIN_BIGINT = -(2**63)
MAX_TEXT = 1000  # characters of a parameter, unless it says otherwise; longer than anything that a name or text is found by
MAX_QUERY = 16_384  # bytes of a query string, more than all parameters of a route at their longest
INTEGER = re.compile(r"-?[0-9]+")
MAX_DIGITS = 30  # beyond any number that means something here, below any that costs time to read


def parse_query(query_string: bytes) -> dict[str, str]:
    """The parameters that have a value. Bytes that are no UTF-8 become U+FFFD. Raises Invalid for a NUL, and for too much."""
    values: dict[str, str] = {}
    if not query_string:
        return values
    if len(query_string) > MAX_QUERY:
        raise Invalid(f"A query has at most {MAX_QUERY:,} bytes; send a shorter one.", code="max_length")
    for part in query_string.split(b"&"):
        name, _, value = part.partition(b"=")
        key = _text(name)
        text = _text(value)
        if "\0" in text or "\0" in key:
            raise Invalid(
                "Null characters are not allowed.",
                code="null_characters_not_allowed",
                attr=None if "\0" in key else key,
            )
        # An empty value also takes back one that was given before.
        values[key] = text
    return {key: text for key, text in values.items() if text}


def _text(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    return raw.decode("utf-8", "replace")


class Query:
    """The query of one request; the methods say what a known parameter may be and raise Invalid that names it."""

    __slots__ = ("values",)

    def __init__(self, query_string: bytes) -> None:
        self.values = parse_query(query_string)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, *, max_length: int = MAX_TEXT, trim: bool = True) -> str | None:
        """A text without white space around it; None when nothing is left."""
        value = self.values.get(name, "")
        if trim:
            value = value.strip()
        if len(value) > max_length:
            raise Invalid(f"Use at most {max_length} characters.", code="max_length", attr=name)
        return value or None

    def integer(
        self, name: str, *, minimum: int | None = None, maximum: int = MAX_BIGINT, cut: bool = False
    ) -> int | None:
        """A plain decimal number; None when absent.

        ``cut``: what is above ``maximum`` becomes it instead of an error, and so does what no database holds below zero.
        """
        value = self.values.get(name)
        if value is None:
            return None
        if not INTEGER.fullmatch(value):
            raise Invalid("This must be a whole number.", attr=name)
        number = int(value) if len(value) <= MAX_DIGITS else 10**MAX_DIGITS * (-1 if value[0] == "-" else 1)
        if minimum is not None and number < minimum:
            raise Invalid(f"This must be {minimum} or more.", code="min_value", attr=name)
        if number < MIN_BIGINT:
            if not cut:
                raise Invalid(f"This must be {MIN_BIGINT} or more.", code="min_value", attr=name)
            number = MIN_BIGINT
        if number > maximum:
            if cut:
                return maximum
            raise Invalid(f"This must be {maximum} or less.", code="max_value", attr=name)
        return number

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """One of ``choices``, exactly as written there; None when absent."""
        value = self.values.get(name)
        if value is not None and value not in choices:
            raise Invalid(f"This must be one of {', '.join(choices)}.", attr=name)
        return value


# What a flag in the query may be.
BOOLEANS = ("true", "false")

INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
RAW_PLUS = re.compile(r"(.*[0-9]) ([0-9]{2}:[0-9]{2})")


def parse_instant(text: str, attr: str = "as_of", *, date: bool = True) -> datetime:
    """An RFC 3339 instant; a date alone, if ``date``, is the start of that day in UTC. Raises Invalid that blames ``attr``."""
    if date and DATE.fullmatch(text):
        text += "T00:00:00Z"
    elif (blank := RAW_PLUS.fullmatch(text)) and INSTANT.fullmatch("+".join(blank.groups())):
        raise Invalid(
            f"A plus sign in an address means a blank; write %2B for it: {blank[1]}%2B{blank[2]}.", attr=attr
        )
    try:
        instant = datetime.fromisoformat(text.upper())
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None or not INSTANT.fullmatch(text):
        or_date = ", or a date" if date else ""
        raise Invalid(f"This must be an RFC 3339 instant, such as 2026-03-03T09:30:00Z{or_date}.", attr=attr)
    return instant
