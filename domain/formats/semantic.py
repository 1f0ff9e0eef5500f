"""Numbers of versions as semantic versions, for clients that take no others: version N of a skill is 1.0.N."""

import re

VERSION = re.compile(r"1\.0\.([1-9][0-9]{0,9})")


def semantic(number: int) -> str:
    return f"1.0.{number}"


def number_of(version: str) -> int | None:
    """None for anything that ``semantic`` does not write."""
    found = VERSION.fullmatch(version)
    return int(found.group(1)) if found else None
