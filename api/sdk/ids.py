"""Ids as the SDKs have them: those of streams and versions, with a prefix that says which."""

import re
from uuid import UUID

from projections.read.versions import MAX_VERSION

SKILL_PREFIX, VERSION_PREFIX = "skill_", "skillver_"
SKILL_ID = re.compile(rf"{SKILL_PREFIX}([0-9a-f]{{32}})")
VERSION_ID = re.compile(rf"{VERSION_PREFIX}([0-9a-f]{{32}})")
NUMBER = re.compile(r"[1-9][0-9]{0,9}")
LATEST = "latest"

# A version by its number or id; None is the latest.
VersionRef = int | UUID | None


def skill_id(stream_id: UUID) -> str:
    return SKILL_PREFIX + stream_id.hex


def version_id(id: UUID) -> str:
    return VERSION_PREFIX + id.hex


def read_skill_id(text: str) -> UUID | None:
    """None for what is no id of a skill."""
    found = SKILL_ID.fullmatch(text)
    return UUID(found[1]) if found else None


def read_version(text: str) -> VersionRef:
    """``latest``, a number or an id. Raises ValueError for anything else."""
    if text == LATEST:
        return None
    if NUMBER.fullmatch(text):
        return min(int(text), MAX_VERSION)
    found = VERSION_ID.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return UUID(found[1])
