"""A fingerprint of 32 MiB, the contents of files, and comparisons were worked on where all other requests wait, or in an
executor without a bound. All of it runs where ``api.offload`` bounds it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from api.artifacts import comparing
from api.commands import caller
from api.offload import HEAVY
from api.skills import commands
from tests.support.prompt_space import PromptSpace
from tests.support.space import NewSpace, Space, file

LARGE = "x" * 2 * HEAVY


@pytest_asyncio.fixture(loop_scope="session")
async def space(new_space: NewSpace) -> Space:
    return await new_space(scopes=("llm_skill:write", "llm_prompt:write"))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], list[str]]:
    """Notes in which threads a function of a module is called."""

    def watch(module: Any, name: str) -> list[str]:
        called: list[str] = []
        function = getattr(module, name)

        def noted(*args: Any, **options: Any) -> Any:
            called.append(threading.current_thread().name.partition("_")[0])
            return function(*args, **options)

        monkeypatch.setattr(module, name, noted)
        return called

    return watch


async def test_the_fingerprint_of_a_large_request(
    space: Space, threads: Callable[[Any, str], list[str]]
) -> None:
    called = threads(caller, "fingerprint")
    await space.create("small")
    assert called == []
    headers = {"idempotency-key": "one"}
    answers = [
        await space.post(
            json={"name": "large", "description": "d", "body": LARGE}, headers={"idempotency-key": "skill"}
        ),
        await space.at(
            "POST",
            "llm_prompts/",
            json={"name": "large", "prompt": LARGE},
            headers={"idempotency-key": "prompt"},
        ),
        await space.patch("large", {"base_version": 1, "description": "e"}, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 200]
    assert called == ["offload", "offload", "MainThread"]


async def test_the_contents_of_files(space: Space, threads: Callable[[Any, str], list[str]]) -> None:
    await space.create("one")
    called = threads(commands, "files_of")
    await space.publish("one", 1, files=[file("large.txt", LARGE)])
    await space.publish("one", 2, files=[file("small.txt")])
    assert called == ["offload", "MainThread"]


async def test_comparisons(space: Space, threads: Callable[[Any, str], list[str]]) -> None:
    await space.create("one", files=[file("a.txt", "a\n")])
    await space.publish("one", 1, files=[file("a.txt", "b\n")])
    await PromptSpace(space).create("one")
    compared, blamed = threads(comparing, "Hunks"), threads(comparing, "_advance")
    for path in (
        "llm_skills/name/one/diff/",
        "llm_prompts/name/one/diff/",
        "llm_skills/name/one/blame/?path=a.txt",
    ):
        assert (await space.at("GET", path)).status_code == 200
    assert (set(compared), set(blamed)) == ({"offload"}, {"offload"})
