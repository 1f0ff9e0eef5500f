"""The project that an import fills: what it has, and one write a version.

A version is one request, so an import that is cut off has brought whole versions. What it had brought stands in the versions' notes.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NotRequired, TypedDict
from uuid import uuid4

import msgspec

from cli.client import answers
from cli.client.remote import Remote, RemoteFailure, quote_part
from cli.client.transfer import form
from cli.errors import Failure
from cli.importing import notes
from cli.importing.source import MAX_ARTIFACTS, PromptText, SkillText, SourceVersion, Text
from domain.artifacts.kinds import KINDS
from domain.artifacts.yanks import MAX_REASON
from domain.content import text_of
from domain.formats import skill_md
from domain.formats.archives import zip_of
from domain.names import CONTROLS

NOT_IN_LINES = re.compile(f"[{CONTROLS}]")
NO_REASON = "The source gives no reason."
FIELDS = ("description", "license", "compatibility", "allowed_tools", "metadata")


class LabelAt(TypedDict):
    name: str
    version: answers.Number


class Row(TypedDict):
    """What an import reads of a list's row."""

    name: str
    latest_version: answers.Number
    version_description: str
    tags: list[str]
    all_labels: list[LabelAt]
    frontmatter: NotRequired[str]
    version_count: NotRequired[answers.Number]


class Noted(TypedDict):
    version_description: str


class Latest(TypedDict):
    version: answers.Number
    version_description: str
    frontmatter: NotRequired[str]


class Line(TypedDict):
    version: answers.Number


class Lines(TypedDict):
    versions: list[Line]
    has_more: bool


class Made(TypedDict):
    version: answers.Number
    version_description: NotRequired[str]


class Here(msgspec.Struct, kw_only=True):
    """An artifact of the project as it is now: ``note`` is that of its latest version ``number``, whose frontmatter has lines
    ``beside`` the fields. Versions above that, up to ``top``, are yanked."""

    name: str
    number: int
    note: str
    top: int = 0
    beside: bool = False
    labels: dict[str, int] = msgspec.field(default_factory=dict)
    tags: list[str] = msgspec.field(default_factory=list)


class Place(msgspec.Struct, frozen=True):
    """How far an import came: the version ``number`` here is the one at ``index`` of the source; ``over`` were made here on top, ``beyond`` were
    brought from a source that does not have them."""

    index: int
    number: int
    over: int
    beyond: int


