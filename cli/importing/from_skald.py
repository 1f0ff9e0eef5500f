"""From another Skald, or from PostHog, whose published API it has: what that API does not tell is not asked for."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NotRequired, TypedDict

import msgspec

from cli.client import answers
from cli.client.remote import RemoteFailure, quote_part
from cli.client.remote_options import warn
from cli.errors import Failure
from cli.importing import naming, notes
from cli.importing.elsewhere import SourceService, row_of
from cli.importing.source import (
    MAX_ARTIFACTS,
    MAX_VERSION_BYTES,
    MAX_VERSIONS,
    PromptText,
    SkillText,
    SourceArtifact,
    SourceVersion,
    Text,
    Unusable,
    broken,
)
from domain.artifacts.kinds import KINDS
from domain.artifacts.skills import SkillFields
from domain.content import MAX_FILES

NULL = msgspec.Raw(b"null")
MAX_YANKED = 1000  # of one artifact: each costs a request
YANKS = ",".join(f"skald.{kind}.version_yanked.v1" for kind in KINDS)
EVENTS = 1000  # at once
MAX_PAGES = 400  # of the feed, each of which looks through 10,000 events
PAGE = 100  # versions; the most that a resolve gives at once


class LabelAt(TypedDict):
    name: str
    version: answers.Number


class Row(TypedDict):
    name: str
    latest_version: answers.Number
    created_at: str
    version_count: NotRequired[answers.Number]
    tags: NotRequired[list[str]]
    all_labels: NotRequired[list[LabelAt]]


class Yanked(TypedDict):
    reason: str


class Shown(Row):
    version: answers.Number
    created_by: NotRequired[answers.Person | None]
    yanked: NotRequired[Yanked | None]


class Resolved(TypedDict):
    skill: NotRequired[Shown]
    prompt: NotRequired[Shown]
    labels: NotRequired[list[LabelAt]]


class ArchivedRow(TypedDict):
    name: str
    first_version_created_at: str


class YankEvent(TypedDict):
    subject: str


class Yanks(TypedDict):
    results: list[YankEvent]
    position: answers.Size


class Line(TypedDict):
    version: answers.Number
    created_at: str
    created_by: NotRequired[answers.Person | None]


class Lines(TypedDict):
    versions: list[Line]
    has_more: bool


class FileRow(msgspec.Struct):
    path: str
    content_type: str = "text/plain"
    size: int = 0
    sha256: str = ""


class Skill(msgspec.Struct):
    version: int
    description: str
    body: str
    license: str = ""
    compatibility: str = ""
    allowed_tools: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    frontmatter: str = ""
    files: list[FileRow] = []
    version_description: str = ""


class Prompt(msgspec.Struct):
    version: int
    prompt: msgspec.Raw
    config: msgspec.Raw = NULL
    version_description: str = ""


class SkaldSource:
    """Names, numbers, labels and tags are those of the registry already. ``published``: it has PostHog's published API alone."""

    def __init__(
        self, remote: SourceService, kinds: Sequence[str], title: str, *, published: bool = False
    ) -> None:
        self.remote = remote
        self.kinds = kinds
        self.title = title
        self.published = published

    def close(self) -> None:
        self.remote.close()

    def artifacts(self) -> Iterator[SourceArtifact]:
        for kind in self.kinds:
            yield from self._of(kind)

    def yanked_ever(self) -> set[tuple[str, str]]:
        """What has had a version yanked, by its present name: the list does not tell that of older ones.

        The feed tells it in few requests, where a look at each artifact would use up the limits of the source.
        """
        if self.published:
            return set()
        found: set[tuple[str, str]] = set()
        position, path = 0, self.remote.path("events/")
        for _ in range(MAX_PAGES):
            try:
                params = {"after": position, "limit": EVENTS, "type": YANKS}
                page = self.remote.get(path, params, shape=Yanks)
            except RemoteFailure as failure:
                if failure.status not in (400, 403, 404):
                    raise
                break
            for event in page["results"]:
                kind, _, name = event["subject"].partition("/")
                found.add((kind, name))
            if page["position"] <= position:
                now = ((kind, self.now_called(kind, name)) for kind, name in found if kind in self.kinds)
                return {(kind, name) for kind, name in now if name}
            position = page["position"]
        warn("yanks of versions that are here are not seen: for that the key of the source needs event:read")
        return set()

    def archived(self, kind: str) -> set[tuple[str, str]]:
        """What was archived there, by its name and the time of its first version."""
        if self.published:
            return set()
        path = self.remote.path(f"{KINDS[kind].RESOURCE}/archived/")
        params = {"content": "none"} if kind == "prompt" else None
        rows = self.remote.pages(path, params, shape=ArchivedRow)
        return {(row["name"], notes.instant(row["first_version_created_at"], "1")) for row in rows}

    def _of(self, kind: str) -> Iterator[SourceArtifact]:
        params = {"order_by": "created_at", "content": "none" if kind == "prompt" else None}
        path, count = self.remote.path(f"{KINDS[kind].RESOURCE}/"), 0
        try:
            for row in self.remote.pages(path, params, shape=dict[str, Any]):
                count += 1
                if count > MAX_ARTIFACTS:
                    raise Failure(f"{self.title} has more than {MAX_ARTIFACTS:,} of a kind", code="too_many")
                yield self._row(kind, row, count)
        except RemoteFailure as failure:
            if failure.status == 403 and len(self.kinds) > 1:
                raise Failure(f"{failure} Leave that out by --kind.", code=failure.code) from None
            raise

    def _row(self, kind: str, row: Any, number: int) -> SourceArtifact:
        place = f"{kind} {number} of the list"
        try:
            return self.artifact(kind, row_of(row, Row, f"{self.title}: {place}"))
        except Unusable as failure:
            return broken(kind, row, place, failure)

    def artifact(self, kind: str, row: Row) -> SourceArtifact:
        called = row["name"]
        name = naming.taken_name(kind, called) or ""
        return SourceArtifact(
            kind=kind,
            name=name,
            called=called,
            versions=lambda: self._versions(
                kind, called, name, row.get("version_count", row["latest_version"])
            ),
            # With a yanked one above it, there is more to look at than the list tells.
            count=row["latest_version"] if row.get("version_count") == row["latest_version"] else 0,
            newest=notes.instant(row["created_at"], str(row["latest_version"])),
            labels={label["name"]: str(label["version"]) for label in row.get("all_labels", ())},
            tags=naming.taken_tags(row.get("tags", ())),
        )

    def find(self, kind: str, name: str) -> SourceArtifact | None:
        """What has this name there now, or had it; None when there is none."""
        try:
            shown, labels = self._resolved(kind, name)
        except RemoteFailure as failure:
            if failure.status != 404:
                raise
            return None
        shown["all_labels"] = labels
        return self.artifact(kind, shown)

    def _resolved(self, kind: str, name: str, number: int | None = None) -> tuple[Shown, list[LabelAt]]:
        path = self.remote.path(f"{KINDS[kind].RESOURCE}/resolve/name/{quote_part(name)}/")
        found: Resolved = self.remote.get(path, {"limit": 1, "version": number}, shape=Resolved)
        shown = found.get("skill") or found.get("prompt")
        if shown is None:
            raise Unusable(f"{self.title} answers for '{name}' with no {kind}", code="bad_answer")
        return shown, found.get("labels", [])

    def now_called(self, kind: str, name: str) -> str | None:
        """What has this name there now, or had it, by its present name."""
        return self.remote.named_now(name, kind=kind)

    def _versions(self, kind: str, called: str, name: str, top: int) -> list[SourceVersion]:
        path = self.remote.path(f"{KINDS[kind].RESOURCE}/resolve/name/{quote_part(called)}/")
        known: dict[str, bytes] = {}
        found: list[SourceVersion] = []
        before: int | None = None
        above = min(top, MAX_VERSIONS) + 1
        while True:
            page = self.remote.get(path, {"limit": PAGE, "before_version": before}, shape=Lines)
            for line in page["versions"]:
                if before is not None and line["version"] >= before:
                    raise Unusable(
                        f"{self.title} lists the versions of '{called}' in no order", code="bad_answer"
                    )
                before = line["version"]
                # The list passes over yanked versions, which are read by their numbers.
                found += self._yanked(kind, called, name, range(above - 1, before, -1), known)
                above = before
                found.append(self._version(kind, called, name, line, known))
            if len(found) > MAX_VERSIONS:
                raise Unusable(f"it has more than {MAX_VERSIONS:,} versions")
            if not page["has_more"] or not page["versions"]:
                found += self._yanked(kind, called, name, range(above - 1, 0, -1), known)
                return found[::-1]

    def _yanked(
        self, kind: str, called: str, name: str, numbers: range, known: dict[str, bytes]
    ) -> list[SourceVersion]:
        """Versions that the list passes over; one that is not there by its number either is none."""
        if len(numbers) > MAX_YANKED:
            raise Unusable(f"more than {MAX_YANKED} of its versions are in no list")
        found = []
        for number in numbers:
            try:
                shown, _ = self._resolved(kind, called, number)
            except RemoteFailure as failure:
                if failure.status not in (404, 410):
                    raise
                continue
            line: Line = {
                "version": number,
                "created_at": shown["created_at"],
                "created_by": shown.get("created_by"),
            }
            reason = (shown.get("yanked") or {"reason": ""})["reason"]
            version = self._version(kind, called, name, line, known)
            found.append(msgspec.structs.replace(version, yanked=reason))
        return found

    def _version(
        self, kind: str, called: str, name: str, line: Line, known: dict[str, bytes]
    ) -> SourceVersion:
        number, by = line["version"], line.get("created_by") or {}
        author = " ".join(part for part in (by.get("first_name"), by.get("last_name")) if part)
        read = self._skill if kind == "skill" else self._prompt
        return SourceVersion(
            number=str(number),
            name=name,
            called=called,
            author=author,
            mail=by.get("email") or "",
            time=notes.instant(line["created_at"], str(number)),
            load=lambda: read(called, number, known),
        )

    def _skill(self, called: str, number: int, known: dict[str, bytes]) -> Text:
        found = self._read("skill", called, number, Skill)
        if len(found.files) > MAX_FILES or sum(file.size for file in found.files) > MAX_VERSION_BYTES:
            raise Unusable("it is larger than a request to the service may be", code="max_size")
        files, left = [], MAX_VERSION_BYTES
        for file in found.files:
            data = known.get(file.sha256) if file.sha256 else None
            if data is None:
                data = self._file(called, number, file)
            left -= len(data)
            if left < 0:
                raise Unusable("it is larger than a request to the service may be", code="max_size")
            files.append((file.path, data, file.content_type))
        # The next version has most of its files in common with this one.
        known.clear()
        known.update({sha256(data).hexdigest(): data for _, data, _ in files})
        fields = SkillFields(
            description=found.description,
            license=found.license,
            compatibility=found.compatibility,
            allowed_tools=found.allowed_tools,
            metadata=found.metadata,
            frontmatter=found.frontmatter,
        )
        return SkillText(fields, found.body, tuple(files), found.version_description)

    def _file(self, called: str, number: int, file: FileRow) -> bytes:
        import base64

        path = self.remote.named(called, f"files/{quote_part(file.path)}")
        found = self._checked(lambda: self.remote.get(path, {"version": number}, shape=answers.File))
        try:
            content = found["content"]
            data = (
                base64.b64decode(content, validate=True)
                if found.get("encoding") == "base64"
                else content.encode()
            )
        except ValueError:
            raise Unusable(f"the content of {file.path} cannot be read") from None
        if file.sha256 and sha256(data).hexdigest() != file.sha256:
            raise Unusable(f"the content of {file.path} is not what the source says that it is")
        return data

    def _prompt(self, called: str, number: int, _: dict[str, bytes]) -> Text:
        found = self._read("prompt", called, number, Prompt)
        return PromptText(found.prompt, found.config, found.version_description)

    def _read(self, kind: str, called: str, number: int, shape: Any) -> Any:
        # Marks in prompts stay marks, which lead to what is imported beside them.
        params = {"version": number, "resolve": "false" if kind == "prompt" else None}
        path = self.remote.named(called, kind=kind)
        found = self._checked(lambda: self.remote.json(path, params, shape))
        if found.version != number:
            raise Unusable(f"the source answers with version {found.version} for {number}")
        return found

    def _checked(self, call: Any) -> Any:
        try:
            return call()
        except RemoteFailure as failure:
            if failure.status in (404, 410):
                raise Unusable(f"the source has it no more: {failure}") from None
            raise
