"""Prompts in the editor."""

from typing import ClassVar

import msgspec
from msgspec import UNSET

from api.artifacts.common import Command
from api.artifacts.marks import NONE, Marks, marking
from api.artifacts.references import check_there
from api.http.context import RequestContext
from api.prompts import schemas
from api.prompts.commands import creating, publishing
from console.editing import kind
from console.editing.drafts import Draft
from console.editing.kind import Field, Problem, State, decoded, problem_of
from domain.artifacts.prompts import Prompt, PromptChanges
from domain.artifacts.references import check
from domain.content import Content
from domain.errors import Refused
from domain.json_text import compact, indented
from projections.read import prompts
from projections.read.sides import Side, as_file
from projections.read.versions import Version
from store.ids import new_id

FIELDS = (
    Field(
        "config", "Configuration", "json", "A JSON object, such as the parameters of a model; empty for none."
    ),
    Field("tags", "Tags", "tags", "Between commas. They belong to the name, not to a version."),
)

_details = msgspec.json.Decoder(prompts.Details)


class PromptEditing:
    fields: ClassVar[tuple[Field, ...]] = FIELDS

    def empty(self) -> Draft:
        return Draft("", 0, "", {field.name: "" for field in FIELDS})

    def opened(self, version: Version) -> Draft:
        details = _details.decode(version.details)
        config = bytes(details.config)
        is_json = version.body[:1] != b'"'
        return Draft(
            version.name,
            version.number,
            indented(version.body) if is_json else prompts.text_of(version.body),
            {"config": "" if config == b"null" else indented(config), "tags": ", ".join(version.tags)},
            is_json=is_json,
            tags_before=", ".join(version.tags),
        )

    def check(self, draft: Draft) -> list[Problem]:
        found = kind.checked(schemas.PublishPrompt, FIELDS, draft, any_number=True)
        try:
            decoded(schemas.PublishPrompt, {"prompt": self._prompt(draft)}, any_number=True)
        except Refused as error:
            found.append(problem_of(error, "text"))
        try:
            decoded(schemas.PublishPrompt, {"version_description": msgspec.json.encode(draft.note)})
        except Refused as error:
            found.append(problem_of(error, "note"))
        if not draft.base:
            try:
                decoded(schemas.CreatePrompt, {"name": msgspec.json.encode(draft.name), "prompt": b'"p"'})
            except Refused as error:
                found.append(problem_of(error, "name"))
        if not found:
            try:
                self._new(draft)
            except Refused as error:
                found.append(problem_of(error, "text"))
        return found + kind.unseen("text", draft.text)

    async def check_around(self, context: RequestContext, draft: Draft) -> list[Problem]:
        found = [] if draft.base else await kind.taken(context, Prompt.KIND, draft.name.strip())
        try:
            await check_there(context, check(self._prompt(draft)), {})
        except Refused as error:
            found.append(problem_of(error, "text"))
        return found

    def state(self, draft: Draft) -> State:
        data = self._prompt(draft)
        is_text = data[:1] == b'"'
        text = as_file(
            "prompt.txt" if is_text else "prompt.json", "text/plain" if is_text else "application/json", data
        )
        config = (self._config(draft) or "null").encode()
        return State(Side({"config": msgspec.Raw(config)}, text=text), {text.ref.digest: data})

    def command(self, context: RequestContext, name: str, draft: Draft, before: Draft | None) -> Command:
        if before is None:
            return creating(context, *self._new(draft))
        names = kind.changed(draft, before)
        marks = Marks(tags=self._tags(draft)) if "tags" in names else NONE
        names.discard("tags")
        note = draft.note.strip()
        if not names and not note:
            return marking(context, Prompt, name, marks, draft.base)
        changes = PromptChanges(
            prompt=self._prompt(draft) if "text" in names else UNSET,
            config=self._config(draft) if "config" in names else UNSET,
            version_description=note,
        )
        return publishing(context, name, changes, marks, draft.base, len(draft.text))

    def _new(self, draft: Draft) -> tuple[Prompt, list[Content]]:
        return Prompt.create(
            id=new_id(),
            version_id=new_id(),
            name=draft.name.strip(),
            prompt=self._prompt(draft),
            config=self._config(draft),
            version_description=draft.note.strip(),
            tags=self._tags(draft),
        )

    @staticmethod
    def _prompt(draft: Draft) -> bytes:
        """Compact JSON. Raises Invalid."""
        if draft.is_json:
            return kind.checked_json(draft.text)
        return compact(msgspec.json.encode(draft.text))

    @staticmethod
    def _config(draft: Draft) -> str | None:
        text = draft.fields["config"]
        return kind.checked_json(text).decode() if text.strip() else None

    @staticmethod
    def _tags(draft: Draft) -> tuple[str, ...]:
        return tuple(decoded(schemas.PublishPrompt, {"tags": FIELDS[-1].json(draft.fields["tags"])}).tags)
