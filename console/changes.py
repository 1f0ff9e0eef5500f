"""What differs between two states of an artifact, as pages show it: fields with their values, texts line by line."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from console.text import differences
from console.text.differences import Line, Row
from projections.compare.diff import Comparison, Document, Hunks
from projections.compare.lines import Effort
from projections.read.skills import read_manifest
from projections.read.versions import Version

# A file of a version by its path, and the digest of what is in it.
Digests = Mapping[str, str]


def with_same_contents(older: Version | None, newer: Version, moved: Digests | None) -> Digests | None:
    """``moved`` with files that went to another path in a whole new list of files: those whose content one file alone had before, and one
    alone has now. The log has them as other files; to who reads what changed they are renamed.
    """
    if older is None or older.manifest is None or older.manifest == newer.manifest:
        return moved
    before, after = digests_of(older.manifest), digests_of(newer.manifest)
    pairs = {path: path for path in before if path in after} if moved is None else dict(moved)
    targets = set(pairs.values())
    gone = {path: digest for path, digest in before.items() if path not in pairs}
    come = {path: digest for path, digest in after.items() if path not in targets}
    return {**pairs, **same_contents(gone, come)}


def digests_of(manifest: bytes | None) -> Digests:
    return {path: file.sha256 for path, file in read_manifest(manifest or b"[]").items()}


def same_contents(gone: Digests, come: Digests) -> dict[str, str]:
    """Paths with the ones that have the same content, where on both sides one alone has it."""
    before, after = Counter(gone.values()), Counter(come.values())
    places = {digest: path for path, digest in come.items()}
    return {
        path: places[digest] for path, digest in gone.items() if before[digest] == 1 and after[digest] == 1
    }


# What pages call a field by another name than the API.
WORDS = {"version_description": "note"}


class Change(msgspec.Struct, frozen=True):
    """One text that differs, as rows of a table; without any it says why."""

    status: str
    path: str
    old_path: str | None
    rows: list[Row]
    lines: list[Line | None]
    why: str
    added: int
    removed: int


class Value(msgspec.Struct, frozen=True):
    """A field that differs, on both sides; None where it is not."""

    name: str
    before: Any
    after: Any


def values_of(comparison: Comparison) -> list[Value]:
    """Fields, then keys of the metadata."""
    metadata = comparison.metadata
    found = [
        Value(WORDS.get(one.field) or one.field.replace("_", " "), _text(one.before), _text(one.after))
        for one in comparison.fields
    ]
    # What is new has every field: those with nothing in them say nothing.
    found = [one for one in found if one.before != one.after]
    found += [Value(f"metadata · {key}", None, _text(value)) for key, value in metadata.added.items()]
    found += [Value(f"metadata · {key}", _text(value), None) for key, value in metadata.removed.items()]
    found += [
        Value(f"metadata · {key}", _text(pair.before), _text(pair.after))
        for key, pair in metadata.changed.items()
    ]
    return found


def changes_of(comparison: Comparison, hunks: Hunks, view: str) -> list[Change]:
    """``view`` is unified or beside. It may take a second."""
    effort = Effort(differences.EFFORT)
    texts = [comparison.text] if comparison.text is not None else []
    return [_change(document, hunks, effort, view) for document in (*texts, *comparison.files)]


def _change(document: Document, hunks: Hunks, effort: Effort, view: str) -> Change:
    texts, truncated = hunks.of(document)
    old, new = document.paths
    rows = differences.beside(texts, effort)
    why = ""
    if hunks.is_binary(document):
        why = "It is no text."
    elif truncated:
        why = "It is too large to be compared here."
    elif not rows:
        why = "Only its type has changed." if document.status == "modified" else ""
    cells = [cell for row in rows for cell in row if cell is not None]
    return Change(
        document.status,
        new,
        old if old != new else None,
        rows if view == "beside" else [],
        differences.unified(rows) if view == "unified" else [],
        why,
        sum(cell.change == "added" for cell in cells),
        sum(cell.change == "removed" for cell in cells),
    )


def _text(value: Any) -> Any:
    """A value as it is read: a text as it is, nothing as None, the rest as JSON."""
    if value in (None, "", [], {}) or isinstance(value, str):
        return value or None
    return msgspec.json.encode(value).decode()
