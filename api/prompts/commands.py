"""What a change of a prompt does with its request; the framework's controller and the fast path publish by the same function."""

import msgspec
from msgspec import UNSET

from api.artifacts.common import Command, base_version, check_etag, run
from api.artifacts.marks import NONE, Marks, brings_no_version, marks_of, set_marks
from api.artifacts.references import check_taking, check_there
from api.commands.execute import Caller, Commands, Done, Guards
from api.commands.repository import Loaded
from api.http.context import RequestContext
from api.http.responses import Answer
from api.offload import heavy
from api.payload.decode import read
from api.prompts import schemas
from domain.artifacts.prompts import Prompt, PromptChanges
from domain.artifacts.references import check
from domain.content import Content, Edit, edit_cost
from domain.errors import Invalid
from domain.json_text import compact
from store.ids import new_id

KIND = Prompt.KIND


class RawPrompt(msgspec.Struct):
    """The JSON of a request as it was written."""

    prompt: msgspec.Raw = msgspec.Raw()
    config: msgspec.Raw = msgspec.Raw()


async def publish(context: RequestContext, name: str, body: bytes) -> Answer:
    """The next version of the prompt ``name``. Raises whatever the request is refused by."""
    data = await read(schemas.PublishPrompt, body, context.header(b"content-type"), any_number=True)
    marks = NONE if data.owners is UNSET and data.tags is UNSET else await marks_of(context, data)
    if marks is not NONE and brings_no_version(data):
        base = base_version(context, data.base_version)
        return await set_marks(context, Prompt, name, marks, base, body)
    changes = await heavy(len(body), lambda: changes_of(data, body))
    base = base_version(context, data.base_version, required=True)
    return await run(context, body, KIND, publishing(context, name, changes, marks, base, len(body)))


def publishing(
    context: RequestContext, name: str, changes: PromptChanges, marks: Marks, base: int | None, size: int
) -> Command:
    """The command that makes the next version; ``size`` are the bytes that the changes came in."""
    reader = context.services.reader
    guards: Guards = {}

    async def decide(loaded: Loaded[Prompt], prompt: Prompt) -> list[Content]:
        await check_etag(context, loaded)
        prompt.check_base(base)
        if marks is not NONE:
            marks.set_on(prompt)
        current = prompt.prompt
        texts = {current.digest: await reader.content(current.digest)} if changes.edits else {}
        contents = await heavy(
            size + edit_cost([(current.size, len(changes.edits or ()))]),
            lambda: prompt.publish(changes, version_id=new_id(), base_version=prompt.number, texts=texts),
        )
        await check_there(context, [one for content in contents for one in check(content.data)], guards)
        return contents

    return lambda caller, commands: commands.change(caller, Prompt, name, decide, guards=guards)


async def create(context: RequestContext, body: bytes) -> Answer:
    """Version 1 of a new prompt. Raises whatever the request is refused by."""
    data = await read(schemas.CreatePrompt, body, context.header(b"content-type"), any_number=True)
    marks = await marks_of(context, data)
    prompt, contents = await heavy(len(body), lambda: new_prompt(data, body, marks))
    return await run(context, body, KIND, creating(context, prompt, contents))


def creating(context: RequestContext, prompt: Prompt, contents: list[Content]) -> Command:
    """The command that makes a new prompt."""
    guards: Guards = {}

    async def execute(caller: Caller, commands: Commands) -> Done:
        await check_there(context, [one for content in contents for one in check(content.data)], guards)
        await check_taking(context, prompt, guards)
        return await commands.create(caller, prompt, contents, guards=guards)

    return execute


def new_prompt(data: schemas.CreatePrompt, body: bytes, marks: Marks = NONE) -> tuple[Prompt, list[Content]]:
    sent = msgspec.json.decode(body, type=RawPrompt)
    return Prompt.create(
        id=new_id(),
        version_id=new_id(),
        name=data.name,
        prompt=compact(sent.prompt),
        config=None if data.config is None else compact(sent.config).decode(),
        version_description=data.version_description or "",
        owners=None if marks.owners is UNSET else marks.owners,
        tags=() if marks.tags is UNSET else marks.tags,
    )


def changes_of(data: schemas.PublishPrompt, body: bytes) -> PromptChanges:
    """Raises Invalid when there is nothing to publish, or two prompts."""
    if data.prompt is not UNSET and data.edits is not UNSET:
        raise Invalid("Send the whole prompt or edits to it, not both.")
    if data.prompt is UNSET and data.edits is UNSET and data.config is UNSET:
        raise Invalid("Send the whole prompt, edits to it, or a config.", code="required", attr="prompt")
    sent = msgspec.json.decode(body, type=RawPrompt)
    config = data.config
    return PromptChanges(
        prompt=UNSET if data.prompt is UNSET else compact(sent.prompt),
        edits=UNSET if data.edits is UNSET else tuple(Edit(edit.old, edit.new) for edit in data.edits),
        config=compact(sent.config).decode() if isinstance(config, dict) else config,
        version_description=data.version_description or "",
    )
