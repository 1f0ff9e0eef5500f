"""One side of a comparison: what is compared of a version."""

from collections.abc import Mapping
from typing import Any

import msgspec

from domain.artifacts.skills import FileRef
from domain.content import Content

# The body of a skill among its files.
BODY = "SKILL.md"


class Side(msgspec.Struct, frozen=True):
    """What is compared of a version; ``text`` is its body or prompt as a file."""

    fields: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    text: FileRef | None = None
    files: Mapping[str, FileRef] = {}


NOTHING = Side()


def as_file(path: str, content_type: str, data: bytes) -> FileRef:
    ref = Content.of(data).ref
    return FileRef(path, content_type, ref.size, ref.sha256)
