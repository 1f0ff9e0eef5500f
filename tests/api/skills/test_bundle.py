"""Several skills in one zip: whole, or as stubs that say where the rest is."""

import os
from base64 import b64encode

import httpx
import pytest

from tests.support.archives import export, unzipped
from tests.support.space import NewSpace, Space, file, refusal


def counts(answer: httpx.Response) -> tuple[int, int, int]:
    included, dropped, skipped = (
        int(answer.headers[f"x-skills-{which}"]) for which in ("included", "dropped", "skipped")
    )
    return included, dropped, skipped


async def bundle(space: Space, **params: object) -> httpx.Response:
    answer = await space.get("bundle/", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    return answer


async def test_a_stub_has_the_frontmatter_and_says_where_the_rest_is(space: Space) -> None:
    await space.create("ant", body="# The body of ant\n", files=[file("a.txt")])
    answer = await bundle(space)
    assert counts(answer) == (1, 0, 0)
    [(path, data)] = unzipped(answer.content).items()
    whole = (await space.get("name/ant/skill-md")).text
    head, _, said = data.decode().partition("\n---\n")
    assert path == "ant/SKILL.md"
    assert whole.startswith(f"{head}\n---\n")
    assert "The body of ant" not in said
    address = said.partition("`GET ")[2].partition("`")[0]
    assert address.endswith(f"/api/projects/{space.id}/llm_skills/name/ant/skill-md/")
    assert (await space.client.get(address)).text == whole


async def test_a_full_bundle_has_what_an_export_has_newest_first(space: Space) -> None:
    await space.create("ant", files=[file("a.txt", "one"), file("b/c.txt", "two")])
    await space.create("bee")
    await space.publish("ant", 1, body="# Newest\n")
    await space.create("cat")
    await space.post("name/cat/archive")
    answer = await bundle(space, content="full")
    found = unzipped(answer.content)
    assert counts(answer) == (2, 0, 0)
    assert list(found) == ["ant/SKILL.md", "ant/a.txt", "ant/b/c.txt", "bee/SKILL.md"]
    assert found == unzipped(await export(space, "ant")) | unzipped(await export(space, "bee"))
    assert list(unzipped((await bundle(space, limit=1)).content)) == ["ant/SKILL.md"]


async def test_what_does_not_fit_is_left_out_and_smaller_ones_still_come(space: Space) -> None:
    def noise(number: int) -> dict[str, str]:
        data = b64encode(os.urandom(990_000)).decode()
        return {"path": f"{number}.bin", "content": data, "encoding": "base64"}

    await space.create("small")
    for name in ("large", "larger"):
        await space.create(name, files=[noise(number) for number in range(3)])
    answer = await bundle(space, content="full")
    assert counts(answer) == (2, 1, 0)
    assert {path.partition("/")[0] for path in unzipped(answer.content)} == {"larger", "small"}
    assert len(answer.content) <= 5_000_000
    assert counts(await bundle(space)) == (3, 0, 0), "stubs are small"


async def test_a_version_without_a_package_is_counted_as_skipped(space: Space) -> None:
    await space.create("ant")
    await space.create("bee")
    mine = (
        "FROM artifacts WHERE versions.stream_id = artifacts.stream_id AND name = 'ant' AND project_id = %s"
    )
    row = await (
        await space.conn.execute(
            f"SELECT versions.package {mine.replace('FROM', 'FROM versions,')}", (space.id,)
        )
    ).fetchone()
    await space.conn.execute(f"UPDATE versions SET package = NULL {mine}", (space.id,))
    answer = await bundle(space, content="full")
    # The database is one of many tests.
    await space.conn.execute(f"UPDATE versions SET package = %s {mine}", (*(row or ()), space.id))
    assert counts(answer) == (1, 0, 1)
    assert list(unzipped(answer.content)) == ["bee/SKILL.md"]


async def test_a_bundle_is_asked_for_again_by_its_tag(space: Space) -> None:
    await space.create("ant")
    first = await bundle(space)
    tag = {"If-None-Match": first.headers["etag"]}
    again = await space.get("bundle/", headers=tag)
    assert (again.status_code, again.content, counts(again)) == (304, b"", (1, 0, 0))
    assert first.headers["cache-control"] == "private, no-cache"
    await space.publish("ant", 1, body="# Two\n")
    assert (await space.get("bundle/", headers=tag)).status_code == 200


async def test_an_empty_project_gives_an_empty_zip_and_nothing_of_others(
    space: Space, new_space: NewSpace
) -> None:
    other = await new_space()
    await other.create("theirs")
    answer = await bundle(space, content="full")
    assert (counts(answer), unzipped(answer.content)) == ((0, 0, 0), {})


@pytest.mark.parametrize(
    ("params", "attr"),
    [
        ({"content": "all"}, "content"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "x"}, "limit"),
    ],
)
async def test_a_wrong_parameter_is_named(space: Space, params: dict[str, object], attr: str) -> None:
    assert refusal(await space.get("bundle/", params=params))[2] == attr


async def test_it_needs_the_scope_to_read(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_prompt:write",))
    assert (await space.get("bundle/")).status_code == 403
