"""White space was cut off a label, which left none, so the latest version was answered."""

import pytest

from tests.support.prompt_space import PromptSpace


@pytest.mark.parametrize("label", ["%20", "%0A", "+", "%20live", "live%20"])
async def test_a_blank_label_is_a_missing_one(prompts: PromptSpace, label: str) -> None:
    await prompts.create()
    await prompts.set_label("live", 1)

    answer = await prompts.space.at("GET", f"llm_prompts/name/agent?label={label}")
    assert answer.status_code == 404
    assert (await prompts.space.at("GET", f"llm_prompts/?label={label}")).json()["count"] == 0
