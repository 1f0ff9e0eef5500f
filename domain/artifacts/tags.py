"""Tags: short words that artifacts are found by. They belong to the stream, not to one of its versions, and end with its archive."""

from collections.abc import Sequence

from domain.errors import Invalid
from domain.events import Event

MAX_TAGS = 20  # of one artifact; each answer shows all of them
MAX_TAG = 64  # characters
MAX_TAGS_SENT = 100  # of one request, doubles and blanks included
SEPARATOR = ","


class TagsSet(Event, frozen=True, kw_only=True):
    """``tags`` are those from here on, all of them, in their normal form."""

    tags: tuple[str, ...]


def normal_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Trimmed, in lower case, sorted, without blanks and doubles.

    Raises Invalid that blames the place of a tag, or none when they are too many.
    """
    found = set()
    for place, tag in enumerate(tags):
        text = tag.strip().lower().strip()
        if SEPARATOR in text:
            raise Invalid(
                "A tag has no comma: send each tag as an entry of its own.",
                code="invalid_tag",
                attr=str(place),
            )
        if len(text) > MAX_TAG:
            raise Invalid(
                f"A tag has at most {MAX_TAG} characters; this has {len(text)}.",
                code="max_length",
                attr=str(place),
            )
        if text:
            found.add(text)
    if len(found) > MAX_TAGS:
        raise Invalid(f"There are at most {MAX_TAGS} tags; these are {len(found)}.", code="max_length")
    return tuple(sorted(found))