class Project:
    """The artifacts of the project by name, and the writes to it. Used by several threads, each with artifacts of its own."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self._rows: dict[str, dict[str, Here]] = {}

    def rows(self, kind: str) -> dict[str, Here]:
        if kind not in self._rows:
            params = {"order_by": "name", "content": "none" if kind == "prompt" else None}
            path = self.remote.path(f"{KINDS[kind].RESOURCE}/")
            found: dict[str, Here] = {}
            for row in self.remote.pages(path, params, shape=Row):
                found[row["name"]] = _here(row)
                if len(found) > MAX_ARTIFACTS:
                    raise Failure(f"the project has more than {MAX_ARTIFACTS:,} of a kind", code="too_many")
            self._rows[kind] = found
        return self._rows[kind]

    def time(self, kind: str, name: str, number: int) -> str | None:
        """When the version was published where it comes from."""
        path = self.remote.named(name, kind=kind)
        params = {"version": number, "resolve": "false" if kind == "prompt" else None}
        return notes.time_of(self.remote.get(path, params, shape=Noted)["version_description"])

    def place(self, kind: str, here: Here, times: Sequence[str]) -> Place | None:
        """How far the import of these versions came; None when none of them is here.

        Versions that were refused are in between, so it is the newest one here that counts, and of those of one second how many are here.
        """
        known, over, beyond = set(times), 0, 0
        for number, time in self._times(kind, here):
            if time in known:
                same = [index for index, one in enumerate(times) if one == time]
                run = 1
                if len(same) > 1:
                    while run < number and self.time(kind, here.name, number - run) == time:
                        run += 1
                return Place(same[min(run, len(same)) - 1], number, over, beyond)
            over += time is None
            beyond += time is not None
        return None

    def number_of(self, kind: str, here: Here, place: Place, times: Sequence[str], index: int) -> int | None:
        """The number here of the source's version at ``index``; None when it is not here."""
        if index > place.index:
            return None
        guess = place.number - (place.index - index)
        if index == place.index or (guess > 0 and self.time(kind, here.name, guess) == times[index]):
            return guess
        for number in range(max(guess, 1), place.number):
            if self.time(kind, here.name, number) == times[index]:
                return number
        return None

    def _times(self, kind: str, here: Here) -> Iterator[tuple[int, str | None]]:
        for number in range(max(here.number, here.top), 0, -1):
            yield (
                number,
                notes.time_of(here.note) if number == here.number else self.time(kind, here.name, number),
            )

    # Writes

    def bring(self, kind: str, here: Here | None, name: str, version: SourceVersion) -> Here:
        """Publish a version over what is there, None for nothing. Raises RemoteFailure."""
        text = version.load()
        note = notes.describe(version.author, version.mail, version.time, text.note)
        number = self._publish(kind, here, name, text, note)
        beside = isinstance(text, SkillText) and bool(text.fields.frontmatter)
        made = msgspec.structs.replace(here or Here(name=name, number=0, note=""), number=number)
        made.note, made.beside, made.top = note, beside, number
        self._rows[kind][name] = made
        return made

    def _publish(self, kind: str, here: Here | None, name: str, text: Text, note: str) -> int:
        if isinstance(text, SkillText) and (text.fields.frontmatter or (here and here.beside)):
            return self._import(here, name, text, note)
        body = {**_fields(text), "version_description": note}
        if here is None:
            return self._made("POST", self.remote.path(f"{KINDS[kind].RESOURCE}/"), {"name": name, **body})
        return self._made("PATCH", self.remote.named(name, kind=kind), {**body, "base_version": here.number})

    def _import(self, here: Here | None, name: str, text: SkillText, note: str) -> int:
        """Lines of the frontmatter that no field has come by SKILL.md alone."""
        document = skill_md.Document(name=name, body=text.body, **msgspec.structs.asdict(text.fields))
        tree = {path: data for path, data, _ in text.files}
        tree["SKILL.md"] = (
            skill_md.head(document, max(here.number, here.top) + 1 if here else 1) + text.body
        ).encode()
        fields = {"mode": "upsert" if here else "create", "version_description": note}
        if here is not None:
            fields["base_version"] = str(here.number)
        boundary = uuid4().hex
        answer = self.remote.request(
            "POST",
            self.remote.path("llm_skills/import/"),
            content=form(boundary, fields, zip_of(sorted(tree.items()), name)),
            headers={
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Idempotency-Key": str(uuid4()),
            },
        )
        made = self.remote.decoded(answer, Imported)
        if made["outcome"] != "unchanged" or here is None:
            return made["version"]
        # A version that changes nothing is one all the same.
        body = {"version_description": note, "base_version": here.number}
        return self._made("PATCH", self.remote.named(name), body)

    def rename(self, kind: str, here: Here, name: str) -> Here:
        self.remote.send("POST", self.remote.named(here.name, "rename/", kind=kind), {"new_name": name})
        self._rows[kind].pop(here.name, None)
        self._rows[kind][name] = made = msgspec.structs.replace(here, name=name)
        return made

    def set_label(self, kind: str, here: Here, label: str, number: int) -> None:
        path = self.remote.named(here.name, f"labels/{quote_part(label)}/", kind=kind)
        self.remote.send("PUT", path, {"version": number})
        here.labels[label] = number

    def remove_label(self, kind: str, here: Here, label: str) -> None:
        self.remote.send("DELETE", self.remote.named(here.name, f"labels/{quote_part(label)}/", kind=kind))
        here.labels.pop(label, None)

    def yanked(self, kind: str, here: Here) -> set[int]:
        """Numbers of versions that should not be used any more."""
        path = self.remote.path(f"{KINDS[kind].RESOURCE}/resolve/name/{quote_part(here.name)}/")
        missing, before = set(range(1, here.top + 1)), None
        while True:
            page = self.remote.get(path, {"limit": 100, "before_version": before}, shape=Lines)
            numbers = [line["version"] for line in page["versions"]]
            missing.difference_update(numbers)
            if not page["has_more"] or not numbers or (before is not None and numbers[-1] >= before):
                return missing
            before = numbers[-1]

    def set_yanked(self, kind: str, here: Here, number: int, reason: str) -> None:
        """Yank a version, or take that back without a reason."""
        rest = f"versions/{number}/{'yank' if reason else 'unyank'}/"
        # Earlier releases took a reason with any characters.
        line = NOT_IN_LINES.sub(" ", reason)[:MAX_REASON].strip() or NO_REASON
        body = {"reason": line} if reason else {}
        self.remote.send("POST", self.remote.named(here.name, rest, kind=kind), body)
        now = self.remote.get(self.remote.named(here.name, kind=kind), shape=Latest)
        here.number, here.note = now["version"], now["version_description"]
        here.beside = bool(now.get("frontmatter"))

    def set_tags(self, kind: str, here: Here, tags: Sequence[str]) -> None:
        self.remote.send("PATCH", self.remote.named(here.name, kind=kind), {"tags": list(tags)})
        here.tags = list(tags)

    def archive(self, kind: str, name: str) -> None:
        self.remote.send("POST", self.remote.named(name, "archive/", kind=kind))
        self._rows[kind].pop(name, None)

    def archive_all(
        self, gone: Iterable[tuple[str, str]]
    ) -> Iterator[tuple[tuple[str, str], RemoteFailure | None]]:
        """Archive what is there of these, kind and name, prompts that others refer to after those; each with why it was not."""
        todo = [(kind, name) for kind, name in gone if name in self.rows(kind)]
        while todo:
            left: list[tuple[tuple[str, str], RemoteFailure]] = []
            for one in todo:
                try:
                    self.archive(*one)
                except RemoteFailure as failure:
                    if is_about_the_run(failure):
                        raise
                    left.append((one, failure))
                else:
                    yield one, None
            if len(left) == len(todo):
                yield from left
                return
            todo = [one for one, _ in left]

    def _made(self, method: str, path: str, body: dict[str, Any]) -> int:
        made: Made = self.remote.send(method, path, body, shape=Made)
        return made["version"]


class Imported(TypedDict):
    outcome: str
    version: answers.Number


def is_about_the_run(failure: RemoteFailure) -> bool:
    """Whether every other version would be refused by the same."""
    return failure.is_of_all and failure.code not in ("label_protected", "approval_required")


def _here(row: Row) -> Here:
    return Here(
        name=row["name"],
        number=row["latest_version"],
        note=row["version_description"],
        beside=bool(row.get("frontmatter")),
        top=row.get("version_count", row["latest_version"]),
        labels={label["name"]: label["version"] for label in row["all_labels"]},
        tags=row["tags"],
    )


def _fields(text: Text) -> dict[str, Any]:
    if isinstance(text, PromptText):
        return {"prompt": text.prompt, "config": text.config}
    files = [_file(*file) for file in text.files]
    return {**{field: getattr(text.fields, field) for field in FIELDS}, "body": text.body, "files": files}


def _file(path: str, data: bytes, content_type: str) -> dict[str, str]:
    found = text_of(data)
    if found is None or "\0" in found:
        content = base64.b64encode(data).decode()
        return {"path": path, "content": content, "encoding": "base64", "content_type": content_type}
    return {"path": path, "content": found, "content_type": content_type}
