"""What a search has to look through, folded once more in plain Python: entries from the versions of each stream, one after the other."""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from domain.artifacts.skills import Skill
from domain.artifacts.versioned import Versioned
from domain.content import is_unsafe
from projections.read.kinds import KINDS
from projections.write import words

Rows = set[tuple[Any, ...]]
Key = tuple[int, str]

QUERIES = {
    "search_entries": "SELECT stream_id, field, path, since, until, project_id, digest FROM search_entries",
    # How PostgreSQL orders lexemes is its own affair.
    "search_parts": "SELECT project_id, digest, part, latest, length(words), text FROM search_parts",
    "search_words": "SELECT project_id, word FROM search_words",
}


class Searched:
    def __init__(self, contents: Mapping[bytes, bytes]) -> None:
        self._contents = contents
        self._versions: dict[UUID, list[tuple[int, dict[Key, bytes]]]] = {}
        self._latest: dict[UUID, tuple[int, int]] = {}
        self._names: dict[UUID, bytes] = {}
        self._projects: dict[UUID, int] = {}
        # Every text that a project ever had; of a content the kind that it was first of.
        self._texts: dict[tuple[int, bytes], str] = {}

    def take(self, project: int, artifact: Versioned) -> None:
        """The artifact after an event."""
        stream = artifact.id
        self._projects[stream] = project
        self._names[stream] = self._short(project, "NAME", artifact.name)
        says = {(3, ""): self._content(project, artifact.KIND, artifact.text.digest)}
        if isinstance(artifact, Skill):
            says[2, ""] = self._short(project, "DESCRIPTION", artifact.fields.description)
            for path, found in artifact.files.items():
                if is_unsafe(path):
                    continue
                says[4, path] = self._short(project, "FILE_PATH", path)
                if found.line_count is not None:
                    says[5, path] = self._content(project, artifact.KIND, found.ref.digest)
        versions = self._versions.setdefault(stream, [])
        number, highest = self._latest.get(stream, (0, 0))
        if number != artifact.number:
            # Where a yank makes another version the latest, its texts are those that the next one begins with.
            versions.append((artifact.number if artifact.highest > highest else highest + 1, says))
        self._latest[stream] = (artifact.number, artifact.highest)

    def _short(self, project: int, field: str, text: str) -> bytes:
        digest = hashlib.sha256(f"{field}:{text}".encode()).digest()
        self._texts.setdefault((project, digest), text)
        return digest

    def _content(self, project: int, kind: str, digest: bytes) -> bytes:
        text = KINDS[kind].readable(self._contents[digest])
        if text is not None:
            self._texts.setdefault((project, digest), text)
        return digest

    def rows(self) -> dict[str, Rows]:
        found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for stream, versions in self._versions.items():
            project = self._projects[stream]
            found[stream, 1, "", 1] = (None, project, self._names[stream])
            for key in {key for _, says in versions for key in says}:
                since: int | None = None
                before: bytes | None = None
                for number, says in [*versions, (0, {})]:
                    digest = says.get(key)
                    if number and digest == before:
                        continue
                    if before is not None:
                        found[stream, *key, since] = (number or None, project, before)
                    since, before = number, digest
        entries: Rows = {(*key, *row) for key, row in found.items()}
        latest = {(row[5], row[6]) for row in entries if row[4] is None}
        parts: Rows = set()
        known: Rows = set()
        for (project, digest), text in self._texts.items():
            for part in words.parts(text):
                distinct = len(set(words.lexemes(words.fold(self._piece(text, part.number)))))
                parts.add((project, digest, part.number, (project, digest) in latest, distinct, part.text))
                known |= {(project, word) for word in words.known(part.text)}
        return {"search_entries": entries, "search_parts": parts, "search_words": known}

    @staticmethod
    def _piece(text: str, number: int) -> str:
        start = number * words.PART
        return text[start : start + words.PART + words.OVERLAP].replace("\0", " ")
