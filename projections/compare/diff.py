"""Two versions of a skill or prompt side by side: fields, metadata keys, files, and their texts as unified hunks. Pure.

Bounds: a text above ``MAX_BYTES`` or ``MAX_LINES`` on either side has no hunks, and neither has what comes after
``MAX_TOTAL`` bytes of texts; it says ``truncated`` then. Hunks that would take too long to find come out coarser (``lines``).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from domain.artifacts.skills import (
    FileRef,
    SkillFileAdded,
    SkillFileRemoved,
    SkillFileRenamed,
    SkillPublished,
)
from domain.content import Ref
from domain.events import Event
from projections.compare.lines import Effort, Grouped, opcodes, split
from projections.read.sides import BODY, Side

MAX_BYTES = 200_000  # of one text on either side
MAX_LINES = 10_000
MAX_TOTAL = 2_000_000  # bytes of all texts of a diff
EFFORT = 8_000_000  # steps for all of them: about a second
CONTEXT = 3  # lines around a change

Status = Literal["added", "removed", "renamed", "modified"]


class Pair(msgspec.Struct, frozen=True):
    """A value on either side."""

    before: Any
    after: Any


class FieldChange(msgspec.Struct, frozen=True):
    """A field with another value; null on a side that does not exist."""

    field: str
    before: Any
    after: Any


class MetadataChanges(msgspec.Struct, frozen=True):
    """Metadata by its top-level keys."""

    added: dict[str, Any]
    removed: dict[str, Any]
    changed: dict[str, Pair]


class TextChange(msgspec.Struct, frozen=True):
    """A body or prompt before and after. `hunks` are unified; without them `truncated` says that it is too large."""

    before: Ref | None
    after: Ref | None
    hunks: list[str]
    truncated: bool


class FileChange(msgspec.Struct, frozen=True):
    """A file before and after; `old_path` is there when it was renamed, perhaps with changes to its text.

    A file that is no text on either side is `binary`, and has no hunks.
    """

    status: Status
    path: str
    old_path: str | None
    before: FileRef | None
    after: FileRef | None
    hunks: list[str]
    truncated: bool
    binary: bool = False


class Document(msgspec.Struct, frozen=True):
    """A text that is not the same on both sides."""

    status: Status
    before: FileRef | None
    after: FileRef | None

    @property
    def refs(self) -> list[Ref]:
        return [file.ref for file in (self.before, self.after) if file is not None]

    @property
    def paths(self) -> tuple[str, str]:
        """The path on either side; the same twice for what is on one side only."""
        old, new = self.before or self.after, self.after or self.before
        if old is None or new is None:
            raise ValueError("a document stands on one side at least")
        return old.path, new.path

    @property
    def same_text(self) -> bool:
        return self.before is not None and self.after is not None and self.before.ref == self.after.ref


class Comparison(msgspec.Struct, frozen=True):
    """What differs, before any text is read."""

    fields: list[FieldChange]
    metadata: MetadataChanges
    text: Document | None
    files: list[Document]


def moves(paths: Iterable[str], events: Iterable[Event]) -> dict[str, str]:
    """Where the files at ``paths`` stand after the events, old path to new, for those that still stand somewhere.

    A file that was removed, or left out of a whole new list of files, is another one when its path comes again.
    """
    origins = {path: path for path in paths}
    for event in events:
        match event:
            case SkillFileRenamed():
                if (origin := origins.pop(event.old_path, None)) is not None:
                    origins[event.new_path] = origin
            case SkillFileRemoved():
                origins.pop(event.path, None)
            case SkillFileAdded():
                origins.pop(event.file.path, None)
            case SkillPublished() if event.files is not msgspec.UNSET:
                kept = {file.path for file in event.files}
                origins = {path: origin for path, origin in origins.items() if path in kept}
    return {origin: path for path, origin in origins.items()}


def compare(before: Side, after: Side, moved: Mapping[str, str] | None = None) -> Comparison:
    """``moved`` has the new path of every file of ``before`` that is still a file of ``after``; by path when it is None."""
    pairs = {path: path for path in before.files} if moved is None else moved
    old = dict(before.files)
    files = []
    arrived = {target: path for path, target in pairs.items() if path in old}
    for path, file in after.files.items():
        source = arrived.get(path)
        if source is None:
            files.append(Document("added", None, file))
            continue
        was = old.pop(source)
        if source != path:
            files.append(Document("renamed", was, file))
        elif not was.same(file):
            files.append(Document("modified", was, file))
    files += [Document("removed", file, None) for file in old.values()]
    return Comparison(
        fields=[
            FieldChange(field, before.fields.get(field), after.fields.get(field))
            for field in {**before.fields, **after.fields}
            if not _same(before.fields.get(field), after.fields.get(field))
        ],
        metadata=_metadata(before.metadata, after.metadata),
        text=_text(before.text, after.text),
        files=_tidy(files),
    )


def _tidy(files: list[Document]) -> list[Document]:
    """By path; a removed file and a new one at its path are one that was modified."""
    removed = {file.paths[0]: file for file in files if file.status == "removed"}
    found = []
    for file in files:
        if file.status == "added" and (gone := removed.pop(file.paths[1], None)) is not None:
            if gone.before is None or file.after is None or not gone.before.same(file.after):
                found.append(Document("modified", gone.before, file.after))
        elif file.status != "removed":
            found.append(file)
    return sorted([*found, *removed.values()], key=lambda file: file.paths[1])


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, msgspec.Raw) and isinstance(after, msgspec.Raw):
        return bytes(before) == bytes(after)
    return bool(before == after) and type(before) is type(after)


def _text(before: FileRef | None, after: FileRef | None) -> Document | None:
    if before == after or (before is not None and after is not None and before.same(after)):
        return None
    status: Status = "added" if before is None else "removed" if after is None else "modified"
    return Document(status, before, after)


def _metadata(before: Mapping[str, Any], after: Mapping[str, Any]) -> MetadataChanges:
    return MetadataChanges(
        added={key: value for key, value in after.items() if key not in before},
        removed={key: value for key, value in before.items() if key not in after},
        changed={
            key: Pair(before[key], value)
            for key, value in after.items()
            # As JSON: 1, 1.0 and true are three values there.
            if key in before and msgspec.json.encode(before[key]) != msgspec.json.encode(value)
        },
    )


def only(comparison: Comparison, path: str) -> Comparison:
    """What concerns the file at ``path``, on either side; ``SKILL.md`` is the body."""
    return Comparison(
        fields=[],
        metadata=MetadataChanges({}, {}, {}),
        text=comparison.text if path == BODY else None,
        files=[file for file in comparison.files if path in file.paths],
    )


def readable(comparison: Comparison) -> list[Document]:
    """The documents whose hunks are looked for: within the bounds, in the order of the answer."""
    total, chosen = 0, []
    for document in (comparison.text, *comparison.files):
        if document is None or document.same_text:
            continue
        sizes = [ref.size for ref in document.refs]
        if max(sizes) <= MAX_BYTES and total + sum(sizes) <= MAX_TOTAL:
            total += sum(sizes)
            chosen.append(document)
    return chosen


class Hunks:
    """The hunks of the documents that have some; ``truncated`` those that are too large for it."""

    def __init__(self, documents: Sequence[Document], texts: Mapping[str, str | None]) -> None:
        """``texts`` by the digest of their content; None for what is no text."""
        effort = Effort(EFFORT)
        self._found: dict[Document, list[str]] = {}
        self._binary: set[Document] = set()
        for document in documents:
            old, new = (
                "" if file is None else texts[file.sha256] for file in (document.before, document.after)
            )
            if old is None or new is None:
                self._binary.add(document)
                continue
            a, b = split(old), split(new)
            if max(len(old), len(new)) <= MAX_BYTES and max(len(a), len(b)) <= MAX_LINES:
                self._found[document] = hunks(a, b, effort)

    def of(self, document: Document) -> tuple[list[str], bool]:
        """Hunks, and whether they are missing because the text is too large."""
        found = self._found.get(document)
        return found or [], found is None and not document.same_text and document not in self._binary

    def is_binary(self, document: Document) -> bool:
        return document in self._binary

    def text(self, document: Document | None) -> TextChange | None:
        if document is None:
            return None
        found, truncated = self.of(document)
        old, new = document.before, document.after
        return TextChange(
            None if old is None else old.ref, None if new is None else new.ref, found, truncated
        )

    def file(self, document: Document) -> FileChange:
        old, new = document.paths
        found, truncated = self.of(document)
        return FileChange(
            document.status,
            new,
            old if document.status == "renamed" else None,
            document.before,
            document.after,
            found,
            truncated,
            self.is_binary(document),
        )


def hunks(a: Sequence[str], b: Sequence[str], effort: Effort) -> list[str]:
    """Unified hunks of lines with their ends."""
    found = []
    for group in Grouped(opcodes(a, b, effort)).get_grouped_opcodes(CONTEXT):
        _, first, _, second, _ = group[0]
        _, _, first_end, _, second_end = group[-1]
        parts = [f"@@ -{_range(first, first_end)} +{_range(second, second_end)} @@\n"]
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                parts += [_line(" ", line) for line in a[i1:i2]]
            else:
                parts += [_line("-", line) for line in a[i1:i2]]
                parts += [_line("+", line) for line in b[j1:j2]]
        hunk = "".join(parts)
        # Where nothing changed there is one group of nothing but equal lines.
        if any(tag != "equal" for tag, *_ in group):
            found.append(hunk)
    return found


def _range(start: int, end: int) -> str:
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _line(sign: str, line: str) -> str:
    return f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"


def unified(comparison: Comparison, found: Hunks) -> str:
    """The whole comparison as a patch for files: ``git apply`` and ``patch -p1`` take it, unless something is truncated.

    What is no file, fields and metadata, stands before it in lines that both pass over.
    """
    notes = [_note(one.field, one.before, one.after) for one in comparison.fields]
    metadata = comparison.metadata
    notes += [_note(f"metadata.{key}", None, value) for key, value in metadata.added.items()]
    notes += [_note(f"metadata.{key}", value, None) for key, value in metadata.removed.items()]
    notes += [_note(f"metadata.{key}", pair.before, pair.after) for key, pair in metadata.changed.items()]
    documents = [document for document in (comparison.text, *comparison.files) if document is not None]
    return "".join([*notes, *(_patch(document, found) for document in documents)])


def _note(name: str, before: Any, after: Any) -> str:
    return f"# {_one_line(name)}: {_json(before)} -> {_json(after)}\n"


def _one_line(text: str) -> str:
    return text if text.isprintable() else _json(text)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _patch(document: Document, found: Hunks) -> str:
    old, new = document.paths
    lines, truncated = found.of(document)
    left = "/dev/null" if document.before is None else _name("a/" + old)
    right = "/dev/null" if document.after is None else _name("b/" + new)
    parts = [f"diff --git {_name('a/' + old)} {_name('b/' + new)}\n"]
    if document.status == "added":
        parts.append("new file mode 100644\n")
    elif document.status == "removed":
        parts.append("deleted file mode 100644\n")
    elif old != new:
        parts.append(f"rename from {_name(old)}\nrename to {_name(new)}\n")
    binary = found.is_binary(document)
    if truncated or binary:
        # What git says of binary files: it refuses to apply a patch that lacks something, rather than to apply the rest.
        digests = "..".join(
            "0" * 7 if file is None else file.sha256[:7] for file in (document.before, document.after)
        )
        why = "no text" if binary else "too large to show"
        parts.insert(0, f"# truncated: {_json(new)} is {why}\n")
        parts.append(f"index {digests}\nBinary files {left} and {right} differ\n")
    elif lines:
        # git and patch take the tab for the end of a name that holds white space.
        parts.append(f"--- {left}{_tab(left)}\n+++ {right}{_tab(right)}\n")
        parts += lines
    return "".join(parts)


def _tab(name: str) -> str:
    return "\t" if " " in name and not name.startswith('"') else ""


def _name(path: str) -> str:
    """A path as git writes it: in quotes when it holds what would be misread."""
    if '"' not in path and path.isprintable():
        return path
    quoted = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in path.encode()
    )
    return f'"{quoted}"'
