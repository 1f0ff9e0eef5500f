"""Bodies of answers of the audit."""

from typing import Any, ClassVar

import msgspec

from api.openapi.examples import examples_of
from projections.events import audit

_EXAMPLES = examples_of("api.events")


class AuditPage(msgspec.Struct):
    """Entries in the order of the log. `next` is always there: the address to go on from, also when there is nothing yet."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["AuditPage"]

    results: list[audit.AuditEntry]
    next: str
    position: int
