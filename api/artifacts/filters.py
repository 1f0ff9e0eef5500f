"""Filters that the lists of all kinds have."""

from api.http.query import Query
from api.openapi.parameters import Param, integer
from domain.artifacts.tags import MAX_TAG, MAX_TAGS, SEPARATOR, normal_tags
from domain.errors import Invalid

OWNER = Param("owner_id", integer(None), "Only those that this user owns.")
MAX_TAGS_QUERY = 2 * MAX_TAGS * (MAX_TAG + 1)  # characters; white space around tags counts
TAGS = Param(
    "tags",
    {
        "type": "string",
        "maxLength": MAX_TAGS_QUERY,
        "pattern": rf"^[^\x00,]{{0,{MAX_TAG}}}(,[^\x00,]{{0,{MAX_TAG}}}){{0,{MAX_TAGS - 1}}}$",
    },
    f"Only those that have all of these tags, with commas between; at most {MAX_TAGS} of at most {MAX_TAG} characters.",
    "docs",
)


def tags_of(query: Query) -> tuple[str, ...]:
    """The tags of a list. Raises Invalid."""
    text = query.text("tags", max_length=MAX_TAGS_QUERY)
    try:
        return normal_tags(text.split(SEPARATOR)) if text else ()
    except Invalid as error:
        error.attr = "tags"
        raise
