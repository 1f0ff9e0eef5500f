"""OPTIONS was 500, for the handler that Litestar adds has no scope to ask for; and it knew but one of several methods."""

import pytest

from tests.support.space import Space


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("llm_skills/", {"GET", "POST"}),
        ("llm_skills/name/any", {"GET", "PATCH"}),
        ("llm_skills/name/any/files/a/b", {"GET", "DELETE"}),
        ("llm_prompts/name/any/labels/production", {"PUT", "DELETE"}),
    ],
)
async def test_options_tells_the_methods_and_needs_no_key(space: Space, path: str, methods: set[str]) -> None:
    answer = await space.at("OPTIONS", path, headers={"Authorization": ""})

    assert answer.status_code == 204
    assert methods <= set(answer.headers["allow"].split(", "))
