"""Names of skills have no capitals, so the folded search text was compared with the name as it is."""

from tests.support.prompt_space import PromptSpace


async def test_a_prompt_is_found_by_its_name_in_any_case(prompts: PromptSpace) -> None:
    await prompts.create("Support-Agent", "x")

    assert await prompts.names(search="SUPPORT") == ["Support-Agent"]
    assert await prompts.names(search="port-age") == ["Support-Agent"]
