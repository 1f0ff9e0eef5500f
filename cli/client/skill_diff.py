"""What differs between two trees of one skill, as a unified diff that a person reads."""

import difflib
from collections.abc import Iterator, Mapping

# Texts above it are shown by their sizes: such a diff is too long to read, and finding it takes long.
MAX_TEXT = 400_000
CONTEXT = 3
NO_NEWLINE = "\\ No newline at end of file"


def diff(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterator[str]:
    """Lines without their ends. Paths that are on one side only are added or removed files."""
    for path in sorted({*before, *after}, key=lambda path: (path != "SKILL.md", path)):
        old, new = before.get(path), after.get(path)
        if old != new:
            yield from _file(path, old, new)


def summary(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Paths by what happened to them."""
    return {
        "added": sorted({*after} - {*before}),
        "removed": sorted({*before} - {*after}),
        "modified": sorted(path for path in {*before} & {*after} if before[path] != after[path]),
    }


def _file(path: str, old: bytes | None, new: bytes | None) -> Iterator[str]:
    left = "/dev/null" if old is None else f"a/{path}"
    right = "/dev/null" if new is None else f"b/{path}"
    before, after = _text(old), _text(new)
    if before is None or after is None:
        yield f"--- {left}"
        yield f"+++ {right}"
        yield f"# {_size(old)} -> {_size(new)}, not shown"
        return
    found = list(difflib.unified_diff(_lines(before), _lines(after), left, right, n=CONTEXT, lineterm="\n"))
    if not found:  # an empty file came or went
        yield f"--- {left}"
        yield f"+++ {right}"
    for line in found:
        if line.endswith("\n"):
            yield line[:-1]
        else:
            yield line
            yield NO_NEWLINE


def _lines(text: str) -> list[str]:
    """Lines with their ends, parted at line feeds alone: a carriage return belongs to its line."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _text(data: bytes | None) -> str | None:
    if data is None:
        return ""
    if len(data) > MAX_TEXT or b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _size(data: bytes | None) -> str:
    return "nothing" if data is None else f"{len(data):,} bytes"
