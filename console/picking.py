"""Which version of an artifact a page shows: the latest, one by its number, or the one that a label points to."""

import msgspec

from api.artifacts.common import version_number
from api.http.query import Query
from domain.errors import Invalid
from domain.names import MAX_LABEL
from projections.read.versions import Pick


class Picked(msgspec.Struct, frozen=True):
    number: int | None
    label: str | None

    @property
    def pick(self) -> Pick:
        return self.number if self.label is None else self.label

    @property
    def query(self) -> dict[str, int | str]:
        """The parameters that pick the same version."""
        if self.label is not None:
            return {"label": self.label}
        return {} if self.number is None else {"version": self.number}


def pick_of(query: Query) -> Picked:
    """Raises Invalid."""
    number, label = version_number(query), query.text("label", max_length=MAX_LABEL)
    if number is not None and label is not None:
        raise Invalid("Send version or label, not both.")
    return Picked(number, label)
