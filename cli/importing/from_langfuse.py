"""From Langfuse: prompts by its public API, version by version; a version tells its labels, its author by an id, and its time."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from cli.client.remote import RemoteFailure, quote_part
from cli.errors import Failure
from cli.importing import naming, notes
from cli.importing.elsewhere import Foreign, row_of
from cli.importing.source import (
    MAX_ARTIFACTS,
    MAX_VERSIONS,
    PromptText,
    SourceArtifact,
    SourceVersion,
    Unusable,
    broken,
    unreadable,
)

API = "/api/public/v2/prompts"
PAGE = 100  # the most that a page gives
MAX_PAGES = 10_000  # ten times what as many prompts take as may be there
MAX_KEPT = (
    8 * 2**20
)  # bytes of texts of one prompt that are kept from the look at its versions; beyond that they are read again
NULL = msgspec.Raw(b"null")
EMPTY = (b"{}", b"null", b"")

Number = Annotated[int, msgspec.Meta(ge=1, lt=10**9)]


class Meta(msgspec.Struct):
    name: str
    versions: list[Number] = []
    tags: list[str] = []


class Page(msgspec.Struct):
    data: list[Any]  # prompts, each a Meta


class Prompt(msgspec.Struct, rename="camel"):
    version: int
    prompt: msgspec.Raw
    config: msgspec.Raw = NULL
    labels: list[str] = []
    created_at: str = ""
    created_by: str = ""
    commit_message: str | None = None


class LangfuseSource:
    def __init__(self, remote: Foreign) -> None:
        self.remote = remote
        self.title = remote.title

    def close(self) -> None:
        self.remote.close()

    def artifacts(self) -> Iterator[SourceArtifact]:
        seen: set[str] = set()
        count = 0
        for page in range(1, MAX_PAGES + 1):
            found = self.remote.json(API, {"page": page, "limit": PAGE}, Page).data
            if not found:
                return
            rows = [self._row(row, count + at) for at, row in enumerate(found, start=1)]
            names = {row.called for row in rows if row.broken is None}
            if names & seen:
                raise Failure(f"{self.title} gives the same page again and again", code="bad_answer")
            seen |= names
            count += len(rows)
            if count > MAX_ARTIFACTS:
                raise Failure(f"{self.title} has more than {MAX_ARTIFACTS:,} prompts", code="too_many")
            yield from rows
        raise Failure(f"{self.title} has a list of more than {MAX_PAGES:,} pages", code="too_many")

    def _row(self, row: Any, number: int) -> SourceArtifact:
        place = f"prompt {number} of the list"
        try:
            return self._artifact(row_of(row, Meta, f"{self.title}: {place}"))
        except Unusable as failure:
            return broken("prompt", row, place, failure)

    def _artifact(self, row: Meta) -> SourceArtifact:
        labels: dict[str, str] = {}
        name = naming.taken_name("prompt", row.name) or ""
        return SourceArtifact(
            kind="prompt",
            name=name,
            called=row.name,
            versions=lambda: self._versions(row, name, labels),
            labels=labels,  # known once the versions are
            tags=naming.taken_tags(row.tags),
        )

    def _versions(self, row: Meta, name: str, labels: dict[str, str]) -> list[SourceVersion]:
        if len(row.versions) > MAX_VERSIONS:
            raise Unusable(f"it has more than {MAX_VERSIONS:,} versions")
        found, kept = [], 0
        for number in sorted(set(row.versions)):
            try:
                prompt = self._read(row.name, number)
            except (RemoteFailure, Unusable) as failure:
                if isinstance(failure, RemoteFailure) and failure.is_of_all:
                    raise
                found.append(unreadable(number, name, row.name, failure))
                continue
            labels.update(dict.fromkeys(prompt.labels, str(number)))
            kept += len(bytes(prompt.prompt))
            found.append(self._version(row.name, name, prompt, prompt if kept < MAX_KEPT else None))
        return found

    def _version(self, called: str, name: str, prompt: Prompt, kept: Prompt | None) -> SourceVersion:
        number = prompt.version
        return SourceVersion(
            number=str(number),
            name=name,
            called=called,
            author=prompt.created_by,
            mail="",
            time=notes.instant(prompt.created_at, str(number)),
            load=lambda: _text(kept or self._read(called, number)),
        )

    def _read(self, called: str, number: int) -> Prompt:
        # Without its references filled in: what is published is what its author wrote.
        params: dict[str, Any] = {"version": number, "resolve": "false"}
        try:
            found: Prompt = self.remote.json(f"{API}/{quote_part(called)}", params, Prompt)
        except RemoteFailure as failure:
            if failure.status != 404:
                raise
            raise Unusable(f"the source has version {number} no more") from None
        if found.version != number:
            raise Unusable(f"the source answers with version {found.version} for {number}")
        return found


def _text(prompt: Prompt) -> PromptText:
    config = NULL if bytes(prompt.config) in EMPTY else prompt.config
    return PromptText(prompt.prompt, config, prompt.commit_message or "")
