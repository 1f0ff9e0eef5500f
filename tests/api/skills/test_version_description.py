"""What a version says of itself, and what is known of its files without reading them."""

import pytest

from tests.support.space import Space, file, refusal, skill


async def test_it_is_of_one_version_and_not_carried_forward(space: Space) -> None:
    created = await space.create(version_description="  First try ")
    assert created["version_description"] == "First try"
    second = await space.publish("pdf-forms", 1, body="two", version_description="Shorter")
    third = await space.publish("pdf-forms", 2, license="MIT")
    assert (second["version_description"], third["version_description"]) == ("Shorter", "")
    await space.publish("pdf-forms", 3, version_description="Why")
    added = await space.ok(201, await space.post("name/pdf-forms/files", file("a.txt")))
    assert added["version_description"] == ""
    old = await space.ok(200, await space.get("name/pdf-forms?version=2"))
    assert old["version_description"] == "Shorter"
    [row] = (await space.ok(200, await space.get("")))["results"]
    assert row["version_description"] == ""


async def test_a_copy_and_a_revert_do_not_take_it_over(space: Space) -> None:
    await space.create(version_description="First")
    await space.publish("pdf-forms", 1, version_description="Second")
    copy = await space.ok(201, await space.post("name/pdf-forms/duplicate", {"new_name": "copy"}))
    back = {"version": 1, "base_version": 2}
    reverted = await space.ok(200, await space.post("name/pdf-forms/revert", back))
    assert (copy["version_description"], reverted["version_description"]) == ("", "")


async def test_it_is_in_history_and_diff(space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, version_description="Why")
    history = await space.ok(200, await space.get("name/pdf-forms/history"))
    assert history["results"][0]["changes"]["fields"] == ["version_description"]
    diff = await space.ok(200, await space.get("name/pdf-forms/diff?from=1&to=2"))
    assert [tuple(one.values()) for one in diff["fields"]] == [("version_description", "", "Why")]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1, "invalid_input"),
        ("x" * 401, "max_length"),
        ("\0", "null_characters_not_allowed"),
    ],
)
async def test_what_it_may_not_be(space: Space, value: object, code: str) -> None:
    answer = await space.post(json=skill(version_description=value))
    assert refusal(answer) == (400, code, "version_description")
    await space.create()
    change = {"base_version": 1, "version_description": value}
    assert refusal(await space.patch("pdf-forms", change)) == (400, code, "version_description")
    assert (await space.get("name/pdf-forms")).json()["version"] == 1


@pytest.mark.parametrize(
    ("content", "lines", "characters"),
    [("", 0, 0), ("a", 1, 1), ("a\n", 1, 2), ("a\nb", 2, 3), ("\n\n", 2, 2), ("é😀\r\n", 1, 4)],
)
async def test_lines_and_characters_of_a_file(
    space: Space, content: str, lines: int, characters: int
) -> None:
    created = await space.create(files=[file("a.txt", content)])
    [entry] = created["files"]
    assert (entry["line_count"], entry["char_count"]) == (lines, characters)
    edited = await space.ok(201, await space.post("name/pdf-forms/files", file("b.txt", content + "c")))
    assert edited["files"][1]["char_count"] == characters + 1


async def test_what_is_no_text_has_no_counts(space: Space) -> None:
    created = await space.create(files=[file("a.bin", "/wA=", encoding="base64")])
    [entry] = created["files"]
    assert (entry["size"], entry["line_count"], entry["char_count"]) == (2, None, None)


async def test_a_category_has_no_skills(space: Space) -> None:
    created = await space.create()
    assert created["category"] == ""
    found = await space.ok(200, await space.get("?category=docs"))
    assert (found["count"], found["results"], found["next"]) == (0, [], None)
    position = created["version"]
    assert (await space.get(f"?category=docs&position={position}")).json()["count"] == 0
    # Given empty, it counts as absent.
    assert (await space.get("?category=")).json()["count"] == 1
    assert refusal(await space.get("?category=docs&limit=x")) == (400, "invalid_input", "limit")
