"""Bodies of answers of the audit."""

from typing import Any, ClassVar

import msgspec

from api.artifacts.schemas import _AT, _COMMAND, _KEY
from projections.events import audit


class AuditPage(msgspec.Struct):
    """Entries in the order of the log. `next` is always there: the address to go on from, also when there is nothing yet."""

    EXAMPLES: ClassVar[dict[str, Any]] = {
        "A key was revoked": {
            "results": [
                {
                    "position": 43,
                    "time": _AT,
                    "type": "skald.key.revoked.v1",
                    "subject": f"key/{_KEY}",
                    "version": None,
                    "actor": None,
                    "key_id": None,
                    "request_id": None,
                    "command_id": _COMMAND,
                    "stream_id": _KEY,
                    "stream_version": 2,
                    "data": {},
                }
            ],
            "next": "https://skald.example/api/projects/1/audit/?after=43",
            "position": 43,
        }
    }

    results: list[audit.AuditEntry]
    next: str
    position: int
