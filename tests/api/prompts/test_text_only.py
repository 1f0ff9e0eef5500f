"""``text_only`` leaves prompts that are no text out of a list, with every other condition; SDKs get it by a setting."""

from itertools import product
from typing import Any

from tests.support.prompt_space import PromptSpace, chat

OTHERS = {"chat": chat("agent"), "object": {"a": '"agent"'}, "number": 1.5, "truth": True, "list": []}


async def fill(prompts: PromptSpace) -> None:
    """Texts, the empty and a quoted one too, beside every other JSON value; each has the label ``live``."""
    for name, prompt in {"one": "an agent", "two": '"agent"', "empty": "", **OTHERS}.items():
        await prompts.create(name, prompt)
        await prompts.set_label("live", 1, name)


async def test_texts_alone_are_listed_counted_and_paged(prompts: PromptSpace) -> None:
    await fill(prompts)
    assert await prompts.names(text_only="true") == ["empty", "two", "one"]
    assert len(await prompts.names()) == len(await prompts.names(text_only="false")) == 8
    page = (await prompts.get("", params={"text_only": "true", "limit": 2, "order_by": "name"})).json()
    assert (page["count"], [row["name"] for row in page["results"]]) == (3, ["empty", "one"])
    assert "text_only=true" in page["next"]


async def test_every_other_condition_holds_beside_it(prompts: PromptSpace) -> None:
    await fill(prompts)
    values: dict[str, Any] = {
        "search": "agent",
        "label": "live",
        "created_by_id": prompts.space.user.id,
        "position": await prompts.space.head(),
    }
    for chosen in product((False, True), repeat=len(values)):
        query = {name: value for (name, value), asked in zip(values.items(), chosen, strict=True) if asked}
        every = await prompts.names(**query)
        assert {"chat", "object"} < set(every)
        assert await prompts.names(**query, text_only="true") == [one for one in every if one not in OTHERS]


async def test_the_version_that_is_shown_decides(prompts: PromptSpace) -> None:
    await prompts.create("was-a-text", "one")
    await prompts.set_label("live", 1, "was-a-text")
    await prompts.publish(1, "was-a-text", prompt=chat("two"))
    assert await prompts.names(text_only="true") == []
    assert await prompts.names(text_only="true", label="live") == ["was-a-text"]
    assert (await prompts.get("", params={"text_only": "yes"})).status_code == 400


async def test_without_the_setting_a_token_changes_nothing(prompts: PromptSpace) -> None:
    await fill(prompts)
    assert len(await prompts.names(token=prompts.space.project.api_token)) == 8
