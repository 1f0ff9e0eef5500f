"""From MLflow's prompt registry: prompts are registered models with a tag, the text of a version is a tag of it.

The open-source server keeps no author; texts, times, commit messages, aliases (labels) and tags are what it has.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

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

API = "/api/2.0/mlflow"
IS_PROMPT = "tags.`mlflow.prompt.is_prompt` = 'true'"
TEXT, TYPE = "mlflow.prompt.text", "_mlflow_prompt_type"
MODEL, FORMAT = "_mlflow_prompt_model_config", "_mlflow_prompt_response_format"
OWN = ("mlflow.", "_mlflow")  # tags of its own begin so
PAGE = 100
MAX_PAGES = 10_000  # of one list: ten times what as many prompts or versions take that may be there
NULL = msgspec.Raw(b"null")

Millis = Annotated[int, msgspec.Meta(ge=0, lt=10**15)]


class Tag(msgspec.Struct):
    key: str
    value: str = ""


class Alias(msgspec.Struct):
    alias: str
    version: str


class Model(msgspec.Struct):
    name: str
    tags: list[Tag] = []
    aliases: list[Alias] = []


class Version(msgspec.Struct):
    version: str
    creation_timestamp: Millis = 0
    description: str = ""
    user_id: str = ""
    tags: list[Tag] = []


class Models(msgspec.Struct):
    registered_models: list[Any] = []  # each a Model
    next_page_token: str = ""


class Versions(msgspec.Struct):
    model_versions: list[Any] = []  # each a Version
    next_page_token: str = ""


class MlflowSource:
    def __init__(self, remote: Foreign) -> None:
        self.remote = remote
        self.title = remote.title

    def close(self) -> None:
        self.remote.close()

    def artifacts(self) -> Iterator[SourceArtifact]:
        count = 0
        for page in self._pages("registered-models/search", {"filter": IS_PROMPT}, Models):
            for model in page.registered_models:
                count += 1
                if count > MAX_ARTIFACTS:
                    raise Failure(f"{self.title} has more than {MAX_ARTIFACTS:,} prompts", code="too_many")
                yield self._row(model, count)

    def _row(self, row: Any, number: int) -> SourceArtifact:
        place = f"prompt {number} of the list"
        try:
            return self._artifact(row_of(row, Model, f"{self.title}: {place}"))
        except Unusable as failure:
            return broken("prompt", row, place, failure)

    def _artifact(self, model: Model) -> SourceArtifact:
        name = naming.taken_name("prompt", model.name) or ""
        tags = (tag for tag in model.tags if not tag.key.startswith(OWN))
        return SourceArtifact(
            kind="prompt",
            name=name,
            called=model.name,
            versions=lambda: self._versions(model.name, name),
            labels={alias.alias: alias.version for alias in model.aliases},
            tags=naming.taken_tags([f"{tag.key}:{tag.value}" if tag.value else tag.key for tag in tags]),
        )

    def _versions(self, called: str, name: str) -> list[SourceVersion]:
        if "'" in called:
            raise Unusable("its name has a quote, which MLflow's search cannot find", code="invalid_name")
        query = {"filter": f"name = '{called}' AND {IS_PROMPT}"}
        found: dict[int, SourceVersion] = {}
        for page in self._pages("model-versions/search", query, Versions):
            for row in page.model_versions:
                number = _number(row)
                if number is None:
                    raise Unusable(
                        f"{self.title}: a version of '{called}' has no number in `$.version`",
                        code="bad_answer",
                    )
                found[number] = self._row_of_version(called, name, number, row)
            if len(found) > MAX_VERSIONS:
                raise Unusable(f"it has more than {MAX_VERSIONS:,} versions")
        return [found[number] for number in sorted(found)]

    def _row_of_version(self, called: str, name: str, number: int, row: Any) -> SourceVersion:
        try:
            version = row_of(row, Version, f"{self.title}: version {number} of '{called}'")
        except Unusable as failure:
            return unreadable(number, name, called, failure)
        return self._version(called, name, version)

    def _version(self, called: str, name: str, version: Version) -> SourceVersion:
        tags = {tag.key: tag.value for tag in version.tags}
        # What the list tells is the text: a registry of many large prompts is read one prompt at a time.
        return SourceVersion(
            number=version.version,
            name=name,
            called=called,
            author=version.user_id,
            mail="",
            time=notes.instant(version.creation_timestamp / 1000, version.version),
            load=lambda: _text(tags, version.description),
        )

    def _pages(self, path: str, query: dict[str, Any], shape: Any) -> Iterator[Any]:
        token, seen = "", set[str]()
        for _ in range(MAX_PAGES):
            params = {**query, "max_results": PAGE, "page_token": token or None}
            page = self.remote.json(f"{API}/{path}", params, shape)
            yield page
            token = page.next_page_token
            if not token:
                return
            if token in seen:
                raise Failure(f"{self.title} gives the same page again and again", code="bad_answer")
            seen.add(token)
        raise Failure(f"{self.title} has a list of more than {MAX_PAGES:,} pages", code="too_many")


def _number(row: Any) -> int | None:
    text = row.get("version") if isinstance(row, dict) else None
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    return None


def _text(tags: dict[str, str], note: str) -> PromptText:
    if TEXT not in tags:
        raise Unusable("it has no text")
    chat = tags.get(TYPE) == "chat"
    config = {**({"model_config": _json(tags[MODEL])} if MODEL in tags else {})}
    if FORMAT in tags:
        config["response_format"] = _json(tags[FORMAT])
    return PromptText(
        _json(tags[TEXT]) if chat else msgspec.Raw(msgspec.json.encode(tags[TEXT])),
        msgspec.Raw(msgspec.json.encode(config)) if config else NULL,
        note,
    )


def _json(text: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise Unusable("a part of it is no JSON") from None
    return msgspec.Raw(text.encode())
